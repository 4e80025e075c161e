// A header of the library that Zeek's telemetry/Manager.h needs from 7.0 on. For hosts that are installed
// without it the plugin is built without telemetry.
#pragma once
