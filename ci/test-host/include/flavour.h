// The test host is a stand-in for Bro and Zeek: just enough of their plugin and
// logging classes to load the writer and hand it records. It has a flavour for each
// released family of hosts, chosen by TEST_HOST_VERSION (major * 10000 + minor * 100 +
// patch), which the generated configuration header defines. What differs between
// hosts, namespaces first of all, is decided here and at the #if of each class.
#pragma once

#ifndef TEST_HOST_VERSION
#error "TEST_HOST_VERSION is not defined: include the configuration header first"
#endif

// Classes live in the global namespace up to Zeek 3.2 and in zeek:: from 4.0 on.
#if TEST_HOST_VERSION >= 40000
#define TEST_HOST_BEGIN namespace zeek {
#define TEST_HOST_END }
#define TEST_HOST_NS ::zeek
#define TEST_HOST_UTIL ::zeek::util
#define TEST_HOST_UTIL_BEGIN                                                                                 \
    namespace zeek {                                                                                         \
    namespace util {
#define TEST_HOST_UTIL_END                                                                                   \
    }                                                                                                        \
    }
#else
#define TEST_HOST_BEGIN
#define TEST_HOST_END
#define TEST_HOST_NS
#define TEST_HOST_UTIL
#define TEST_HOST_UTIL_BEGIN
#define TEST_HOST_UTIL_END
#endif

// Enumerations take one byte from Zeek 8.0 on.
#if TEST_HOST_VERSION >= 80000
#define TEST_HOST_ENUM_BASE : uint8_t
#else
#define TEST_HOST_ENUM_BASE
#endif
