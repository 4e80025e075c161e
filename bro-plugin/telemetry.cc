#include "telemetry.h"

// The test host has none, and a host's package may lack the headers of others that its own need.
#if BZW_HOST_VERSION >= 700 && __has_include(<zeek/telemetry/Manager.h>) && __has_include(<prometheus/counter.h>)

#include <cstdint>
#include <set>
#include <string>

#include <zeek/logging/WriterFrontend.h>
#include <zeek/telemetry/Manager.h>

#include "bro_zeromq_writer.h"

namespace bzw {

namespace {

// A number of the statistics; the metrics' label for it.
struct Metric {
    const char* label;
    std::uint64_t bzw_stats::*number;
};

// Where records have ended: these only grow.
constexpr Metric outcomes[] = {
    {"sent", &bzw_stats::records_sent},
    {"dropped_no_subscriber", &bzw_stats::dropped_no_subscriber},
    {"dropped_queue_full", &bzw_stats::dropped_queue_full},
    {"dropped_encoding", &bzw_stats::dropped_encoding},
    {"dropped_closed", &bzw_stats::dropped_closed},
    {"dropped_spool", &bzw_stats::dropped_spool},
};

// Where records are.
constexpr Metric places[] = {
    {"queue", &bzw_stats::records_queued},
    {"spool", &bzw_stats::records_spooled},
};

double read(const std::string& path, std::uint64_t bzw_stats::*number) {
    bzw_stats stats = {};
    stats.struct_size = static_cast<std::uint32_t>(sizeof stats);
    if (bzw_log_stats(path.c_str(), &stats) != BZW_OK)
        return 0;
    return static_cast<double>(stats.*number);
}

} // namespace

void add_metrics(const host::logging::WriterFrontend& frontend) {
    // The host never forgets a metric.
    static std::set<std::string> known;
    const std::string of = frontend.Info().path;
    if (!zeek::telemetry_mgr || !known.insert(of).second)
        return;
    const auto reads = [&of](std::uint64_t bzw_stats::*number) {
        return [of, number] { return read(of, number); };
    };
    zeek::telemetry_mgr->CounterInstance("zeek", "zeromq-records-written", {{"path", of}},
                                         "Log records handed to the ZeroMQ writer", "",
                                         reads(&bzw_stats::records_written));
    for (const Metric& outcome : outcomes)
        zeek::telemetry_mgr->CounterInstance(
            "zeek", "zeromq-records", {{"path", of}, {"outcome", outcome.label}},
            "Log records by what became of them, for each endpoint", "", reads(outcome.number));
    for (const Metric& place : places)
        zeek::telemetry_mgr->GaugeInstance(
            "zeek", "zeromq-records-waiting", {{"path", of}, {"in", place.label}},
            "Log records that wait to be sent, for each endpoint", "", reads(place.number));
}

} // namespace bzw

#else

void bzw::add_metrics(const host::logging::WriterFrontend&) {}

#endif
