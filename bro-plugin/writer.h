// A log's writer as the host's thread has it: what it hands to the Rust library, and what it makes of the
// answers. The glue that is compiled with a host's headers and the one that knows none both use it.
#ifndef BZW_WRITER_H
#define BZW_WRITER_H

#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "bro_zeromq_writer.h"

#include "flush.h"
#include "messages.h"

namespace bzw {

// Host has Ends(), true if the host has begun to end; Name(), the writer's name in messages; and
// Tell(level, message), for the host's reporter, which may throw. The last two are for the writer's thread.
template <class Host> class LogWriter {
public:
    // Main thread. A writer that cannot be opened fails, or, if it `stays`, drops its records. It stays
    // while the host ends, which then could not report the failure, and in every host before Zeek 7.0,
    // which goes on using a failed writer (in WriterFrontend::Stop) after it has deleted it.
    LogWriter(Host& arg_host, void* arg_frontend, bool always_stays)
        : frontend(arg_frontend), host(arg_host), stays(always_stays || arg_host.Ends()) {}
    LogWriter(const LogWriter&) = delete;
    LogWriter& operator=(const LogWriter&) = delete;

    // The writer is still open only if the host ended its thread without DoFinish. The thread is over by
    // now.
    ~LogWriter() { Close(); }

    // Main thread, the only one that may read script variables: read(name, &text) returns false for a
    // variable that the script does not have. May throw, which HasGlobals() reports: messages can't be sent
    // before the writer's thread runs.
    template <class Read> void ReadGlobals(const Read& read) {
        for (std::uint32_t i = 0; const char* option = bzw_option_name(i); ++i) {
            std::string text;
            if (read(std::string("LogZeroMQ::") + option, &text))
                globals.emplace_back(option, std::move(text));
        }
        have_globals = true;
    }

    // From here on everything is for the writer's own thread. Returns what the host is told: true if the
    // writer can go on. `open` looks at what the host has handed over, and ends with Open().
    template <class Function> bool Init(const Function& open) {
        try {
            if (open())
                return true;
        } catch (const std::exception& e) {
            Say(BZW_REPORT_ERROR, e.what());
        } catch (...) {
            Say(BZW_REPORT_ERROR, message::exception);
        }
        frontend.FlushEvery(0);
        return stays;
    }

    bool HasGlobals() {
        if (!have_globals)
            Say(BZW_REPORT_ERROR, message::no_options);
        return have_globals;
    }

    // `config` is a map of the filter's options.
    template <class Config>
    bool Open(const bzw_layout& layout, const char* path, const char* filter_name, const Config& config,
              int num_fields, const void* fields) {
        std::vector<bzw_option> script;
        for (const auto& option : globals)
            script.push_back({option.first.c_str(), option.second.c_str()});
        std::vector<bzw_option> filter;
        for (const auto& option : config)
            filter.push_back({option.first, option.second});

        bzw_open_args args = {};
        args.struct_size = static_cast<std::uint32_t>(sizeof args);
        args.abi_version = BZW_ABI_VERSION;
        args.layout = &layout;
        args.path = path;
        args.filter_name = filter_name;
        args.globals = script.data();
        args.num_globals = script.size();
        args.config = filter.data();
        args.num_config = filter.size();
        args.fields = static_cast<const void* const*>(fields);
        args.num_fields = num_fields;
        args.report = [](void* context, int level, const char* message) {
            static_cast<LogWriter*>(context)->Say(level, message);
        };
        args.report_context = this;
        return bzw_writer_open(&args, &writer) == BZW_OK;
    }

    // Null before Open() and after Close().
    bzw_writer* Get() const { return writer; }

    bool Write(int num_fields, const void* vals) {
        frontend.CountRecord();
        if (!ends && host.Ends()) {
            ends = true;
            bzw_writer_host_ends(writer);
        }
        return CanGoOn(bzw_writer_write(writer, num_fields, static_cast<const void* const*>(vals)));
    }

    // Returns what the host is told of a call into the library: true if the writer can go on.
    bool CanGoOn(int code) {
        // After these two nothing more can be sent. The library counts everything else, and goes on.
        if (code != BZW_ERR_NULL && code != BZW_ERR_PANIC)
            return true;
        frontend.FlushEvery(0);
        return stays;
    }

    // There is no file to rotate, but the host waits for this answer.
    template <class Function> bool Rotate(const Function& finished) {
        try {
            return finished();
        } catch (...) {
            return false;
        }
    }

    bool Close() {
        bzw_writer* closing = writer;
        writer = nullptr;
        bzw_writer_close(closing);
        return true;
    }

    void Say(int level, const char* message) noexcept {
        try {
            // When a host ends, a message makes it start another thread for its own reporter.log;
            // Zeek warns of that, and Bro uses its reporter after deleting it.
            if (host.Ends())
                std::fprintf(stderr, "%s: %s\n", std::string(host.Name()).c_str(), message);
            else
                host.Tell(level, message);
        } catch (...) {
            // A message that can't be sent must not end the thread.
        }
    }

    Frontend frontend;

private:
    Host& host;
    bzw_writer* writer = nullptr;
    bool ends = false; // the library knows that the host has begun to end
    bool have_globals = false;
    std::vector<std::pair<std::string, std::string>> globals;

public:
    const bool stays;
};

} // namespace bzw

#endif
