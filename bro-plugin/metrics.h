// What a host's telemetry is told of each log; the same in both builds.
#ifndef BZW_METRICS_H
#define BZW_METRICS_H

#include <cstdint>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "bro_zeromq_writer.h"

namespace bzw {

using MetricLabels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

// Calls `counter` for each number that only grows, and `gauge` for each other number, with its name,
// labels, help and a function that reads it. Does nothing for a log path that was there before. The
// host's main thread calls this, and the functions that read.
template <class Counter, class Gauge>
void add_metrics_of(const std::string& path, const Counter& counter, const Gauge& gauge) {
    // The host never forgets a metric.
    static std::set<std::string> known;
    if (!known.insert(path).second)
        return;

    // A number of the statistics; the metrics' label for it.
    struct Metric {
        const char* label;
        std::uint64_t bzw_stats::*number;
    };
    // Where records have ended.
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

    const auto reads = [&path](std::uint64_t bzw_stats::*number) {
        return [path, number] {
            bzw_stats stats = {};
            stats.struct_size = static_cast<std::uint32_t>(sizeof stats);
            return bzw_log_stats(path.c_str(), &stats) == BZW_OK ? static_cast<double>(stats.*number) : 0.0;
        };
    };
    counter("zeromq-records-written", {{"path", path}}, "Log records handed to the ZeroMQ writer",
            reads(&bzw_stats::records_written));
    for (const Metric& outcome : outcomes)
        counter("zeromq-records", {{"path", path}, {"outcome", outcome.label}},
                "Log records by what became of them, for each endpoint", reads(outcome.number));
    for (const Metric& place : places)
        gauge("zeromq-records-waiting", {{"path", path}, {"in", place.label}},
              "Log records that wait to be sent, for each endpoint", reads(place.number));
}

} // namespace bzw

#endif
