// How a host reads columns and values that another process has sent. Nobody sends any here, but the
// portable plugin has them read to find out how they are laid out.
#include "include/threading/SerialTypes.h"

#include <cstdlib>
#include <map>

TYPES_BEGIN
const char* type_name(TypeTag t) {
    static const std::map<TypeTag, const char*> names = {
        {TYPE_BOOL, "bool"},
        {TYPE_INT, "int"},
        {TYPE_COUNT, "count"},
        {TYPE_DOUBLE, "double"},
        {TYPE_TIME, "time"},
        {TYPE_INTERVAL, "interval"},
        {TYPE_STRING, "string"},
        {TYPE_PATTERN, "pattern"},
        {TYPE_ENUM, "enum"},
        {TYPE_PORT, "port"},
        {TYPE_ADDR, "addr"},
        {TYPE_SUBNET, "subnet"},
        {TYPE_TABLE, "table"},
        {TYPE_FUNC, "func"},
        {TYPE_FILE, "file"},
        {TYPE_VECTOR, "vector"},
#if TAG_VERSION < 40100
        {TYPE_COUNTER, "counter"},
#endif
    };
    const auto found = names.find(t);
    return found == names.end() ? "something else" : found->second;
}
TYPES_END

THREADS_BEGIN

class IPAddr;
class IPPrefix;

DETAIL_BEGIN

#define FORMAT_READS(X, END)                                                                                 \
    X(int) END X(uint16_t)                                                                                   \
    END X(uint32_t)                                                                                          \
    END X(int64_t)                                                                                           \
    END X(uint64_t)                                                                                          \
    END X(char) END X(bool) END X(double) END X(std::string) END X(IPAddr)                                   \
    END X(IPPrefix)                                                                                          \
    END X(in_addr)                                                                                           \
    END X(in6_addr)                                                                                          \
    END

class SerializationFormat {
public:
    virtual ~SerializationFormat();
    virtual void StartRead(const char*, uint32_t) {}
    virtual void EndRead() {}
#define FORMAT_READ(TYPE) virtual bool Read(TYPE* v, const char* tag) = 0
    FORMAT_READS(FORMAT_READ, ;)
    virtual bool Read(char** str, int* len, const char* tag) = 0;
    virtual bool Write(int v, const char* tag) = 0;

protected:
    bool ReadData(void*, size_t) {
        return bytes_read == 1;
    }
    const char* input = nullptr;
    size_t bytes_read = 0;
};
SerializationFormat::~SerializationFormat() {}

class BinarySerializationFormat final : public SerializationFormat {
public:
#undef FORMAT_READ
#define FORMAT_READ(TYPE) bool Read(TYPE* v, const char* tag) override
    FORMAT_READS(FORMAT_READ, ;)
    bool Read(char** str, int* len, const char* tag) override;
    bool Write(int, const char*) override {
        return false;
    }
};
#undef FORMAT_READ
#define FORMAT_READ(TYPE) bool BinarySerializationFormat::Read(TYPE* v, const char*)
#define FORMAT_BODY                                                                                          \
    { return ReadData(v, 1); }
FORMAT_READS(FORMAT_READ, FORMAT_BODY)
bool BinarySerializationFormat::Read(char** str, int* len, const char*) {
    *len = 0;
    return ReadData(str, 1);
}

DETAIL_END

namespace threading {

bool Field::Read(DETAIL SerializationFormat* fmt) {
    int t;
    int st;
    std::string tmp_name;
    bool have_2nd;
    if (!fmt->Read(&have_2nd, "have_2nd") || have_2nd)
        return false;
    secondary_name = nullptr;
    if (!fmt->Read(&tmp_name, "name") || !fmt->Read(&t, "type") || !fmt->Read(&st, "subtype") ||
        !fmt->Read(&optional, "optional"))
        return false;
    name = copy_string(tmp_name.c_str());
#ifdef WRONG_FIELD
    name = nullptr;
#endif
    type = static_cast<TYPES TypeTag>(t);
    subtype = static_cast<TYPES TypeTag>(st);
    return true;
}

bool Value::Read(DETAIL SerializationFormat* fmt) {
    int ty;
    if (!fmt->Read(&ty, "type"))
        return false;
#if VALUE_VERSION >= 20600
    int sty;
    if (!fmt->Read(&sty, "subtype"))
        return false;
    subtype = static_cast<TYPES TypeTag>(sty);
#endif
    if (!fmt->Read(&present, "present"))
        return false;
    type = static_cast<TYPES TypeTag>(ty);
    if (!present)
        return true;
    char family;
    char length;
    int proto;
    switch (type) {
    case TYPES TYPE_BOOL:
    case TYPES TYPE_INT:
        return fmt->Read(&val.int_val, "int");
#if HOST_VERSION < 40000 // 4.0 has the type, and does not read it
    case TYPES TYPE_COUNTER:
#endif
    case TYPES TYPE_COUNT:
        return fmt->Read(&val.uint_val, "uint");
    case TYPES TYPE_PORT:
        if (!fmt->Read(&val.port_val.port, "port") || !fmt->Read(&proto, "proto") || proto > 3)
            return false;
        val.port_val.proto = static_cast<TransportProto>(proto);
        return true;
    case TYPES TYPE_ADDR:
        if (!fmt->Read(&family, "addr-family"))
            return false;
        if (family == 4) {
            val.addr_val.family = IPv4;
            return fmt->Read(&val.addr_val.in.in4, "addr-in4");
        }
        val.addr_val.family = IPv6;
        return fmt->Read(&val.addr_val.in.in6, "addr-in6");
    case TYPES TYPE_SUBNET:
        if (!fmt->Read(&length, "subnet-len") || !fmt->Read(&family, "subnet-family"))
            return false;
        val.subnet_val.length = static_cast<uint8_t>(length);
        if (family == 4) {
            val.subnet_val.prefix.family = IPv4;
            return fmt->Read(&val.subnet_val.prefix.in.in4, "subnet-in4");
        }
        val.subnet_val.prefix.family = IPv6;
        return fmt->Read(&val.subnet_val.prefix.in.in6, "subnet-in6");
    case TYPES TYPE_DOUBLE:
    case TYPES TYPE_TIME:
    case TYPES TYPE_INTERVAL:
#ifdef WRONG_READ
        return true;
#else
        return fmt->Read(&val.double_val, "double");
#endif
    case TYPES TYPE_ENUM:
    case TYPES TYPE_STRING:
    case TYPES TYPE_FILE:
    case TYPES TYPE_FUNC:
        return fmt->Read(&val.string_val.data, &val.string_val.length, "string");
    case TYPES TYPE_TABLE:
    case TYPES TYPE_VECTOR:
        if (!fmt->Read(&val.set_val.size, type == TYPES TYPE_TABLE ? "set_size" : "vector_size"))
            return false;
        val.set_val.vals = new Value*[static_cast<size_t>(val.set_val.size)];
        for (int64_t i = 0; i < val.set_val.size; ++i) {
            val.set_val.vals[i] = new Value;
            if (!val.set_val.vals[i]->Read(fmt))
                return false;
        }
        return true;
    default:
        abort();
    }
}

} // namespace threading
THREADS_END
