#include "check.h"

#include <algorithm>
#include <cstring>

namespace bzw {
namespace portable {

namespace {

// More than any log has: memory that says more does not hold such a number.
constexpr int most_fields = 1 << 16;
constexpr std::size_t most_options = 1 << 12;
constexpr std::size_t longest_text = std::size_t{1} << 31;

// TypeTag has 26 enumerators at most. The first stands for no type at all.
constexpr std::uint32_t most_tags = 64;
constexpr std::uint32_t unknown = 0;

// How much of a nested value is looked at.
constexpr int deepest = 4;
constexpr std::int64_t most_elements = 8;

// How far into a writer the name of its thread is looked for; it is one of its first members.
constexpr std::size_t name_words = 64;
constexpr std::size_t longest_name = std::size_t{1} << 16;

// How far into a WriterInfo its members are looked for; in 9.0 the map begins at 72.
constexpr std::size_t info_room = 512;

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

// Returns true if there is a std::map at an address: an empty map points to itself, and the root of
// any other map points back to it.
bool is_map(const Memory& memory, const unsigned char* at) {
    Tree tree;
    if (!memory.Read(at, &tree) || tree.header.color != 0 || tree.count > most_options)
        return false;
    const Node* end = &reinterpret_cast<const Tree*>(at)->header;
    if (tree.count == 0)
        return !tree.header.parent && tree.header.left == end && tree.header.right == end;
    Node root;
    return memory.Read(tree.header.parent, &root) && root.parent == end;
}

// Returns true if there is a std::string at an address: a short string points to itself, and any
// other string to more room than a short one has.
bool is_string(const Memory& memory, const unsigned char* at) {
    struct {
        const char* data;
        std::size_t length;
        std::size_t capacity; // or the start of a short string
    } string;
    if (!memory.Read(at, &string))
        return false;
    constexpr std::size_t longest_short = 15;
    const bool is_short = reinterpret_cast<const unsigned char*>(string.data) == at + 16;
    if (is_short ? string.length > longest_short
                 : string.capacity <= longest_short || string.capacity > longest_text ||
                       string.length > string.capacity)
        return false;
    char last;
    return memory.Read(string.data + string.length, &last) && last == '\0';
}

std::string number(std::uint64_t value) {
    return std::to_string(value);
}

} // namespace

Check::Check(const bzw_layout& arg_layout) : layout(arg_layout) {}

std::uint32_t Check::Tag(const unsigned char* bytes) const {
    return layout.tag_size == 1 ? *bytes : at<std::uint32_t>(bytes, 0);
}

// The log path that a writer's thread is named after ("conn/Log::WRITER_ZEROMQ"); empty if there is
// no such name.
std::string Check::NamedAfter(const void* writer) const {
    constexpr char end[] = "/Log::WRITER_ZEROMQ";
    for (std::size_t i = 0; i < name_words; ++i) {
        const char* text;
        std::string name;
        if (!memory.Read(static_cast<const char* const*>(writer) + i, &text) ||
            !memory.Text(text, longest_name, &name))
            continue;
        const std::size_t length = sizeof end - 1;
        if (name.size() >= length && name.compare(name.size() - length, length, end) == 0)
            return name.substr(0, name.size() - length);
    }
    return {};
}

std::string Check::WriterInfo(const void* writer, const void* info, Info* into) const {
    const auto* start = static_cast<const unsigned char*>(info);
    std::size_t map = 0;
    while (!is_map(memory, start + map)) {
        map += sizeof(void*);
        if (map >= info_room)
            return "its options are not where they should be";
    }
    // The path is the text that the thread is named after; without such a name, the first text.
    const std::string path = NamedAfter(writer);
    into->path = nullptr;
    for (std::size_t i = 0; i < map && !into->path; i += sizeof(void*)) {
        const char* text;
        std::string copy;
        if (!memory.Read(start + i, &text))
            continue;
        if (path.empty() ? i == 0 && memory.String(text, longest_text)
                         : memory.Text(text, longest_name, &copy) && copy == path)
            into->path = text;
    }
    if (!into->path)
        return "its path is not where it should be";
    into->config = reinterpret_cast<const ConfigMap*>(start + map);
    into->filter_name = nullptr;
    for (std::size_t i = 0; i + sizeof(std::string) <= map && !into->filter_name; i += sizeof(void*))
        if (is_string(memory, start + i))
            into->filter_name = reinterpret_cast<const std::string*>(start + i)->c_str();
    for (const auto& option : *into->config)
        if (!memory.String(option.first, longest_text) || !memory.String(option.second, longest_text))
            return "its options are not text";
    return {};
}

const char* Check::PathOf(const void* writer, const void* frontend) const {
    // A writer keeps its frontend, and then what it was told of the log.
    constexpr std::size_t part = 64;
    const auto* start = static_cast<const unsigned char*>(writer);
    const void* words[part + behind_frontend];
    for (std::size_t from = 0; from < writer_room && memory.Read(start + from, &words);
         from += part * sizeof(void*))
        for (std::size_t i = 0; i < part; ++i)
            for (std::size_t next = i + 1; words[i] == frontend && next <= i + behind_frontend; ++next) {
                Info info;
                if (next < part + behind_frontend && WriterInfo(writer, words[next], &info).empty())
                    return info.path;
            }
    return nullptr;
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
        if (!memory.String(name, longest_text))
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
        columns.push_back({name, type, subtype});
    }
    return {};
}

std::string Check::Record(const void* const* vals) const {
    for (std::size_t i = 0; i < columns.size(); ++i) {
        const Column& column = columns[i];
        const void* value;
        std::string wrong = "there is no value";
        if (memory.Read(vals + i, &value))
            wrong = Value(value, column.type, column.subtype, 0);
        if (!wrong.empty())
            return "in column \"" + column.name + "\" " + wrong;
    }
    return {};
}

// A value's own subtype is not looked at: hosts leave it open, set it to the column's, or to the
// type itself (7.1 to 8.0.7, and 8.1). An element of a set or vector has the column's subtype as
// its type.
std::string Check::Value(const void* value, std::uint32_t type, std::uint32_t subtype, int depth) const {
    std::vector<unsigned char> bytes(layout.value_size);
    if (!memory.Read(value, bytes.data(), bytes.size()))
        return "there is no value";
    const std::uint32_t tag = Tag(bytes.data() + layout.value_type);
    if (type == unknown ? tag == 0 || tag >= most_tags : tag != type)
        return "is a value of type " + number(tag) + " where " + number(type) + " is expected";
    const std::uint32_t is_present = bytes[layout.value_present];
    if (is_present > 1)
        return "is a value that is present by " + number(is_present);
    if (is_present == 0)
        return {};
    return Content(bytes.data() + layout.value_val, tag, subtype, depth);
}

std::string Check::Content(const unsigned char* content, std::uint32_t type, std::uint32_t subtype,
                           int depth) const {
    if (type == layout.tag_string || type == layout.tag_enum || type == layout.tag_func ||
        type == layout.tag_file) {
        const auto* data = at<const char*>(content, layout.val_string_data);
        const auto length = at<std::int32_t>(content, layout.val_string_length);
        if (length < 0)
            return "is a text of " + std::to_string(length) + " bytes";
        char some[256];
        if (length > 0 && (!memory.Read(data, some, std::min<std::size_t>(length, sizeof some)) ||
                           !memory.Read(data + length - 1, some, 1)))
            return "is a text that is not there";
    } else if (type == layout.tag_addr || type == layout.tag_subnet) {
        const std::uint32_t at_family =
            layout.val_addr_family + (type == layout.tag_addr ? 0 : layout.val_subnet_prefix);
        const std::uint32_t family =
            layout.ip_family_size == 1 ? content[at_family] : at<std::uint32_t>(content, at_family);
        if (family != layout.ip_family_v4 && family != layout.ip_family_v6)
            return "is an address of family " + number(family);
    } else if (type == layout.tag_table || type == layout.tag_vector) {
        const auto size = at<std::int64_t>(content, layout.val_set_size);
        const auto* vals = at<const void* const*>(content, layout.val_set_vals);
        if (size < 0 || static_cast<std::uint64_t>(size) > longest_text)
            return "is a set of " + std::to_string(size) + " elements";
        if (depth >= deepest)
            return {};
        for (std::int64_t i = 0; i < std::min(size, most_elements); ++i) {
            const void* element;
            if (!memory.Read(vals + i, &element))
                return "is a set that is not there";
            const std::string wrong = Value(element, subtype, unknown, depth + 1);
            if (!wrong.empty())
                return wrong;
        }
    }
    return {};
}

} // namespace portable
} // namespace bzw
