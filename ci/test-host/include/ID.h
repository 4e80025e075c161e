// Script-level identifiers.
#pragma once

#include "Val.h"

#include <string>

#if HOST_VERSION >= 30200
#include <string_view>

namespace zeek {
namespace detail {
#endif

class ID : public Obj {
public:
    ID(const std::string& arg_name, const ValPtr& arg_val) : name(arg_name), val(arg_val) {}

    const char* Name() const { return name.c_str(); }
    const ValPtr& GetVal() const { return val; }
#if HOST_VERSION < 30200
    Val* ID_Val() {
        return val.get();
    }
#endif

private:
    std::string name;
    ValPtr val;
};

typedef IntrusivePtr<ID> IDPtr;

#if HOST_VERSION >= 30200
} // namespace detail

namespace id {
// The identifier of that full name, or null.
const detail::IDPtr& find(std::string_view name);
#if HOST_VERSION >= 40000
// The value of an identifier that exists.
const ValPtr& find_val(std::string_view name);
#endif
} // namespace id
} // namespace zeek
#endif

#if HOST_VERSION < 40000
// The value of the variable of that full name, or null.
TYPES Val* opt_internal_val(const char* name);
#endif
