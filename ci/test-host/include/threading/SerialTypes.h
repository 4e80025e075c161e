// Field and Value: what a log record is made of, laid out as in the real host.
#pragma once

#include "../Type.h"
#include "../net_util.h"
#include "../util.h"

#include <netinet/in.h>

#include <cstring>
#include <string>
#include <utility>

TEST_HOST_BEGIN
namespace threading {

struct Field {
    const char* name;
    const char* secondary_name;
    TypeTag type;
    TypeTag subtype;
    bool optional;

    Field(const char* arg_name, const char* arg_secondary_name, TypeTag arg_type, TypeTag arg_subtype,
          bool arg_optional)
        : name(TEST_HOST_UTIL::copy_string(arg_name)),
          secondary_name(TEST_HOST_UTIL::copy_string(arg_secondary_name)), type(arg_type),
          subtype(arg_subtype), optional(arg_optional) {}

    Field(const Field& other)
        : Field(other.name, other.secondary_name, other.type, other.subtype, other.optional) {}

    ~Field() {
        delete[] name;
        delete[] secondary_name;
    }

    Field& operator=(const Field&) = delete;
};

struct Value {
    TypeTag type;
#if TEST_HOST_VERSION >= 20600
    TypeTag subtype;
#endif
#if TEST_HOST_VERSION < 70200
    bool present;
#elif TEST_HOST_VERSION >= 80100
    bool present;
    bool truncated = false;
    int32_t line_number = -1;
#endif

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
    } val;

#if TEST_HOST_VERSION >= 70200 && TEST_HOST_VERSION < 80100
    bool present;
#endif

    explicit Value(TypeTag arg_type = TYPE_ERROR, TypeTag arg_subtype = TYPE_VOID, bool arg_present = true)
        : type(arg_type) {
#if TEST_HOST_VERSION >= 20600
        subtype = arg_subtype;
#else
        static_cast<void>(arg_subtype);
#endif
        present = arg_present;
    }

    Value(Value&& other) noexcept : Value(other.type) {
#if TEST_HOST_VERSION >= 20600
        subtype = other.subtype;
#endif
        present = other.present;
        memcpy(static_cast<void*>(&val), &other.val, sizeof val);
        other.present = false;
    }

    Value(const Value&) = delete;
    Value& operator=(const Value&) = delete;

    // Frees what the value owns, overwriting it first: a writer that kept a pointer
    // would show it.
    ~Value();

#if TEST_HOST_VERSION >= 50000 && TEST_HOST_VERSION < 80100
    int line_number = -1;
#endif
};

} // namespace threading
TEST_HOST_END
