// The host that the plugin was loaded into: found, compared with the facts, and usable
// only if everything is as expected.
#ifndef BZW_PORTABLE_HOST_H
#define BZW_PORTABLE_HOST_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "bro_zeromq_writer.h"

#include "../metrics.h"
#include "facts.h"
#include "image.h"

namespace bzw {
namespace portable {

using Word = std::uintptr_t;

// Why the plugin cannot be used here, for the one who reads it.
struct Refusal {
    std::string what;
};

// The virtual functions that a writer has to have, in the order of their declaration.
enum Slot { do_init, do_write, do_set_buf, do_flush, do_rotate, do_finish, do_heartbeat };

struct Host {
    // Finds everything, or throws a Refusal.
    Host();

    std::string version_text;
    Version version;
    std::string name; // with what the host is called
    bzw_layout layout;
    std::string own_layout; // the layout in words, if no version known has it

    // Why this is none of the hosts that were known when the plugin was made; empty if it is one.
    std::string why_unknown;

    const char* (*version_function)(); // null in Bro 2.5

    // Plugin: its size, its virtual functions, and which of them is Configure.
    std::size_t plugin_size;
    const Word* plugin_vtable;
    std::size_t plugin_vtable_words;
    std::size_t configure_slot;

    // None: its virtual functions. Indices count the words of the vtable, its header included.
    const Word* none_vtable;
    std::size_t none_vtable_words;
    std::size_t slots[7];
    std::size_t destructor_slot; // the deleting one follows
    std::size_t heartbeat_slot;  // 0: heartbeats need not be turned on
    Word thread_heartbeat;

    // The host's functions that are called; member functions get the object first (ABI section 3.1).
    void (*plugin_constructor)(void* plugin);
    void (*plugin_add_component)(void* plugin, void* component);
    void* (*none_instantiate)(void* frontend);
    bool (*finished_rotation)(void* writer);
    void (*thread_info)(void* thread, const char* text);
    void (*thread_warning)(void* thread, const char* text);
    void (*thread_error)(void* thread, const char* text);

    // A version that has the host's plugin::Configuration, and the API version that Bro 2.5 takes.
    Version configuration_of;
    int api_version;

    // What empties the buffer of a frontend, and what tells a thread to stop, with its slot. If
    // buffers can't be emptied, `why_no_flush` says why; else it is empty.
    void (*flush_frontend)(void* frontend);
    std::size_t signal_stop_slot;
    void (*signal_stop)(void* thread);
    std::string why_no_flush;

    // Zeek 3.0 and older: the hook that is called in each round of the main loop; else 0.
    std::size_t drain_events_slot;
    void (*enable_hook)(void* plugin, int hook, int priority);

    // Zeek 3.1 and newer: adds a source to the main loop, on the main thread. The source has nothing to
    // process; `next` is called in each round, and returns how many seconds the host may sleep,
    // or -1.
    void AddSource(double (*next)(void* source)) const;

    // Makes a component that tells the host of a kind of writer and of what makes one. The
    // component becomes the host's. Throws a Refusal if it is not what it should be.
    void* MakeComponent(const std::string& kind, void* (*factory)(void* frontend)) const;

    // Adds the counters of a log to the host's telemetry, if there is any. For the host's main thread.
    bool HasTelemetry() const { return telemetry_manager && *telemetry_manager; }
    void AddMetrics(const std::string& path) const;

    // Returns true if the host has begun to end.
    bool Terminating() const { return __atomic_load_n(terminating, __ATOMIC_RELAXED); }

    // Reads the text of a global script variable. Returns false if there is no such variable, or
    // its value is of another kind. Throws a Refusal if the value is not what it should be.
    bool Option(const Memory& memory, const std::string& variable, std::string* text) const;

private:
    class Finder;

    void FindLoop(const Finder& find);

    const Names* names;
    std::size_t style_at;      // in an ODesc
    const Word* source_vtable; // of the kind of source that wakes up the loop
    std::size_t source_vtable_words;
    std::size_t source_timeout_slot;
    std::size_t source_process_slot;
    std::size_t source_tag_slot;
    void* const* sources;
    void (*register_source)(void* sources, void* source, bool dont_count, bool manage_lifetime);
    // A function that makes a metric. It returns a pointer to the metric, which the host keeps.
    using MakeMetric = std::shared_ptr<void> (*)(void* manager, std::string_view prefix,
                                                 std::string_view name, MetricLabels labels,
                                                 std::string_view help, std::string_view unit,
                                                 std::function<double()> read);

    void* const* telemetry_manager; // null without telemetry
    MakeMetric counter;
    MakeMetric gauge;
    const Word* component_vtable;
    std::size_t component_vtable_words;
    std::size_t component_destructor_slot;
    const bool* terminating;
    void (*component_constructor)(void* component, const std::string& name, void* (*factory)(void* frontend));
    void* (*option_value)(const char* name);
    void* const* (*find_variable)(std::string_view name);
    void* const* (*find_value)(std::string_view name);
    void (*value_describe)(const void* value, void* text);
    void (*text_constructor)(void* text, int type, void* file);
    void (*text_destructor)(void* text);
    void (*text_add)(void* text, const char* more, int indent);
};

// The words of a vtable in front of its functions: the distance to the whole object and the
// type's information (ABI section 2.5.2).
constexpr std::size_t vtable_header = 2;

// An object with virtual functions: a pointer to them is at its start.
struct Object {
    const Word* functions;
};

} // namespace portable
} // namespace bzw

#endif
