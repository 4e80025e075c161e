// What became of the records, in the host's own telemetry.
#ifndef BZW_TELEMETRY_H
#define BZW_TELEMETRY_H

#include "compat.h"

namespace bzw {

// Adds the counters of a writer's log path, unless they are there already. For the host's main
// thread; does nothing in hosts before Zeek 7.0, which have other telemetry or none.
void add_metrics(const host::logging::WriterFrontend& frontend);

} // namespace bzw

#endif
