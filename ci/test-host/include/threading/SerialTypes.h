// Field and Value: what a log record is made of, laid out as in the real host.
#pragma once

#include "../Type.h"
#include "../net_util.h"
#include "../util.h"

#include <netinet/in.h>

#include <cstring>
#include <string>
#include <utility>

THREADS_BEGIN

// Reads values and columns that another process has sent.
DETAIL_BEGIN
class SerializationFormat;
DETAIL_END

namespace threading {

struct Field {
#if FUTURE_FIELD == 1
    void* more = nullptr;
#endif
    const char* name;
    const char* secondary_name;
#if FUTURE_FIELD == 2
    short more = 0;
#endif
    TYPES TypeTag type;
    TYPES TypeTag subtype;
    bool optional;
#if FUTURE_FIELD == 3
    void* more = nullptr;
#endif

    Field(const char* arg_name, const char* arg_secondary_name, TYPES TypeTag arg_type,
          TYPES TypeTag arg_subtype, bool arg_optional)
        : name(copy_string(arg_name)), secondary_name(copy_string(arg_secondary_name)), type(arg_type),
          subtype(arg_subtype), optional(arg_optional) {}
    Field(const Field&) = delete;
    Field& operator=(const Field&) = delete;

    ~Field() {
        delete[] name;
        delete[] secondary_name;
    }

    bool Read(DETAIL SerializationFormat* fmt);
};

struct Value {
    struct set_t {
        int64_t size;
        Value** vals;
    };

    struct port_t {
        uint64_t port;
        TransportProto proto;
    };

    struct addr_t {
        IPFamily family;
        union {
            struct in_addr in4;
            struct in6_addr in6;
        } in;
    };

    struct subnet_t {
        addr_t prefix;
        uint8_t length;
    };

    union _val {
        int64_t int_val;
        uint64_t uint_val;
        port_t port_val;
        double double_val;
        set_t set_val;
        addr_t addr_val;
        subnet_t subnet_val;
        struct {
            char* data;
            int length;
        } string_val;

        _val() { memset(static_cast<void*>(this), 0, sizeof *this); }
    };

#if FUTURE_VALUE == 1
    int more = 1;
#endif
    TYPES TypeTag type;
#if VALUE_VERSION >= 20600
    TYPES TypeTag subtype;
#endif
#if FUTURE_VALUE == 2
    short more = 1;
#endif
#if VALUE_VERSION >= 80100
    bool present;
    bool truncated = false;
    int32_t line_number = -1;
    _val val;
#elif VALUE_VERSION >= 70200
    _val val;
    bool present;
    int line_number = -1;
#elif VALUE_VERSION >= 50000
    bool present;
    _val val;
    int line_number = -1;
#else
    bool present;
    _val val;
#endif
#if FUTURE_VALUE == 3
    std::string more;
#endif

    explicit Value(TYPES TypeTag arg_type = TYPES TYPE_ERROR, TYPES TypeTag arg_subtype = TYPES TYPE_VOID,
                   bool arg_present = true)
        : type(arg_type) {
#if VALUE_VERSION >= 20600
        subtype = arg_subtype;
#else
        static_cast<void>(arg_subtype);
#endif
        present = arg_present;
    }

// From 7.1 on a record's values are moved into one block, by mistake without the subtype in some versions.
#if HOST_VERSION >= 70100
    Value(Value&& other) noexcept : Value(other.type) {
#if VALUE_VERSION < 20600
#elif HOST_VERSION < 80008 || (HOST_VERSION >= 80100 && HOST_VERSION < 80200)
        subtype = other.type;
#else
        subtype = other.subtype;
#endif
        present = other.present;
        memcpy(static_cast<void*>(&val), &other.val, sizeof val);
        other.present = false;
    }
#endif

    Value(const Value&) = delete;
    Value& operator=(const Value&) = delete;

    // Frees what the value owns, overwriting it first: a writer that kept a pointer
    // would show it.
    ~Value();

    bool Read(DETAIL SerializationFormat* fmt);
};

} // namespace threading
THREADS_END
