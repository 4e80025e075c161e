#include "values.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

#include "bzw_families.h" // from build.rs: `type_names`

namespace bzw {
namespace portable {

namespace {

// Any host can fill a value or a column with what another process has sent: it asks a format
// for one part after the other, by a name that says which, and most often tells where in the
// object to put the part. With a format of ours, objects whose memory we know before, and two runs
// that differ in one thing, the rest shows too. A host ends itself when it is to read a value of a
// type that it does not read (COUNTER in 4.0), so that it is asked for no more types than are needed.

// Larger than any value or column (at most 56 bytes).
constexpr std::size_t room = 512;

// The numbers of types that the host is asked about: more than it has.
constexpr int most_tags = 255;

constexpr char column_name[] = "a_column";

// No offset.
constexpr std::size_t nowhere = ~std::size_t{0};

// A format, to the host, and what it was asked for.
struct Format {
    const Word* functions;
    unsigned char base[256] = {}; // whatever else the host's class has

    // What to hand out.
    std::uint32_t types[2] = {}; // of a value, and of the value in it
    std::uint32_t subtype = 0;
    char family = 4;
    char length = 96;

    struct Asked {
        const char* part;
        const unsigned char* place;
        std::size_t size;
        std::size_t offset; // in the object that was read into, or nowhere
    };
    std::vector<Asked> asked;
    std::size_t values = 0;

    template <class Part> bool Give(const char* part, Part* place, Part what) {
        asked.push_back({part, reinterpret_cast<const unsigned char*>(place), sizeof *place, nowhere});
        *place = what;
        return true;
    }

    // The `which`th part of that name that was asked for, or null.
    const Asked* Find(const char* part, int which = 0) const {
        for (const Asked& one : asked)
            if (std::strcmp(one.part, part) == 0 && which-- == 0)
                return &one;
        return nullptr;
    }
};

bool is(const char* part, const char* name) {
    return std::strcmp(part, name) == 0;
}

// The functions that go into the format's slots. The host's own code calls them. They may throw
// as its own do, when there is no memory.
bool give_int(Format* format, int* place, const char* part) {
    int what = 1;
    if (is(part, "type"))
        what = static_cast<int>(format->types[std::min<std::size_t>(format->values++, 1)]);
    else if (is(part, "subtype"))
        what = static_cast<int>(format->subtype);
    return format->Give(part, place, what);
}
bool give_bool(Format* format, bool* place, const char* part) {
    return format->Give(part, place, !is(part, "have_2nd"));
}
bool give_int64(Format* format, std::int64_t* place, const char* part) {
    return format->Give(part, place, std::int64_t{1}); // also how many there are in a set
}
bool give_char(Format* format, char* place, const char* part) {
    return format->Give(part, place, std::strstr(part, "family") ? format->family : format->length);
}
bool give_double(Format* format, double* place, const char* part) {
    return format->Give(part, place, 1.0);
}
bool give_text(Format* format, char** data, int* length, const char* part) {
    return format->Give(part, data, static_cast<char*>(nullptr)) && format->Give("length", length, 0);
}
bool give_string(Format* format, std::string* place, const char* part) {
    format->asked.push_back({part, reinterpret_cast<const unsigned char*>(place), sizeof *place, nowhere});
    *place = column_name;
    return true;
}
template <std::size_t size>
bool give_address(Format* format, unsigned char (*place)[size], const char* part) {
    format->asked.push_back({part, *place, size, nowhere});
    std::memset(place, 1, size);
    return true;
}
bool give_nothing(Format*) {
    return false;
}

template <class Function> Word word_of(Function* function) {
    return reinterpret_cast<Word>(function);
}

// The object that the host reads into, and what became of its memory. The host reads twice, onto
// two backgrounds, which tells the bytes that were written from those that were not.
struct Sample {
    alignas(64) unsigned char bytes[room];
    bool written[room];
    Format format;

    // The offset of a part, or nowhere.
    std::size_t At(const char* part) const {
        const Format::Asked* one = format.Find(part);
        return one ? one->offset : nowhere;
    }

    // Returns true if a byte was written, and not as one of the parts that were asked for.
    bool Own(std::size_t offset) const {
        return offset < room && written[offset] &&
               std::none_of(format.asked.begin(), format.asked.end(), [&](const Format::Asked& one) {
                   return one.offset != nowhere && offset >= one.offset && offset < one.offset + one.size;
               });
    }

