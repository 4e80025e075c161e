// Finding script-level identifiers, up to Zeek 3.1.
#pragma once

#include "ID.h"

#if HOST_VERSION < 30200
// A name with a module in it ("Module::name") stands for itself. The caller gets a reference.
extern ID* lookup_ID(const char* name, const char* module, bool no_global = false,
                     bool same_module_only = false, bool check_export = true);
#endif
