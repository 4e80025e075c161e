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

#include "../flush.h"
#include "../messages.h"
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
    explicit Writer(void* arg_frontend) : frontend(arg_frontend) {}

    static Writer& Of(void* object) {
        return *reinterpret_cast<Writer*>(
            static_cast<Object*>(object)->functions[-1 - std::ptrdiff_t{vtable_header}]);
    }

    struct {
        Writer* writer;
        Word words[vtable_room];
    } vtable;

    void* object = nullptr;
    Frontend frontend;
    bzw_writer* open = nullptr;
    bool ends = false; // the writer knows that the host does
    bool checked = false;
    bool rejected = false; // a record, and it was said
    bool have_globals = false;
    bool only_known_hosts = false;
    // Whether it must not fail, see Say() and failures_end_writers.
    const bool stays = host->Terminating() || host->version < failures_end_writers;
    std::vector<std::pair<std::string, std::string>> globals;
    std::string path;
    std::unique_ptr<Check> check; // while there is something to check

    void Say(int level, const char* message) noexcept {
        // When a host ends, a message makes it start another thread for its own
        // reporter.log; Zeek warns of that, and Bro uses its reporter after deleting it.
        if (host->Terminating()) {
            std::fprintf(stderr, "%s%s: %s\n", path.c_str(), "/Log::WRITER_ZEROMQ", message);
            return;
        }
        try {
            switch (level) {
            case BZW_REPORT_INFO:
                host->thread_info(object, message);
                break;
            case BZW_REPORT_WARNING:
                host->thread_warning(object, message);
                break;
            default:
                host->thread_error(object, message);
                break;
            }
        } catch (...) {
            // A message that can't be sent must not end the thread.
        }
    }

    void Refuse(const std::string& what) {
        const std::string log = path.empty() ? "A log" : "The log \"" + path + "\"";
        Say(BZW_REPORT_ERROR, (log + message::not_sent + what + ". Please " + advice).c_str());
    }

    void Close() {
        bzw_writer* closing = open;
        open = nullptr;
        bzw_writer_close(closing);
    }

    bool Init(const void* info, int num_fields, const void* const* fields);

    // What the host is told of a call into the library: whether the writer can go on.
    bool GoesOn(int code) {
        // After these nothing more can be sent; everything else is counted and goes on.
        if (code != BZW_ERR_NULL && code != BZW_ERR_PANIC)
            return true;
        frontend.FlushEvery(0);
        return stays;
    }

    // That the buffer of the host can't be emptied is said once.
    void Flush() {
        static std::atomic<bool> said{false};
        const double interval = bzw_writer_flush_interval(open);
        if (host->keeps_records.empty())
            frontend.FlushEvery(interval);
        else if (interval > 0 && !said.exchange(true))
            Say(BZW_REPORT_WARNING, (message::no_flush + host->keeps_records + ". Please " + advice).c_str());
    }
};

void report(void* context, int level, const char* message) {
    static_cast<Writer*>(context)->Say(level, message);
}

bool Writer::Init(const void* info, int num_fields, const void* const* fields) {
    check.reset(new Check(host->layout));
    if (!check->Usable()) {
        Say(BZW_REPORT_ERROR, (std::string("A log") + message::not_sent + message::no_descriptor).c_str());
        return false;
    }
    if (!have_globals) {
        Say(BZW_REPORT_ERROR, message::no_options);
        return false;
    }
    Info read;
    std::string wrong = check->Writer(object, info, &read);
    if (wrong.empty()) {
        path = read.path;
        wrong = check->Fields(num_fields, fields);
    }
    if (!wrong.empty()) {
        Refuse(host->name + message::otherwise + wrong);
        return false;
    }
    if (only_known_hosts && !host->unknown.empty()) {
        Refuse(message::only_known_hosts + host->name + " is to be said that " + host->unknown);
        return false;
    }

    std::vector<bzw_option> script;
    for (const auto& option : globals)
        script.push_back({option.first.c_str(), option.second.c_str()});
    std::vector<bzw_option> filter;
    for (const auto& option : *read.config)
        filter.push_back({option.first, option.second});

    bzw_open_args args = {};
    args.struct_size = static_cast<std::uint32_t>(sizeof args);
    args.abi_version = BZW_ABI_VERSION;
    args.layout = &host->layout;
    args.path = read.path;
    args.filter_name = read.filter_name;
    args.globals = script.data();
    args.num_globals = script.size();
    args.config = filter.data();
    args.num_config = filter.size();
    args.fields = fields;
    args.num_fields = num_fields;
    args.report = report;
    args.report_context = this;
    return bzw_writer_open(&args, &open) == BZW_OK;
}