    // How large the number is whose lowest byte is at an offset: its other bytes are 0.
    std::uint32_t SizeOfNumber(std::size_t offset) const {
        std::uint32_t size = 1;
        while (size < 8 && Own(offset + size) && bytes[offset + size] == 0)
            ++size;
        return size;
    }
};

class Finding {
public:
    Finding(const Reads& arg_reads, const Memory& arg_memory, const std::string& arg_host)
        : reads(arg_reads), memory(arg_memory), host(arg_host) {
        std::fill(table, table + vtable_room, word_of(give_nothing));
        const Word functions[] = {word_of(give_int),         word_of(give_nothing), word_of(give_nothing),
                                  word_of(give_int64),       word_of(give_int64),   word_of(give_char),
                                  word_of(give_bool),        word_of(give_double),  word_of(give_string),
                                  word_of(give_nothing),     word_of(give_nothing), word_of(give_address<4>),
                                  word_of(give_address<16>), word_of(give_text)};
        // Where one function was made of several that are the same, its slots come in the order of
        // the declarations.
        bool taken[vtable_room] = {};
        for (std::size_t i = 0; i < sizeof functions / sizeof *functions; ++i) {
            std::size_t slot = vtable_header;
            while (slot < reads.format_vtable_words &&
                   (taken[slot] || reads.format_vtable[slot] != reads.format_reads[i]))
                ++slot;
            if (slot == reads.format_vtable_words)
                Fail("a format has a function in no slot of its class");
            taken[slot] = true;
            table[slot] = functions[i];
        }
    }

    bzw_layout Layout() {
        layout.struct_size = sizeof layout;
        Types();
        Columns();
        Values();
        Numbers();
        Addresses();
        Subnets();
        Texts();
        Sets();
        layout.field_size = (std::max({layout.field_name + 8, layout.field_type + layout.tag_size,
                                       layout.field_optional + 1}) +
                             7) &
                            ~7U;
        layout.value_size = (std::max({layout.value_val + 24, layout.value_type + layout.tag_size,
                                       layout.value_present + 1}) +
                             7) &
                            ~7U;
        if (bzw_layout_check(&layout) != BZW_OK)
            Fail(describe(layout), " is not to be read by this plugin");
        return layout;
    }

private:
    template <class... Parts> [[noreturn]] void Fail(const Parts&... parts) const {
        Refusal refusal;
        refusal.what = host + " reads or lays out its log records otherwise than any host known: ";
        (refusal.what.append(parts), ...);
        throw refusal;
    }

    void Types() {
        for (const TypeName& type : type_names)
            layout.*type.tag = BZW_ABSENT;
        for (int tag = 0; tag < most_tags; ++tag) {
            const char* told = reads.type_name(tag);
            for (const TypeName& type : type_names) {
                if (!told || !is(told, type.name))
                    continue;
                if (layout.*type.tag != BZW_ABSENT)
                    Fail("two of its types are called ", type.name);
                layout.*type.tag = static_cast<std::uint32_t>(tag);
            }
        }
        for (const TypeName& type : type_names)
            if (type.always && layout.*type.tag == BZW_ABSENT)
                Fail("none of its types is called ", type.name);
    }

    // Reads twice; what the host has allocated is given back by `free`.
    template <class Free>
    Sample Take(bool (*read)(void*, void*), const char* what, const Format& presets, const Free& free) const {
        Sample sample;
        std::memset(sample.written, 0, sizeof sample.written);
        for (const unsigned char background : {0x5a, 0xa5}) {
            std::memset(sample.bytes, background, room);
            sample.format = presets;
            sample.format.functions = table + vtable_header;
            if (!read(sample.bytes, &sample.format))
                Fail("it does not read a ", what);
            for (std::size_t i = 0; i < room; ++i)
                sample.written[i] = sample.written[i] || sample.bytes[i] != background;
            for (Format::Asked& one : sample.format.asked) {
                const auto offset = reinterpret_cast<Word>(one.place) - reinterpret_cast<Word>(sample.bytes);
                one.offset = offset < room ? offset : nowhere;
            }
            free(sample);
        }
        return sample;
    }

