// The test host is a stand-in for Bro and Zeek: their classes, as far as a log writer needs them. What a
// plugin sees of these is exactly as in a version: names, layouts, the order of virtual functions. There
// is a flavour for each family of released hosts, chosen by HOST_VERSION (20604 is 2.6.4). What differs
// between hosts, namespaces first of all, is decided here and at the #if of each class.
//
// In the portable double one thing is not as in a host of its version:
//
//     WRONG_...      something is wrong
//     FUTURE_...     something that a host to come may have: a member in front (1), in the middle (2)
//                    or at the end (3), or a virtual function
//     ..._VERSION    something is as in another version
#pragma once

#ifndef HOST_VERSION
#error "HOST_VERSION is not defined: include the configuration header first"
#endif

#ifndef VALUE_VERSION
#define VALUE_VERSION HOST_VERSION
#endif
#ifndef TAG_VERSION
#define TAG_VERSION HOST_VERSION
#endif
#ifndef INFO_VERSION
#define INFO_VERSION HOST_VERSION
#endif
#ifndef CONFIGURATION_VERSION
#define CONFIGURATION_VERSION HOST_VERSION
#endif

// Plugins and types moved into zeek:: with 3.2, logging and threads with 4.0.
#if HOST_VERSION >= 30200
#define TYPES_BEGIN namespace zeek {
#define TYPES_END }
#define TYPES ::zeek::
#else
#define TYPES_BEGIN
#define TYPES_END
#define TYPES ::
#endif
#if HOST_VERSION >= 40000
#define THREADS_BEGIN namespace zeek {
#define THREADS_END }
#define THREADS ::zeek::
// A namespace within these.
#define DETAIL_BEGIN namespace detail {
#define DETAIL_END }
#define DETAIL detail::
#else
#define THREADS_BEGIN
#define THREADS_END
#define THREADS ::
#define DETAIL_BEGIN
#define DETAIL_END
#define DETAIL
#endif

// Enumerations take one byte from Zeek 8.0 on.
#if HOST_VERSION >= 80000
#define BYTE_ENUM : uint8_t
#else
#define BYTE_ENUM
#endif

// The function whose name says the host's exact version. Bro 2.5 has none.
#ifdef VERSION_FUNCTION
extern "C" const char* VERSION_FUNCTION();
#endif
