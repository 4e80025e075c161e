// The glue for every host: what Plugin.cc and ZeroMQ.cc are to a host whose headers are
// there, made without them. docs/portable.md says how it works; facts.h, what it knows.
//
// Two objects are needed of classes that derive from the host's: a plugin and, for every
// log, a writer. Both are made of the host's own "None", a writer that does nothing: the
// host makes an object of it, of the right size and with everything that belongs in it,
// and then the object is given other virtual functions (ABI section 2.5: a pointer at its
// start leads to the table of them). The table is a copy of None's with the functions
// below in the slots that a writer defines.

#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "bro_zeromq_writer.h"

#include "../messages.h"
#include "../writer.h"
#include "check.h"
#include "facts.h"
#include "host.h"

namespace bzw {
namespace portable {

namespace {

constexpr char name[] = "NCSA::ZeroMQWriter";

constexpr char advice[] = "build the plugin from this host's headers: ./configure --zeek-dist=DIR && make";

// Set once, before the host knows of this plugin, and never changed.
const Host* host = nullptr;

// --- the writer ---------------------------------------------------------------------

// What belongs to one writer: among others the table of its object's functions, with a
// pointer back in front of it, by which the functions find their writer.
struct Writer {
    explicit Writer(void* frontend) : log(*this, frontend, host->version < failures_end_writers) {}

    static Writer& Of(void* object) {
        return *reinterpret_cast<Writer*>(
            static_cast<Object*>(object)->functions[-1 - std::ptrdiff_t{vtable_header}]);
    }

    struct {
        Writer* writer;
        Word words[vtable_room];
    } vtable;

    void* object = nullptr;
    bool checked = false;
    bool rejected = false; // a record was rejected, and it was said
    bool only_known_hosts = false;
    std::string path;
    std::unique_ptr<Check> check; // while there is something to check
    LogWriter<Writer> log;

    static bool Ends() { return host->Terminating(); }
    std::string Name() const { return path + "/Log::WRITER_ZEROMQ"; }
    void Tell(int level, const char* message) {
        (level == BZW_REPORT_INFO      ? host->thread_info
         : level == BZW_REPORT_WARNING ? host->thread_warning
                                       : host->thread_error)(object, message);
    }

    void Refuse(const std::string& what) {
        const std::string which = path.empty() ? "A log" : "The log \"" + path + "\"";
        log.Say(BZW_REPORT_ERROR, (which + message::not_sent + what + ". Please " + advice).c_str());
    }

    bool Init(const void* info, int num_fields, const void* const* fields);

