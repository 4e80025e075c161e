// Making the values of log records, and their fields.
#include "records.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#if HOST_VERSION >= 30200
using namespace zeek;
#endif

namespace {

void fill_address(Value::addr_t* target, const std::string& address) {
    memset(static_cast<void*>(target), 0, sizeof *target);
    if (inet_pton(AF_INET, address.c_str(), &target->in.in4) == 1)
        target->family = IPv4;
    else {
        inet_pton(AF_INET6, address.c_str(), &target->in.in6);
        target->family = IPv6;
    }
}

Value* make(TypeTag type, TypeTag subtype = TYPE_VOID, bool present = true) {
    void* const memory = operator new(sizeof(Value));
    if (const char* padding = getenv("PADDING"))
        memset(memory, static_cast<int>(strtol(padding, nullptr, 0)), sizeof(Value));
    return new (memory) Value(type, subtype, present);
}

} // namespace

Value* boolean(bool b) {
    Value* const value = make(TYPE_BOOL);
    value->val.int_val = b ? 1 : 0;
    return value;
}

Value* number(int64_t n) {
    Value* const value = make(TYPE_INT);
    value->val.int_val = n;
    return value;
}

Value* count(uint64_t n) {
    Value* const value = make(TYPE_COUNT);
    value->val.uint_val = n;
    return value;
}

Value* real(TypeTag type, double d) {
    Value* const value = make(type);
    value->val.double_val = d;
    return value;
}

Value* text(TypeTag type, const std::string& bytes) {
    Value* const value = make(type);
    value->val.string_val.data = new char[bytes.size() + 1];
    memcpy(value->val.string_val.data, bytes.data(), bytes.size());
    // Not a terminator: what comes after the bytes must not be read.
    value->val.string_val.data[bytes.size()] = '!';
    value->val.string_val.length = static_cast<int>(bytes.size());
    return value;
}

Value* port(uint64_t n) {
    Value* const value = make(TYPE_PORT);
    value->val.port_val.port = n;
    value->val.port_val.proto = TRANSPORT_TCP;
    return value;
}

Value* addr(const std::string& address) {
    Value* const value = make(TYPE_ADDR);
    fill_address(&value->val.addr_val, address);
    return value;
}

Value* subnet(const std::string& address, int length) {
    Value* const value = make(TYPE_SUBNET);
    fill_address(&value->val.subnet_val.prefix, address);
    const int counted = value->val.subnet_val.prefix.family == IPv4 ? length + 96 : length;
    value->val.subnet_val.length = static_cast<uint8_t>(counted);
    return value;
}

Value* container(TypeTag type, TypeTag subtype, const std::vector<Value*>& elements) {
    Value* const value = make(type, subtype);
    value->val.set_val.size = static_cast<int64_t>(elements.size());
    value->val.set_val.vals = new Value*[elements.size()];
    std::copy(elements.begin(), elements.end(), value->val.set_val.vals);
    return value;
}

Value* unset(TypeTag type) {
    return make(type, TYPE_VOID, false);
}

THREADS logging::Writer::Fields fields_of(const std::vector<Column>& columns) {
    THREADS logging::Writer::Fields fields;
    for (const Column& column : columns)
        fields.push_back(
            new Field(column.name.c_str(), nullptr, column.type, column.subtype, column.optional));
    return fields;
}

std::vector<Value*> record_of(const std::vector<Column>& columns) {
    std::vector<Value*> values;
    for (const Column& column : columns)
        values.push_back(column.value);
    return values;
}
