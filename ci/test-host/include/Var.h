// The values of script-level variables by name.
#pragma once

#include "ID.h"
#include "Scope.h"

#if TEST_HOST_VERSION < 40100
// Null when there is no such variable.
extern TEST_HOST_NS::Val* opt_internal_val(const char* name);
#endif
