// The host's layout of log records, taken from its own headers.
//
// The expected numbers are in bzw_family.h, which build.rs writes from the family of
// src/host/layout.rs that belongs to the host's version.
#ifndef BZW_LAYOUT_H
#define BZW_LAYOUT_H

#include <cstddef>
#include <cstdint>

#include "bro_zeromq_writer.h"
#include "bzw_family.h"

#include "compat.h"

namespace bzw {
namespace layout {

using Field = host::threading::Field;
using Value = host::threading::Value;
using Union = host::threading::Value::_val;

#define BZW_TAG(NAME) static_cast<std::uint32_t>(BZW_HOST_TYPES::NAME)

// X(member of bzw_layout, its value, what it is in the host)
#define BZW_LAYOUT(X)                                                                                        \
    X(tag_size, sizeof(host::Type), "sizeof(TypeTag)")                                                       \
    X(ip_family_size, sizeof(host::Family), "sizeof(IPFamily)")                                              \
    X(ip_family_v4, static_cast<std::uint32_t>(::IPv4), "IPv4")                                              \
    X(ip_family_v6, static_cast<std::uint32_t>(::IPv6), "IPv6")                                              \
    X(field_size, sizeof(Field), "sizeof(threading::Field)")                                                 \
    X(field_name, offsetof(Field, name), "threading::Field::name")                                           \
    X(field_type, offsetof(Field, type), "threading::Field::type")                                           \
    X(field_subtype, offsetof(Field, subtype), "threading::Field::subtype")                                  \
    X(field_optional, offsetof(Field, optional), "threading::Field::optional")                               \
    X(value_size, sizeof(Value), "sizeof(threading::Value)")                                                 \
    X(value_type, offsetof(Value, type), "threading::Value::type")                                           \
    X(value_subtype, BZW_VALUE_SUBTYPE, "threading::Value::subtype")                                         \
    X(value_present, offsetof(Value, present), "threading::Value::present")                                  \
    X(value_val, offsetof(Value, val), "threading::Value::val")                                              \
    X(val_port_port, offsetof(Union, port_val.port), "threading::Value::val.port_val.port")                  \
    X(val_set_size, offsetof(Union, set_val.size), "threading::Value::val.set_val.size")                     \
    X(val_set_vals, offsetof(Union, set_val.vals), "threading::Value::val.set_val.vals")                     \
    X(val_addr_family, offsetof(Union, addr_val.family), "threading::Value::val.addr_val.family")            \
    X(val_addr_in, offsetof(Union, addr_val.in), "threading::Value::val.addr_val.in")                        \
    X(val_subnet_prefix, offsetof(Union, subnet_val.prefix), "threading::Value::val.subnet_val.prefix")      \
    X(val_subnet_length, offsetof(Union, subnet_val.length), "threading::Value::val.subnet_val.length")      \
    X(val_string_data, offsetof(Union, string_val.data), "threading::Value::val.string_val.data")            \
    X(val_string_length, offsetof(Union, string_val.length), "threading::Value::val.string_val.length")      \
    X(tag_bool, BZW_TAG(TYPE_BOOL), "TYPE_BOOL")                                                             \
    X(tag_int, BZW_TAG(TYPE_INT), "TYPE_INT")                                                                \
    X(tag_count, BZW_TAG(TYPE_COUNT), "TYPE_COUNT")                                                          \
    X(tag_counter, host::tag_counter, "TYPE_COUNTER")                                                        \
    X(tag_double, BZW_TAG(TYPE_DOUBLE), "TYPE_DOUBLE")                                                       \
    X(tag_time, BZW_TAG(TYPE_TIME), "TYPE_TIME")                                                             \
    X(tag_interval, BZW_TAG(TYPE_INTERVAL), "TYPE_INTERVAL")                                                 \
    X(tag_string, BZW_TAG(TYPE_STRING), "TYPE_STRING")                                                       \
    X(tag_pattern, BZW_TAG(TYPE_PATTERN), "TYPE_PATTERN")                                                    \
    X(tag_enum, BZW_TAG(TYPE_ENUM), "TYPE_ENUM")                                                             \
    X(tag_port, BZW_TAG(TYPE_PORT), "TYPE_PORT")                                                             \
    X(tag_addr, BZW_TAG(TYPE_ADDR), "TYPE_ADDR")                                                             \
    X(tag_subnet, BZW_TAG(TYPE_SUBNET), "TYPE_SUBNET")                                                       \
    X(tag_table, BZW_TAG(TYPE_TABLE), "TYPE_TABLE")                                                          \
    X(tag_func, BZW_TAG(TYPE_FUNC), "TYPE_FUNC")                                                             \
    X(tag_file, BZW_TAG(TYPE_FILE), "TYPE_FILE")                                                             \
    X(tag_vector, BZW_TAG(TYPE_VECTOR), "TYPE_VECTOR")

#if BZW_HOST_VERSION >= 206
#define BZW_VALUE_SUBTYPE offsetof(Value, subtype)
#else
#define BZW_VALUE_SUBTYPE BZW_ABSENT
#endif

#define BZW_CHECK(MEMBER, VALUE, WHAT)                                                                       \
    static_assert((VALUE) == family::MEMBER,                                                                 \
                  WHAT ": the host's header differs from layout family " BZW_FAMILY " (" #MEMBER ")");
BZW_LAYOUT(BZW_CHECK)
#undef BZW_CHECK

// Every member must be in the list, or a new one would be sent as 0.
#define BZW_COUNT(MEMBER, VALUE, WHAT) +1
static_assert(sizeof(bzw_layout) == sizeof(std::uint32_t) * (1 BZW_LAYOUT(BZW_COUNT)),
              "bzw_layout has members that BZW_LAYOUT does not list");
#undef BZW_COUNT

inline bzw_layout of_host() {
    bzw_layout layout = {};
    layout.struct_size = static_cast<std::uint32_t>(sizeof layout);
#define BZW_FILL(MEMBER, VALUE, WHAT) layout.MEMBER = static_cast<std::uint32_t>(VALUE);
    BZW_LAYOUT(BZW_FILL)
#undef BZW_FILL
    return layout;
}

} // namespace layout
} // namespace bzw

#endif
