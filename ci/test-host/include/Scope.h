// Finding script-level identifiers.
#pragma once

#include "ID.h"

// The module of names that belong to none.
#define GLOBAL_MODULE_NAME "GLOBAL"

#if TEST_HOST_VERSION >= 40000
namespace zeek {
namespace detail {
// A name with a module in it ("Module::name") stands for itself.
const IDPtr& lookup_ID(const char* name, const char* module, bool no_global = false,
                       bool same_module_only = false, bool check_export = true);
} // namespace detail
} // namespace zeek
#else
class Scope {
public:
    // The identifier of that full name, or null; the caller gets no reference.
    ID* Lookup(const char* name) const;
};

extern Scope* global_scope();

// A name with a module in it ("Module::name") stands for itself. The caller gets a reference.
extern ID* lookup_ID(const char* name, const char* module, bool no_global = false,
                     bool same_module_only = false, bool check_export = true);
#endif
