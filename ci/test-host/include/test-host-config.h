// Includes the configuration header of the flavour being built, whatever its name is.
#pragma once

#if __has_include("zeek-config.h")
#include "zeek-config.h"
#else
#include "bro-config.h"
#endif

#include "flavour.h"
