// Of a library that Zeek's telemetry/Manager.h needs from 7.0 on: hosts are there without it, and then
// the plugin does without telemetry.
#pragma once
