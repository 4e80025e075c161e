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

// What of the host that takes. The first three are members of threading::Field, of
// threading::Value and of nothing; the format is given first to the format's functions.
struct Reads {
    bool (*field)(void* field, void* format);
    bool (*value)(void* value, void* format);
    const char* (*type_name)(int tag);

    const Word* format_vtable;
    std::size_t format_vtable_words;
    Word format_reads[14]; // in the order of their declaration
};

// The layout of `host`, as it is called in messages; throws a Refusal that names what was not
// found, or not in a place that can be used.
bzw_layout find_layout(const Reads& reads, const Memory& memory, const std::string& host);

// A layout in words.
std::string describe(const bzw_layout& layout);

} // namespace portable
} // namespace bzw

#endif
