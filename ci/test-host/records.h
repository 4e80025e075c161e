// Building log records in the host's own classes. The memory of values is filled with the byte PADDING
// first, if the environment has that: a host's memory was used before.
#pragma once

#include "host.h"

#include <cstdint>
#include <string>
#include <vector>

using TYPES TypeTag;
using THREADS threading::Field;
using THREADS threading::Value;

// One column of a log, filled in for one record: its field, its value, and how a
// subscriber should see it.
struct Column {
    std::string name;
    TypeTag type;
    TypeTag subtype;
    Value* value;
    std::string json; // empty: left out of the record
    bool optional = true;
};

Value* boolean(bool b);
Value* number(int64_t n);
Value* count(uint64_t n);
Value* real(TypeTag type, double d);
Value* text(TypeTag type, const std::string& bytes);
Value* port(uint64_t n);
Value* addr(const std::string& address);
// The prefix's length is counted as people do: 8 in 10.0.0.0/8.
Value* subnet(const std::string& address, int length);
Value* container(TypeTag type, TypeTag subtype, const std::vector<Value*>& elements);
Value* unset(TypeTag type);

// All types a log can have, with their hard cases.
std::vector<Column> every_type();

// The parts of columns: fields and values are the caller's.
THREADS logging::Writer::Fields fields_of(const std::vector<Column>& columns);
std::vector<Value*> record_of(const std::vector<Column>& columns);
std::string json_of(const std::vector<Column>& columns);

// A small record, number `n` of a writer: its columns are n and who.
std::vector<Column> small_record(uint64_t n, const std::string& who);
