// A formatter that turns log records into JSON in the way hosts do: the peer that the
// encoder is compared with. Written for this benchmark; it does what a host has to do
// for each record and no more:
//
// - a new buffer and a new RapidJSON writer, and a copy of the buffer at the end;
// - for each field its name as a std::string, which RapidJSON escapes;
// - for each text a std::string, from which another one is made that is valid UTF-8, which
//   RapidJSON then escapes;
// - for each address a std::string that inet_ntop made.
//
// Nothing here is meant to be robust: the records are the benchmark's own.

#include <arpa/inet.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

namespace {

// threading::Field and threading::Value as Zeek 8.0 lays them out.

enum Type : uint8_t {
    BOOL = 1,
    INT = 2,
    COUNT = 3,
    DOUBLE = 4,
    TIME = 5,
    INTERVAL = 6,
    STRING = 7,
    ENUM = 9,
    PORT = 10,
    ADDR = 11,
    SUBNET = 12,
    TABLE = 14,
    FUNC = 17,
    FILE_ = 18,
    VECTOR = 19,
};

struct Field {
    const char* name;
    const char* secondary_name;
    Type type;
    Type subtype;
    bool optional;
};

struct Address {
    uint8_t family; // 0: IPv4
    union {
        in_addr in4;
        in6_addr in6;
    } in;
};

struct Subnet {
    Address prefix;
    uint8_t length;
};

struct Value {
    Type type;
    Type subtype;
    union {
        int64_t integer;
        uint64_t count;
        double number;
        Address address;
        Subnet subnet;
        struct {
            const char* data;
            int length;
        } string;
        struct {
            int64_t size;
            Value** values;
        } list;
    } val;
    bool present;
    int line_number;
};

static_assert(offsetof(Value, val) == 8 && offsetof(Value, present) == 32 && sizeof(Value) == 40);
static_assert(offsetof(Subnet, length) == 20 && offsetof(Address, in) == 4);

// RapidJSON refuses to write NaN and the infinities; hosts write null instead.
class Writer : public rapidjson::Writer<rapidjson::StringBuffer> {
public:
    using rapidjson::Writer<rapidjson::StringBuffer>::Writer;

    bool Double(double number) {
        if (std::isnan(number) || std::isinf(number))
            return Null();
        return rapidjson::Writer<rapidjson::StringBuffer>::Double(number);
    }
};

bool is_continuation(unsigned char byte) {
    return (byte & 0xc0) == 0x80;
}

// The length of the UTF-8 sequence at the start of a text, or 0 if hosts do not accept it.
size_t sequence(const unsigned char* text, size_t left) {
    unsigned char a = text[0];
    if (a < 0x80)
        return (a >= 0x20 && a < 0x7f) || a == '\b' || a == '\t' || a == '\n' || a == '\f' || a == '\r';
    if (a < 0xc2 || a > 0xf4)
        return 0;
    size_t length = a < 0xe0 ? 2 : a < 0xf0 ? 3 : 4;
    if (left < length)
        return 0;
    uint32_t scalar = a & (0x7f >> length);
    for (size_t i = 1; i < length; i++) {
        if (!is_continuation(text[i]))
            return 0;
        scalar = scalar << 6 | (text[i] & 0x3f);
    }
    static const uint32_t shortest[] = {0, 0, 0xa0, 0x800, 0x10000};
    if (scalar < shortest[length] || scalar > 0x10ffff || (scalar >= 0xd800 && scalar < 0xf900) ||
        (scalar >= 0xfff0 && scalar <= 0xffff))
        return 0;
    return length;
}

std::string to_hex(const unsigned char* text, size_t size) {
    static const char digits[] = "0123456789abcdef";
    std::string result;
    for (size_t at = 0; at < size; at++) {
        unsigned char byte = text[at];
        if (byte < 0x80 && sequence(text + at, 1)) {
            result.push_back(static_cast<char>(byte));
        } else {
            result.append("\\x");
            result.push_back(digits[byte >> 4]);
            result.push_back(digits[byte & 15]);
        }
    }
    return result;
}

// A copy of the text if hosts accept it as UTF-8, sequence by sequence; otherwise one
// in which each byte that is not printable is \xNN.
std::string to_utf8(const std::string& from) {
    auto text = reinterpret_cast<const unsigned char*>(from.data());
    std::string result;
    result.reserve(from.size());
    for (size_t at = 0; at < from.size();) {
        size_t length = sequence(text + at, from.size() - at);
        if (length == 0)
            return to_hex(text, from.size());
        if (length == 1)
            result.push_back(from[at]);
        else
            result.append(from, at, length);
        at += length;
    }
    return result;
}

std::string render(const Address& address) {
    char text[INET6_ADDRSTRLEN];
    if (!inet_ntop(address.family == 0 ? AF_INET : AF_INET6, &address.in, text, sizeof(text)))
        return "<bad address>";
    return text;
}

std::string render(const Subnet& subnet) {
    int length = subnet.prefix.family == 0 ? subnet.length - 96 : subnet.length;
    return render(subnet.prefix) + "/" + std::to_string(length);
}

void write_value(Writer& writer, const Value* value, const std::string& name = "") {
    if (!name.empty())
        writer.Key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
    if (!value->present) {
        writer.Null();
        return;
    }
    auto write_string = [&](const std::string& text) {
        writer.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
    };
    switch (value->type) {
    case BOOL:
        writer.Bool(value->val.integer != 0);
        break;
    case INT:
        writer.Int64(value->val.integer);
        break;
    case COUNT:
        writer.Uint64(value->val.count);
        break;
    case PORT:
        writer.Uint64(value->val.count);
        break;
    case DOUBLE:
    case TIME:
    case INTERVAL:
        writer.Double(value->val.number);
        break;
    case ADDR:
        write_string(render(value->val.address));
        break;
    case SUBNET:
        write_string(render(value->val.subnet));
        break;
    case STRING:
    case ENUM:
    case FUNC:
    case FILE_:
        write_string(to_utf8(std::string(value->val.string.data, value->val.string.length)));
        break;
    case TABLE:
    case VECTOR:
        writer.StartArray();
        for (int64_t i = 0; i < value->val.list.size; i++)
            write_value(writer, value->val.list.values[i]);
        writer.EndArray();
        break;
    default:
        writer.Null();
    }
}

size_t copy_out(const rapidjson::StringBuffer& buffer, char* out, size_t size) {
    if (buffer.GetSize() <= size)
        memcpy(out, buffer.GetString(), buffer.GetSize());
    return buffer.GetSize();
}

} // namespace

extern "C" size_t format_as_hosts_do(int num_fields, const Field* const* fields, const Value* const* values,
                                     char* out, size_t size) {
    rapidjson::StringBuffer buffer;
    Writer writer(buffer);
    writer.StartObject();
    for (int i = 0; i < num_fields; i++) {
        if (values[i]->present)
            write_value(writer, values[i], fields[i]->name);
    }
    writer.EndObject();
    return copy_out(buffer, out, size);
}
