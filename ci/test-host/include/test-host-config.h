// Includes the configuration header of the flavour being built, whatever its name is. The portable
// double is compiled with options instead.
#pragma once

#if __has_include("zeek-config.h")
#include "zeek-config.h"
#elif __has_include("bro-config.h")
#include "bro-config.h"
#endif

#include "flavour.h"