    // Tells how often the host's buffer is to be emptied. If it can't be, says so once.
    void Flush() {
        static std::atomic<bool> said{false};
        const double interval = bzw_writer_flush_interval(log.Get());
        if (host->why_no_flush.empty())
            log.frontend.FlushEvery(interval);
        else if (interval > 0 && !said.exchange(true))
            log.Say(BZW_REPORT_WARNING,
                    (message::no_flush + host->why_no_flush + ". Please " + advice).c_str());
    }
};

bool Writer::Init(const void* info, int num_fields, const void* const* fields) {
    check.reset(new Check(host->layout));
    if (!check->Usable()) {
        log.Say(BZW_REPORT_ERROR,
                (std::string("A log") + message::not_sent + message::no_descriptor).c_str());
        return false;
    }
    if (!log.HasGlobals())
        return false;
    Info read;
    std::string wrong = check->WriterInfo(object, info, &read);
    if (wrong.empty()) {
        path = read.path;
        wrong = check->Fields(num_fields, fields);
    }
    if (!wrong.empty()) {
        Refuse(host->name + message::otherwise + wrong);
        return false;
    }
    if (only_known_hosts && !host->why_unknown.empty()) {
        Refuse(message::only_known_hosts + host->name + " is to be said that " + host->why_unknown);
        return false;
    }

    if (!log.Open(host->layout, read.path, read.filter_name, *read.config, num_fields, fields))
        return false;
    Flush();
    return true;
}

// The functions that go into the slots. They are called as member functions are: with the
// object as the first argument. No exception may pass through the host.

bool on_init(void* object, const void* info, int num_fields, const void* const* fields) {
    Writer& writer = Writer::Of(object);
    const bool goes_on = writer.log.Init([&] { return writer.Init(info, num_fields, fields); });
    if (!writer.log.Get())
        writer.check.reset();
    return goes_on;
}

// Returns true if the library may look at a record. Once one record was as it should be, all are.
bool check(Writer& writer, int num_fields, const void* const* vals) {
    if (writer.checked || !writer.check->Fits(num_fields))
        return true; // the library counts a record with another number of columns
    std::string wrong;
    try {
        wrong = writer.check->Record(vals);
        if (wrong.empty()) {
            writer.check.reset();
            writer.checked = true;
            return true;
        }
        if (!writer.rejected)
            writer.log.Say(BZW_REPORT_WARNING, (message::wrong_record + wrong).c_str());
    } catch (...) {
        // There is no memory to say it.
    }
    writer.rejected = true;
    return false;
}

bool on_write(void* object, int num_fields, const void* const*, const void* const* vals) {
    Writer& writer = Writer::Of(object);
    if (!writer.log.Get())
        return writer.log.stays;
    if (!check(writer, num_fields, vals))
        return writer.log.CanGoOn(bzw_writer_reject(writer.log.Get(), message::wrong_value));
    return writer.log.Write(num_fields, vals);
}

bool on_set_buf(void*, bool) {
    return true;
}

bool on_flush(void* object, double) {
    LogWriter<Writer>& log = Writer::Of(object).log;
    return log.CanGoOn(bzw_writer_flush(log.Get()));
}

bool on_rotate(void* object, const char*, double, double, bool) {
    return Writer::Of(object).log.Rotate([object] { return host->finished_rotation(object); });
}

bool on_finish(void* object, double) {
    return Writer::Of(object).log.Close();
}

bool on_heartbeat(void* object, double network_time, double current_time) {
    LogWriter<Writer>& log = Writer::Of(object).log;
    return log.CanGoOn(bzw_writer_heartbeat(log.Get(), network_time, current_time));
}

// On the main thread: what a frontend calls last, before the host deletes it.
void on_signal_stop(void* object) {
    Writer::Of(object).log.frontend.Leave();
    host->signal_stop(object);
}

// On the main thread, in each round of its loop.
double on_round(void*) {
    return flush_frontends(host->flush_frontend);
}

void on_drain_events(void*) {
    flush_frontends_often(host->flush_frontend);
}

// Turns the object back into what the host made, and lets the host end it.
void end(void* object, std::size_t slot) {
    Writer* writer = &Writer::Of(object);
    writer->log.Close();
    static_cast<Object*>(object)->functions = host->none_vtable + vtable_header;
    delete writer;
    const Word destructor = host->none_vtable[slot];
    reinterpret_cast<void (*)(void*)>(destructor)(object);
}

void on_destroy(void* object) {
    end(object, host->destructor_slot);
}

void on_delete(void* object) {
    end(object, host->destructor_slot + 1);
}

template <class Function> Word word_of(Function* function) {
    return reinterpret_cast<Word>(function);
}

// The host calls this for each new writer, on its main thread, the only one that may read
// script variables. Returns null if no writer can be made.
void* make_writer(void* frontend) {
    try {
        auto* writer = new Writer(frontend);
        Word* vtable = writer->vtable.words;
        writer->vtable.writer = writer;
        std::memcpy(vtable, host->none_vtable, host->none_vtable_words * sizeof(Word));
        const Word functions[] = {word_of(on_init),     word_of(on_write),  word_of(on_set_buf),
                                  word_of(on_flush),    word_of(on_rotate), word_of(on_finish),
                                  word_of(on_heartbeat)};
        for (std::size_t i = 0; i < 7; ++i)
            vtable[host->slots[i]] = functions[i];
        vtable[host->destructor_slot] = word_of(on_destroy);
        vtable[host->destructor_slot + 1] = word_of(on_delete);
        if (host->heartbeat_slot)
            vtable[host->heartbeat_slot] = host->thread_heartbeat;
        if (host->why_no_flush.empty()) {
            vtable[host->signal_stop_slot] = word_of(on_signal_stop);
            static const bool added = [] {
                if (!host->drain_events_slot)
                    host->AddSource(on_round);
                return true;
            }();
            static_cast<void>(added);
        }

        try {
            const Memory memory;
            std::string only_known_hosts;
            writer->only_known_hosts =
                host->Option(memory, "LogZeroMQ::only_known_hosts", &only_known_hosts) &&
                only_known_hosts == "T";
            writer->log.ReadGlobals([&](const std::string& variable, std::string* text) {
                return host->Option(memory, variable, text);
            });
        } catch (...) {
            // DoInit reports it: messages can't be sent before the thread runs.
        }

        void* made = host->none_instantiate(frontend);
        auto* object = static_cast<Object*>(made);
        if (!object || object->functions != host->none_vtable + vtable_header) {
            // The log then gets the host's "None".
            std::fprintf(stderr, "%s: %s%s\n", name, message::other_writers, advice);
            delete writer;
            return made;
        }
        writer->object = object;
        object->functions = vtable + vtable_header;
        try {
            const char* path = host->HasTelemetry() ? Check(host->layout).PathOf(object, frontend) : nullptr;
            if (path)
                host->AddMetrics(path);
        } catch (...) {
            // The log goes without metrics.
        }
        return object;
    } catch (...) {
        return nullptr;
    }
}

// --- the plugin ---------------------------------------------------------------------

void describe(Configuration25& configuration) {
    configuration.api_version = host->api_version;
}
void describe(Configuration26& configuration) {
    configuration.version_function = host->version_function;
}
void describe(Configuration30& configuration) {
    configuration.patch = BZW_VERSION_PATCH;
    configuration.version_function = host->version_function;
}
void describe(Configuration51& configuration) {
    configuration.patch = BZW_VERSION_PATCH;
    configuration.bro_version_function = host->version_function;
    configuration.version_function = host->version_function;
}
void describe(Configuration61& configuration) {
    configuration.patch = BZW_VERSION_PATCH;
    configuration.version_function = host->version_function;
}

// The component that tells the host of the writer.
void* component = nullptr;

// Plugin::Configure.
template <class Configuration> Configuration configure(void* plugin) {
    host->plugin_add_component(plugin, component);
    if (host->drain_events_slot)
        host->enable_hook(plugin, drain_events_hook, 0);

    Configuration configuration;
    configuration.name = name;
    configuration.description = "ZeroMQ log writer";
    configuration.major = BZW_VERSION_MAJOR;
    configuration.minor = BZW_VERSION_MINOR;
    describe(configuration);
    return configuration;
}

Word configure_of(Version version) {
    if (version < Version{2, 6})
        return word_of(configure<Configuration25>);
    if (version < Version{3, 0})
        return word_of(configure<Configuration26>);
    if (version < Version{5, 1})
        return word_of(configure<Configuration30>);
    if (version < Version{6, 1})
        return word_of(configure<Configuration51>);
    return word_of(configure<Configuration61>);
}

// Makes the plugin's object. The host keeps a pointer to that object until its end, and does not delete it.
struct Plugin {
    Plugin() {
        try {
            host = new Host;
            component = host->MakeComponent("ZeroMQ", make_writer);
            std::memcpy(vtable, host->plugin_vtable, host->plugin_vtable_words * sizeof(Word));
            vtable[host->configure_slot] = configure_of(host->configuration_of);
            if (host->drain_events_slot)
                vtable[host->drain_events_slot] = word_of(on_drain_events);
            void* plugin = ::operator new(host->plugin_size);
            if (!host->own_layout.empty())
                std::fprintf(stderr, "%s: %s%s; they are sent as found (%s)\n", name, host->name.c_str(),
                             message::own_layout, host->own_layout.c_str());
            // The constructor tells the host of the plugin.
            host->plugin_constructor(plugin);
            static_cast<Object*>(plugin)->functions = vtable + vtable_header;
        } catch (const Refusal& refusal) {
            // The host says next that the shared object did not have a plugin in it.
            std::fprintf(stderr, "%s: %s%s. Please %s\n", name, message::unusable, refusal.what.c_str(),
                         advice);
        } catch (...) {
            std::fprintf(stderr, "%s: %sout of memory\n", name, message::unusable);
        }
    }

    Word vtable[vtable_room];
};

// Made while the host loads the shared object.
Plugin plugin;

} // namespace

} // namespace portable
} // namespace bzw
