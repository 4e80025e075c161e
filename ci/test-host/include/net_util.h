#pragma once

#include "test-host-config.h"

#include <stdint.h>

#if TEST_HOST_VERSION >= 70100
enum TransportProto : uint8_t { TRANSPORT_UNKNOWN, TRANSPORT_TCP, TRANSPORT_UDP, TRANSPORT_ICMP };
#else
enum TransportProto { TRANSPORT_UNKNOWN, TRANSPORT_TCP, TRANSPORT_UDP, TRANSPORT_ICMP };
#endif

enum IPFamily TEST_HOST_ENUM_BASE { IPv4, IPv6 };