// The functions that go into the slots. They are called as member functions are: with the
// object as the first argument. No exception may pass through the host.

bool on_init(void* object, const void* info, int num_fields, const void* const* fields) {
    Writer& writer = Writer::Of(object);
    try {
        if (writer.Init(info, num_fields, fields)) {
            writer.Flush();
            return true;
        }
    } catch (const std::exception& e) {
        writer.Say(BZW_REPORT_ERROR, e.what());
    } catch (...) {
        writer.Say(BZW_REPORT_ERROR, message::exception);
    }
    writer.frontend.FlushEvery(0);
    writer.check.reset();
    return writer.stays;
}

// Whether a record may be looked at by the library. Once one was as it should be, all are.
bool check(Writer& writer, int num_fields, const void* const* vals) {
    if (writer.checked || !writer.check->Fits(num_fields))
        return true; // the library counts one with another number of columns
    std::string wrong;
    try {
        wrong = writer.check->Record(vals);
        if (wrong.empty()) {
            writer.check.reset();
            writer.checked = true;
            return true;
        }
        if (!writer.rejected)
            writer.Say(BZW_REPORT_WARNING, (message::wrong_record + wrong).c_str());
    } catch (...) {
        // There is no memory to say it.
    }
    writer.rejected = true;
    return false;
}

bool on_write(void* object, int num_fields, const void* const*, const void* const* vals) {
    Writer& writer = Writer::Of(object);
    if (!writer.open)
        return writer.stays;
    if (!check(writer, num_fields, vals))
        return writer.GoesOn(bzw_writer_reject(writer.open, message::wrong_value));
    writer.frontend.Came();
    if (!writer.ends && host->Terminating()) {
        writer.ends = true;
        bzw_writer_host_ends(writer.open);
    }
    return writer.GoesOn(bzw_writer_write(writer.open, num_fields, vals));
}

bool on_set_buf(void*, bool) {
    return true;
}

bool on_flush(void* object, double) {
    Writer& writer = Writer::Of(object);
    return writer.GoesOn(bzw_writer_flush(writer.open));
}

bool on_rotate(void* object, const char*, double, double, bool) {
    // There is no file; but the host waits for this answer.
    try {
        return host->finished_rotation(object);
    } catch (...) {
        return false;
    }
}

bool on_finish(void* object, double) {
    Writer::Of(object).Close();
    return true;
}

bool on_heartbeat(void* object, double network_time, double current_time) {
    Writer& writer = Writer::Of(object);
    return writer.GoesOn(bzw_writer_heartbeat(writer.open, network_time, current_time));
}

// On the main thread: the last that a frontend does before the host deletes it.
void on_signal_stop(void* object) {
    Writer::Of(object).frontend.Leave();
    host->signal_stop(object);
}

// On the main thread, in each round of its loop.
double on_round(void*) {
    return flush_frontends(host->flush_frontend);
}

void on_drain_events(void*) {
    flush_frontends_often(host->flush_frontend);
}

// Makes the object what the host made it, and lets the host end it.
void end(void* object, std::size_t slot) {
    Writer* writer = &Writer::Of(object);
    // Still open only if the host ended the thread without DoFinish; it is over by now.
    writer->Close();
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

// What the host calls for each new writer, on its main thread, the only one that may read
// script variables. Null if there is none.
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
        if (host->keeps_records.empty()) {
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
            for (std::uint32_t i = 0; const char* option = bzw_option_name(i); ++i) {
                std::string text;
                if (host->Option(memory, std::string("LogZeroMQ::") + option, &text))
                    writer->globals.emplace_back(option, std::move(text));
            }
            std::string only_known_hosts;
            writer->only_known_hosts =
                host->Option(memory, "LogZeroMQ::only_known_hosts", &only_known_hosts) &&
                only_known_hosts == "T";
            writer->have_globals = true;
        } catch (...) {
            // DoInit reports it: messages can't be sent before the thread runs.
        }

        void* made = host->none_instantiate(frontend);
        auto* object = static_cast<Object*>(made);
        if (!object || object->functions != host->none_vtable + vtable_header) {
            // The host's "None" is then what the log gets.
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
            // It goes without.
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

// What tells the host of the writer.
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

// The host keeps a pointer to it until its end, and does not delete it.
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
            // By this the host knows of it.
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