    Sample Column(std::uint32_t type, std::uint32_t subtype, std::size_t* name) const {
        Format presets;
        presets.types[0] = type;
        presets.subtype = subtype;
        return Take(reads.field, "column", presets, [&](const Sample& sample) {
            *name = nowhere;
            for (std::size_t at = 0; at < room; at += sizeof(char*)) {
                char* text;
                char copy[sizeof column_name];
                std::memcpy(&text, sample.bytes + at, sizeof text);
                if (!memory.Read(text, &copy) || !std::equal(copy, copy + sizeof copy, column_name))
                    continue;
                *name = at;
                ::operator delete[](text);
                return;
            }
            Fail("the name of a column is nowhere in it");
        });
    }

    Sample Value(std::uint32_t type, std::uint32_t subtype, char family = 4, char length = 96) const {
        Format presets;
        presets.types[0] = type;
        presets.subtype = subtype;
        presets.family = family;
        presets.length = length;
        return Take(reads.value, reads.type_name(static_cast<int>(type)), presets, [](const Sample&) {});
    }

    // The one offset at which the sample `a` has the number `in_a`, and `b` has `in_b`.
    std::size_t Only(const char* what, const Sample& a, unsigned in_a, const Sample& b, unsigned in_b) const {
        std::size_t found = nowhere;
        for (std::size_t i = 0; i < room; ++i) {
            if (!a.Own(i) || !b.Own(i) || a.bytes[i] != in_a || b.bytes[i] != in_b)
                continue;
            if (found != nowhere)
                Fail(what, " is in two places");
            found = i;
        }
        if (found == nowhere)
            Fail(what, " is nowhere");
        return found;
    }

    std::uint32_t At(const Sample& sample, const char* part) const {
        const std::size_t offset = sample.At(part);
        if (offset == nowhere)
            Fail("it does not put \"", part, "\" into it");
        return static_cast<std::uint32_t>(offset);
    }

    std::uint32_t Within(const Sample& sample, const char* part) const {
        const std::uint32_t offset = At(sample, part);
        if (offset < layout.value_val)
            Fail("\"", part, "\" is not where other values are");
        return offset - layout.value_val;
    }

    void Same(const char* what, std::uint32_t a, std::uint32_t b) const {
        if (a != b)
            Fail(what, " is at ", std::to_string(a), " and at ", std::to_string(b));
    }

    void Columns() {
        std::size_t name;
        std::size_t other_name;
        const Sample a = Column(layout.tag_int, layout.tag_count, &name);
        const Sample b = Column(layout.tag_double, layout.tag_string, &other_name);
        Same("a column's name", static_cast<std::uint32_t>(name), static_cast<std::uint32_t>(other_name));
        layout.field_name = static_cast<std::uint32_t>(name);
        layout.field_optional = At(a, "optional");
        const std::size_t type = Only("a column's type", a, layout.tag_int, b, layout.tag_double);
        layout.field_type = static_cast<std::uint32_t>(type);
        layout.field_subtype =
            static_cast<std::uint32_t>(Only("a column's subtype", a, layout.tag_count, b, layout.tag_string));
        layout.tag_size = a.SizeOfNumber(type);
    }

    void Values() {
        const Sample a = Value(layout.tag_int, layout.tag_count);
        const Sample b = Value(layout.tag_double, layout.tag_string);
        const std::size_t type = Only("a value's type", a, layout.tag_int, b, layout.tag_double);
        Same("the end of a value's type", layout.tag_size, a.SizeOfNumber(type));
        layout.value_type = static_cast<std::uint32_t>(type);
        layout.value_subtype = BZW_ABSENT;
        if (a.format.Find("subtype"))
            layout.value_subtype = static_cast<std::uint32_t>(
                Only("a value's subtype", a, layout.tag_count, b, layout.tag_string));
        layout.value_present = At(a, "present");
        layout.value_val = At(a, "int");
    }

    void Numbers() {
        const struct {
            std::uint32_t tag;
            const char* part;
        } numbers[] = {
            {layout.tag_bool, "int"},    {layout.tag_count, "uint"},      {layout.tag_double, "double"},
            {layout.tag_time, "double"}, {layout.tag_interval, "double"},
        };
        for (const auto& number : numbers) {
            const Sample sample = Value(number.tag, 0);
            Same("a number", layout.value_val, At(sample, number.part));
            Same("whether a value is present", layout.value_present, At(sample, "present"));
        }
        layout.val_port_port = Within(Value(layout.tag_port, 0), "port");
    }

