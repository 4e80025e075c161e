#pragma once

#include "../test-host-config.h"

#if HOST_VERSION >= 70000
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace zeek {
namespace telemetry {

class Counter;
class Gauge;
using LabelView = std::pair<std::string_view, std::string_view>;

// The host's metrics.
class Manager {
public:
    std::shared_ptr<Counter> CounterInstance(std::string_view prefix, std::string_view name,
                                             std::initializer_list<LabelView> labels,
                                             std::string_view helptext, std::string_view unit = "",
                                             std::function<double()> callback = nullptr);
    std::shared_ptr<Gauge> GaugeInstance(std::string_view prefix, std::string_view name,
                                         std::initializer_list<LabelView> labels, std::string_view helptext,
                                         std::string_view unit = "",
                                         std::function<double()> callback = nullptr);

    // Not the host's interface: the values that the metrics have now.
    std::map<std::string, double> TestHostRead() const;

private:
    void Add(std::string_view prefix, std::string_view name, std::initializer_list<LabelView> labels,
             std::function<double()> callback);

    std::map<std::string, std::function<double()>> metrics;
};

} // namespace telemetry

extern telemetry::Manager* telemetry_mgr;
} // namespace zeek
#endif
