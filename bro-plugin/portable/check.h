// Checks that what a host hands to a writer is made as it should be: when the writer starts, and
// its records until one has passed. The check trusts nothing. What counts is how a thing is made,
// never what it says, which may come from a packet.
#ifndef BZW_PORTABLE_CHECK_H
#define BZW_PORTABLE_CHECK_H

#include <cstdint>
#include <string>
#include <vector>

#include "bro_zeromq_writer.h"

#include "facts.h"
#include "image.h"

namespace bzw {
namespace portable {

// WriterBackend::WriterInfo, whatever the host's version.
struct Info {
    const char* path;
    const char* filter_name; // null in hosts that do not tell it
    const ConfigMap* config;
};

class Check {
public:
    explicit Check(const bzw_layout& layout);

    // Returns true if anything can be checked.
    bool Usable() const { return memory.Usable(); }

    // Returns what is wrong, or an empty text; so do Fields() and Record().
    std::string WriterInfo(const void* writer, const void* info, Info* read) const;

    // The log path of a writer that the host has just made for a frontend; null if it is nowhere.
    const char* PathOf(const void* writer, const void* frontend) const;
    std::string Fields(int num_fields, const void* const* fields);
    std::string Record(const void* const* vals) const;

    // Returns true if a record has as many values as there are columns.
    bool Fits(int num_fields) const {
        return num_fields >= 0 && static_cast<std::size_t>(num_fields) == columns.size();
    }

private:
    struct Column {
        std::string name;
        std::uint32_t type;
        std::uint32_t subtype;
    };

    std::string Value(const void* value, std::uint32_t type, std::uint32_t subtype, int depth) const;
    std::string Content(const unsigned char* content, std::uint32_t type, std::uint32_t subtype,
                        int depth) const;
    std::uint32_t Tag(const unsigned char* bytes) const;
    std::string NamedAfter(const void* writer) const;

    const bzw_layout& layout;
    Memory memory;
    std::vector<Column> columns;
};

} // namespace portable
} // namespace bzw

#endif