    void Addresses() {
        const Sample four = Value(layout.tag_addr, 0, 4);
        const Sample six = Value(layout.tag_addr, 0, 6);
        layout.val_addr_in = Within(four, "addr-in4");
        Same("an address", layout.val_addr_in, Within(six, "addr-in6"));
        std::size_t family = nowhere;
        for (std::size_t i = layout.value_val; i < room; ++i) {
            if (!four.Own(i) || !six.Own(i) || four.bytes[i] == six.bytes[i])
                continue;
            if (family != nowhere)
                Fail("an address's family is in two places");
            family = i;
        }
        if (family == nowhere)
            Fail("an address's family is nowhere");
        layout.val_addr_family = static_cast<std::uint32_t>(family) - layout.value_val;
        layout.ip_family_v4 = four.bytes[family];
        layout.ip_family_v6 = six.bytes[family];
        layout.ip_family_size = six.SizeOfNumber(family);
    }

    void Subnets() {
        const Sample four = Value(layout.tag_subnet, 0, 4, 104);
        const Sample six = Value(layout.tag_subnet, 0, 6, 64);
        const std::uint32_t address = Within(four, "subnet-in4");
        Same("a subnet's address", address, Within(six, "subnet-in6"));
        if (address < layout.val_addr_in)
            Fail("a subnet has no address in it");
        layout.val_subnet_prefix = address - layout.val_addr_in;
        const std::size_t family = layout.value_val + layout.val_subnet_prefix + layout.val_addr_family;
        if (!four.Own(family) || four.bytes[family] != layout.ip_family_v4 || !six.Own(family) ||
            six.bytes[family] != layout.ip_family_v6)
            Fail("a subnet's family is nowhere");
        const std::size_t length = Only("a subnet's length", four, 104, six, 64);
        layout.val_subnet_length = static_cast<std::uint32_t>(length) - layout.value_val;
    }

    void Texts() {
        const Sample text = Value(layout.tag_string, 0);
        layout.val_string_data = Within(text, "string");
        layout.val_string_length = Within(text, "length");
        const Sample other = Value(layout.tag_enum, 0);
        Same("a text", layout.val_string_data, Within(other, "string"));
        Same("a text's length", layout.val_string_length, Within(other, "length"));
    }

    // A set or vector of one element, which the host makes and reads as well.
    void Sets() {
        std::uint32_t vals[2];
        std::uint32_t sizes[2];
        for (const int i : {0, 1}) {
            Format presets;
            presets.types[0] = i == 0 ? layout.tag_table : layout.tag_vector;
            presets.types[1] = presets.subtype = layout.tag_int;
            const char* what = i == 0 ? "set" : "vector";
            const Sample sample = Take(reads.value, what, presets, [&](const Sample& one) {
                const Format::Asked* present = one.format.Find("present", 1);
                if (!present)
                    Fail("it reads a ", what, " without its elements");
                const unsigned char* element = present->place - layout.value_present;
                for (std::size_t at = 0; at < room; at += sizeof(void*)) {
                    void* elements;
                    void* first;
                    std::memcpy(&elements, one.bytes + at, sizeof elements);
                    if (!memory.Read(elements, &first) || first != element)
                        continue;
                    vals[i] = static_cast<std::uint32_t>(at);
                    // The element is a number, and has nothing else to give back.
                    ::operator delete(first);
                    ::operator delete[](elements);
                    return;
                }
                Fail("the elements of a ", what, " are nowhere in it");
            });
            sizes[i] = Within(sample, i == 0 ? "set_size" : "vector_size");
        }
        Same("where elements are", vals[0], vals[1]);
        Same("how many elements there are", sizes[0], sizes[1]);
        if (vals[0] < layout.value_val)
            Fail("elements are not where other values are");
        layout.val_set_vals = vals[0] - layout.value_val;
        layout.val_set_size = sizes[0];
    }

    const Reads& reads;
    const Memory& memory;
    const std::string& host;
    Word table[vtable_room];
    bzw_layout layout = {};
};

} // namespace

bzw_layout find_layout(const Reads& reads, const Memory& memory, const std::string& host) {
    return Finding(reads, memory, host).Layout();
}

std::string describe(const bzw_layout& layout) {
    std::string text = "type at " + std::to_string(layout.value_type) + " (" +
                       std::to_string(layout.tag_size) + (layout.tag_size == 1 ? " byte), " : " bytes), ");
    if (layout.value_subtype != BZW_ABSENT)
        text += "subtype at " + std::to_string(layout.value_subtype) + ", ";
    return text + "present at " + std::to_string(layout.value_present) + ", val at " +
           std::to_string(layout.value_val);
}

} // namespace portable
} // namespace bzw
