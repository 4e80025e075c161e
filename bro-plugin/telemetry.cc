#include "telemetry.h"

// A host's package may lack other projects' headers that the host's own headers need.
#if BZW_HOST_VERSION >= 700 && __has_include(<zeek/telemetry/Manager.h>) && __has_include(<prometheus/counter.h>)

#include <functional>

#include <zeek/logging/WriterFrontend.h>
#include <zeek/telemetry/Manager.h>

#include "metrics.h"

void bzw::add_metrics(const host::logging::WriterFrontend& frontend) {
    using Read = const std::function<double()>&;
    auto* manager = zeek::telemetry_mgr;
    if (!manager)
        return;
    add_metrics_of(
        frontend.Info().path,
        [manager](const char* name, MetricLabels labels, const char* help, Read read) {
            manager->CounterInstance("zeek", name, labels, help, "", read);
        },
        [manager](const char* name, MetricLabels labels, const char* help, Read read) {
            manager->GaugeInstance("zeek", name, labels, help, "", read);
        });
}

#else

void bzw::add_metrics(const host::logging::WriterFrontend&) {}

#endif
