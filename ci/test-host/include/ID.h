// Script-level identifiers.
#pragma once

#include "Val.h"

#include <string>

#if TEST_HOST_VERSION >= 40000
#include <string_view>

namespace zeek {
namespace detail {
#endif

class ID : public TEST_HOST_NS::Obj {
public:
    ID(const std::string& arg_name, const TEST_HOST_NS::ValPtr& arg_val) : name(arg_name), val(arg_val) {}

    const char* Name() const { return name.c_str(); }
#if TEST_HOST_VERSION >= 40000
    const ValPtr& GetVal() const {
        return val;
    }
#else
    Val* ID_Val() {
        return val.get();
    }
#endif

private:
    std::string name;
    TEST_HOST_NS::ValPtr val;
};

#if TEST_HOST_VERSION >= 40000
typedef IntrusivePtr<ID> IDPtr;
} // namespace detail

namespace id {
// The identifier of that full name, or null.
const detail::IDPtr& find(std::string_view name);
} // namespace id
} // namespace zeek
#endif
