#pragma once

#include "test-host-config.h"

#include <stdint.h>

TEST_HOST_BEGIN

// Up to Zeek 4.0; 4.1 drops COUNTER, 5.0 drops TIMER and UNION.
enum TypeTag TEST_HOST_ENUM_BASE {
    TYPE_VOID,
    TYPE_BOOL,
    TYPE_INT,
    TYPE_COUNT,
#if TEST_HOST_VERSION < 40100
    TYPE_COUNTER,
#endif
    TYPE_DOUBLE,
    TYPE_TIME,
    TYPE_INTERVAL,
    TYPE_STRING,
    TYPE_PATTERN,
    TYPE_ENUM,
#if TEST_HOST_VERSION < 50000
    TYPE_TIMER,
#endif
    TYPE_PORT,
    TYPE_ADDR,
    TYPE_SUBNET,
    TYPE_ANY,
    TYPE_TABLE,
#if TEST_HOST_VERSION < 50000
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

TEST_HOST_END
