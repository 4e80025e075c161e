// The host's layout of log records, taken from its own headers.
//
// BZW_LAYOUT is in bzw_family.h, which build.rs writes from the table of src/host/layout.rs and the
// family that belongs to the host's version.
#ifndef BZW_LAYOUT_H
#define BZW_LAYOUT_H

#include <cstddef>
#include <cstdint>

#include "bro_zeromq_writer.h"
#include "bzw_family.h"

#include "compat.h"

namespace bzw {
namespace layout {

namespace threading = host::threading;
using TypeTag = host::Type;

#define BZW_CHECK(MEMBER, VALUE, EXPECTED, WHAT)                                                             \
    static_assert(static_cast<std::uint32_t>(VALUE) == EXPECTED,                                             \
                  WHAT ": the host's header differs from layout family " BZW_FAMILY " (" #MEMBER ")");
BZW_LAYOUT(BZW_CHECK)
#undef BZW_CHECK

// Every member must be in the list, or a new one would be sent as 0.
#define BZW_COUNT(MEMBER, VALUE, EXPECTED, WHAT) +1
static_assert(sizeof(bzw_layout) == sizeof(std::uint32_t) * (1 BZW_LAYOUT(BZW_COUNT)),
              "bzw_layout has members that BZW_LAYOUT does not list");
#undef BZW_COUNT

inline bzw_layout of_host() {
    bzw_layout layout = {};
    layout.struct_size = static_cast<std::uint32_t>(sizeof layout);
#define BZW_FILL(MEMBER, VALUE, EXPECTED, WHAT) layout.MEMBER = static_cast<std::uint32_t>(VALUE);
    BZW_LAYOUT(BZW_FILL)
#undef BZW_FILL
    return layout;
}

} // namespace layout
} // namespace bzw

#endif
