#pragma once

#include "test-host-config.h"

#include <stdint.h>

#if VALUE_VERSION >= 70100
enum TransportProto : uint8_t { TRANSPORT_UNKNOWN, TRANSPORT_TCP, TRANSPORT_UDP, TRANSPORT_ICMP };
#else
enum TransportProto { TRANSPORT_UNKNOWN, TRANSPORT_TCP, TRANSPORT_UDP, TRANSPORT_ICMP };
#endif

#if VALUE_VERSION >= 80000
enum IPFamily : uint8_t { IPv4, IPv6 };
#else
enum IPFamily { IPv4, IPv6 };
#endif
