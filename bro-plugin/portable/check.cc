#include "check.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace bzw {
namespace portable {

namespace {

// More than any log has; a number past these was not one.
constexpr int most_fields = 1 << 16;
constexpr std::size_t most_options = 1 << 12;
constexpr std::size_t longest_name = 1 << 12;
constexpr std::int64_t longest_text = std::int64_t{1} << 31;

// TypeTag has 27 enumerators at most. The first is that of no type at all.
constexpr std::uint32_t most_tags = 32;
constexpr std::uint32_t unknown = 0;

// How much of a nested value is looked at.
constexpr int deepest = 4;
constexpr std::int64_t most_elements = 8;

// Any time since 1970 that a host could mean, and then some.
constexpr double latest = 1e12;

template <class T> T at(const unsigned char* bytes, std::uint32_t offset) {
    T value;
    std::memcpy(&value, bytes + offset, sizeof value);
    return value;
}

// The nodes of a std::map in libstdc++ (bits/stl_tree.h), which its loops follow.
struct Node {
    int color;
    const Node* parent;
    const Node* left;
    const Node* right;
};

struct Tree {
    char compare[8];
    Node header;
    std::size_t count;
};

static_assert(sizeof(Tree) == sizeof(ConfigMap), "this is not libstdc++'s std::map");

bool plausible(const Memory& memory, const ConfigMap* map) {
    Tree tree;
    if (!memory.Read(map, &tree) || tree.header.color != 0 || tree.count > most_options)
        return false;
    const Node* end = &reinterpret_cast<const Tree*>(map)->header;
    if (tree.count == 0)
        return !tree.header.parent && tree.header.left == end && tree.header.right == end;
    Node root;
    return memory.Read(tree.header.parent, &root) && root.parent == end;
}

bool plausible(const Memory& memory, const std::string* string) {
    struct {
        const char* data;
        std::size_t length;
    } parts;
    char last;
    return memory.Read(string, &parts) && parts.length < longest_name &&
           memory.Read(parts.data + parts.length, &last) && last == '\0' &&
           memory.String(parts.data, longest_name);
}

// The filter's name, in hosts that tell it.
template <class WriterInfo> bool read_name(const Memory&, const WriterInfo&, const char** name) {
    *name = nullptr;
    return true;
}

template <> bool read_name(const Memory& memory, const WriterInfo71& info, const char** name) {
    if (!plausible(memory, &info.filter_name))
        return false;
    *name = info.filter_name.c_str();
    return true;
}

template <class WriterInfo> bool read(const Memory& memory, const void* from, Info* into) {
    // Once all of it is known to be there, it can be looked at where it is.
    unsigned char copy[sizeof(WriterInfo)];
    if (!memory.Read(from, copy, sizeof copy))
        return false;
    const auto& info = *static_cast<const WriterInfo*>(from);
    for (double time : {info.rotation_interval, info.network_time})
        if (!(time >= 0 && time < latest))
            return false;
    if (!memory.String(info.path, longest_name) || !plausible(memory, &info.config))
        return false;
    into->path = info.path;
    into->config = &info.config;
    return read_name(memory, info, &into->filter_name);
}

std::string number(std::uint64_t value) {
    return std::to_string(value);
}

} // namespace

Check::Check(const bzw_layout& arg_layout) : layout(arg_layout) {}

std::uint32_t Check::Tag(const unsigned char* bytes) const {
    return layout.tag_size == 1 ? *bytes : at<std::uint32_t>(bytes, 0);
}

std::string Check::Writer(const void* info, Version version, Info* into) const {
    bool good;
    if (version < Version{3, 2})
        good = read<WriterInfo25>(memory, info, into);
    else if (version < Version{7, 1})
        good = read<WriterInfo32>(memory, info, into);
    else
        good = read<WriterInfo71>(memory, info, into);
    if (!good)
        return "its path and options are not where they should be";
    for (const auto& option : *into->config)
        if (!memory.String(option.first, longest_name) || !memory.String(option.second, std::size_t{1} << 20))
            return "its options are not text";
    return {};
}

std::string Check::Fields(int num_fields, const void* const* fields) {
    if (num_fields < 0 || num_fields > most_fields)
        return "it has " + std::to_string(num_fields) + " columns";
    std::vector<unsigned char> field(layout.field_size);
    for (int i = 0; i < num_fields; ++i) {
        const void* place;
        const char* name;
        if (!memory.Read(fields + i, &place) || !memory.Read(place, field.data(), field.size()))
            return "its column " + std::to_string(i + 1) + " is not there";
        name = at<const char*>(field.data(), layout.field_name);
        if (!memory.String(name, longest_name))
            return "its column " + std::to_string(i + 1) + " has no name";
        const std::uint32_t type = Tag(field.data() + layout.field_type);
        const std::uint32_t subtype = Tag(field.data() + layout.field_subtype);
        const std::uint32_t optional = field[layout.field_optional];
        if (type == 0 || type >= most_tags)
            return "its column \"" + std::string(name) + "\" is of type " + number(type);
        if (subtype >= most_tags)
            return "its column \"" + std::string(name) + "\" is of subtype " + number(subtype);
        if (optional > 1)
            return "its column \"" + std::string(name) + "\" is optional by " + number(optional);
        columns.push_back({name, type, subtype, optional == 1});
    }
    return {};
}

std::string Check::Record(Version version, const void* const* vals) const {
    bool some_required = false;
    bool some_present = false;
    const void* value = nullptr;
    for (std::size_t i = 0; i < columns.size(); ++i) {
        const Column& column = columns[i];
        const void* previous = value;
        bool present = false;
        std::string wrong = "there is no value";
        if (memory.Read(vals + i, &value))
            wrong = Value(value, column.type, column.subtype, 0, &present);
        if (!wrong.empty())
            return "in column \"" + column.name + "\" " + wrong;
        if (i > 0 && !(version < values_in_a_row) &&
            reinterpret_cast<std::uintptr_t>(value) - reinterpret_cast<std::uintptr_t>(previous) !=
                layout.value_size)
            return "the value of column \"" + column.name + "\" is not " + number(layout.value_size) +
                   " bytes behind that of the column before";
        some_required = some_required || !column.optional;
        some_present = some_present || present;
    }
    if (some_required && !some_present)
        return "it has no value in any column";
    return {};
}

// An element of a set or vector has that's subtype as its type; what its own subtype is,
// if it has one, is not known.
std::string Check::Value(const void* value, std::uint32_t type, std::uint32_t subtype, int depth,
                         bool* present) const {
    unsigned char bytes[128];
    if (layout.value_size > sizeof bytes || !memory.Read(value, bytes, layout.value_size))
        return "there is no value";
    const std::uint32_t tag = Tag(bytes + layout.value_type);
    if (type == unknown ? tag == 0 || tag >= most_tags : tag != type)
        return "is a value of type " + number(tag) + " where " + number(type) + " is expected";
    // A host leaves the subtype of what it logs open, or sets it to the column's.
    const std::uint32_t tag_below =
        layout.value_subtype == BZW_ABSENT ? unknown : Tag(bytes + layout.value_subtype);
    if (tag_below != unknown && (type == unknown ? tag_below >= most_tags : tag_below != subtype))
        return "is a value of subtype " + number(tag_below) + " where " + number(subtype) + " is expected";
    const std::uint32_t is_present = bytes[layout.value_present];
    if (is_present > 1)
        return "is a value that is present by " + number(is_present);
    *present = is_present == 1;
    if (!*present)
        return {};
    return Content(bytes + layout.value_val, tag, subtype, depth);
}

std::string Check::Content(const unsigned char* content, std::uint32_t type, std::uint32_t subtype,
                           int depth) const {
    if (type == layout.tag_bool) {
        const auto value = at<std::uint64_t>(content, 0);
        if (value > 1)
            return "is a bool of " + number(value);
    } else if (type == layout.tag_time) {
        const double value = at<double>(content, 0);
        if (!std::isfinite(value) || std::fabs(value) >= latest)
            return "is a time that never comes";
    } else if (type == layout.tag_port) {
        const auto value = at<std::uint64_t>(content, layout.val_port_port);
        if (value > 65535)
            return "is a port of " + number(value);
    } else if (type == layout.tag_addr || type == layout.tag_subnet) {
        const std::uint32_t start = type == layout.tag_addr ? 0 : layout.val_subnet_prefix;
        const std::uint32_t at_family = start + layout.val_addr_family;
        const std::uint32_t family =
            layout.ip_family_size == 1 ? content[at_family] : at<std::uint32_t>(content, at_family);
        if (family != layout.ip_family_v4 && family != layout.ip_family_v6)
            return "is an address of family " + number(family);
        if (type == layout.tag_subnet && content[layout.val_subnet_length] > 128)
            return "is a subnet of " + number(content[layout.val_subnet_length]) + " bits";
    } else if (type == layout.tag_string || type == layout.tag_enum || type == layout.tag_func ||
               type == layout.tag_file) {
        const auto* data = at<const char*>(content, layout.val_string_data);
        const auto length = at<std::int32_t>(content, layout.val_string_length);
        if (length < 0)
            return "is a text of " + std::to_string(length) + " bytes";
        char some[256];
        if (length > 0 && (!memory.Read(data, some, std::min<std::size_t>(length, sizeof some)) ||
                           !memory.Read(data + length - 1, some, 1)))
            return "is a text that is not there";
    } else if (type == layout.tag_table || type == layout.tag_vector) {
        const auto size = at<std::int64_t>(content, layout.val_set_size);
        const auto* vals = at<const void* const*>(content, layout.val_set_vals);
        if (size < 0 || size > longest_text)
            return "is a set of " + std::to_string(size) + " elements";
        if (depth >= deepest)
            return {};
        for (std::int64_t i = 0; i < std::min(size, most_elements); ++i) {
            const void* element;
            bool present;
            if (!memory.Read(vals + i, &element))
                return "is a set that is not there";
            const std::string wrong = Value(element, subtype, unknown, depth + 1, &present);
            if (!wrong.empty())
                return wrong;
        }
    }
    return {};
}

} // namespace portable
} // namespace bzw
