#pragma once

#include "test-host-config.h"

#include <stdint.h>

TYPES_BEGIN

#ifdef FUTURE_TAGS
enum TypeTag BYTE_ENUM {
    TYPE_VOID,
    TYPE_ANY,
    TYPE_VECTOR,
    TYPE_MAC,
    TYPE_FILE,
    TYPE_FUNC,
    TYPE_LIST,
    TYPE_RECORD,
    TYPE_TABLE,
    TYPE_SUBNET,
    TYPE_ADDR,
    TYPE_PORT,
    TYPE_ENUM,
    TYPE_PATTERN,
    TYPE_STRING,
    TYPE_INTERVAL,
    TYPE_TIME,
    TYPE_DOUBLE,
    TYPE_COUNT,
    TYPE_INT,
    TYPE_BOOL,
    TYPE_ERROR
};
#else
// The types up to Zeek 4.0; 4.1 drops COUNTER, 5.0 drops TIMER and UNION.
enum TypeTag BYTE_ENUM {
    TYPE_VOID,
    TYPE_BOOL,
    TYPE_INT,
    TYPE_COUNT,
#if TAG_VERSION < 40100
    TYPE_COUNTER,
#endif
    TYPE_DOUBLE,
    TYPE_TIME,
    TYPE_INTERVAL,
    TYPE_STRING,
    TYPE_PATTERN,
    TYPE_ENUM,
#if TAG_VERSION < 50000
    TYPE_TIMER,
#endif
    TYPE_PORT,
    TYPE_ADDR,
    TYPE_SUBNET,
    TYPE_ANY,
    TYPE_TABLE,
#if TAG_VERSION < 50000
    TYPE_UNION,
#endif
    TYPE_RECORD,
    TYPE_LIST,
    TYPE_FUNC,
    TYPE_FILE,
    TYPE_VECTOR,
    TYPE_OPAQUE,
    TYPE_TYPE,
    TYPE_ERROR
};
#endif

// The name that a type has in scripts.
const char* type_name(TypeTag t);

TYPES_END
