// How a host lays out its log records, found out by letting it read some.
#ifndef BZW_PORTABLE_VALUES_H
#define BZW_PORTABLE_VALUES_H

#include <cstddef>
#include <string>

#include "bro_zeromq_writer.h"

#include "host.h"
#include "image.h"

namespace bzw {
namespace portable {

// The host's functions that are needed for this. `field` and `value` are members of
// threading::Field and threading::Value. The format's functions get the format first.
struct Reads {
    bool (*field)(void* field, void* format);
    bool (*value)(void* value, void* format);
    const char* (*type_name)(int tag);

    const Word* format_vtable;
    std::size_t format_vtable_words;
    Word format_reads[14]; // in the order of their declaration
};

// Finds the layout of a host, which messages call `host`. Throws a Refusal that names what was not
// found, or is in a place that cannot be used.
bzw_layout find_layout(const Reads& reads, const Memory& memory, const std::string& host);

// A layout in words.
std::string describe(const bzw_layout& layout);

} // namespace portable
} // namespace bzw

#endif
