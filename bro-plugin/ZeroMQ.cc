#include "ZeroMQ.h"

#include <cstdio>
#include <exception>
#include <locale>
#include <new>
#include <sstream>

#include "layout.h"
#include "messages.h"
#include "telemetry.h"

namespace bzw {

namespace {

// Decimal, whatever the locale: the other side reads it with a plain number parser.
template <class Number> std::string decimal(Number number) {
    std::ostringstream text;
    text.imbue(std::locale::classic());
    text.setf(std::ios::fixed);
    text.precision(9);
    text << number;
    return text.str();
}

// An option's value as text; false for a type that has no such form.
bool render(const host::Val& value, std::string& text) {
    switch (host::tag(value)) {
    case BZW_HOST_TYPES::TYPE_BOOL:
        text = value.AsBool() ? "T" : "F";
        return true;

    case BZW_HOST_TYPES::TYPE_INT:
        text = decimal(value.AsInt());
        return true;

    case BZW_HOST_TYPES::TYPE_COUNT:
        text = decimal(value.AsCount());
        return true;

    case BZW_HOST_TYPES::TYPE_DOUBLE:
    case BZW_HOST_TYPES::TYPE_INTERVAL:
        text = decimal(value.InternalDouble());
        return true;

    case BZW_HOST_TYPES::TYPE_ENUM:
        if (const char* name = host::enumerator(value)) {
            text = name;
            return true;
        }
        return false;

    case BZW_HOST_TYPES::TYPE_STRING:
        text = host::text(value);
        return true;

    default:
        return false;
    }
}

// The filter's name, in hosts that tell it.
template <class Info> auto filter_name(const Info& info, int) -> decltype(info.filter_name.c_str()) {
    return info.filter_name.c_str();
}
template <class Info> const char* filter_name(const Info&, ...) {
    return nullptr;
}

} // namespace

ZeroMQ::ZeroMQ(host::logging::WriterFrontend* arg_frontend)
    : WriterBackend(arg_frontend), frontend(arg_frontend) {
    try {
        for (std::uint32_t i = 0; const char* name = bzw_option_name(i); ++i) {
            const host::Val* value = host::global((std::string("LogZeroMQ::") + name).c_str());
            std::string text;
            if (value && render(*value, text))
                globals.emplace_back(name, std::move(text));
        }
        have_globals = true;
        add_metrics(*arg_frontend);
    } catch (...) {
        // DoInit reports it: messages can't be sent before the thread runs.
    }
}

ZeroMQ::~ZeroMQ() {
    // Still open only if the host ended the thread without DoFinish; it is over by now.
    bzw_writer_close(writer);
}

host::logging::WriterBackend* ZeroMQ::Instantiate(host::logging::WriterFrontend* frontend) {
    try {
        return new ZeroMQ(frontend);
    } catch (...) {
        return nullptr;
    }
}

bool ZeroMQ::DoInit(const WriterInfo& info, int num_fields, const host::threading::Field* const* fields) {
    try {
        if (have_globals && Open(info, num_fields, fields)) {
            frontend.FlushEvery(bzw_writer_flush_interval(writer));
            return true;
        }
        if (!have_globals)
            Say(BZW_REPORT_ERROR, message::no_options);
    } catch (const std::exception& e) {
        Say(BZW_REPORT_ERROR, e.what());
    } catch (...) {
        Say(BZW_REPORT_ERROR, message::exception);
    }
    frontend.FlushEvery(0);
    return stays;
}

bool ZeroMQ::Open(const WriterInfo& info, int num_fields, const host::threading::Field* const* fields) {
    std::vector<bzw_option> script;
    for (const auto& option : globals)
        script.push_back({option.first.c_str(), option.second.c_str()});

    std::vector<bzw_option> filter;
    for (const auto& option : info.config)
        filter.push_back({option.first, option.second});

    const bzw_layout layout = layout::of_host();

    bzw_open_args args = {};
    args.struct_size = static_cast<std::uint32_t>(sizeof args);
    args.abi_version = BZW_ABI_VERSION;
    args.layout = &layout;
    args.path = info.path;
    args.filter_name = filter_name(info, 0);
    args.globals = script.data();
    args.num_globals = script.size();
    args.config = filter.data();
    args.num_config = filter.size();
    args.fields = reinterpret_cast<const void* const*>(fields);
    args.num_fields = num_fields;
    args.report = Report;
    args.report_context = this;

    return bzw_writer_open(&args, &writer) == BZW_OK;
}

bool ZeroMQ::DoWrite(int num_fields, const host::threading::Field* const*, host::threading::Value** vals) {
    frontend.Came();
    if (!ends && host::terminating()) {
        ends = true;
        bzw_writer_host_ends(writer);
    }
    return GoesOn(bzw_writer_write(writer, num_fields, reinterpret_cast<const void* const*>(vals)));
}

bool ZeroMQ::DoHeartbeat(double network_time, double current_time) {
    return GoesOn(bzw_writer_heartbeat(writer, network_time, current_time));
}

bool ZeroMQ::DoFinish(double) {
    bzw_writer* closing = writer;
    writer = nullptr;
    bzw_writer_close(closing);
    return true;
}

bool ZeroMQ::DoRotate(const char*, double, double, bool) {
    // There is no file; but the host waits for this answer.
    try {
        return FinishedRotation();
    } catch (...) {
        return false;
    }
}

bool ZeroMQ::DoSetBuf(bool) {
    return true;
}

bool ZeroMQ::DoFlush(double) {
    return GoesOn(bzw_writer_flush(writer));
}

void ZeroMQ::OnSignalStop() {
    frontend.Leave();
    WriterBackend::OnSignalStop();
}

bool ZeroMQ::GoesOn(int code) {
    // After these nothing more can be sent; everything else is counted and goes on.
    if (code != BZW_ERR_NULL && code != BZW_ERR_PANIC)
        return true;
    frontend.FlushEvery(0);
    return stays;
}

void ZeroMQ::Report(void* context, int level, const char* message) {
    static_cast<ZeroMQ*>(context)->Say(level, message);
}

void ZeroMQ::Say(int level, const char* message) noexcept {
    // When a host ends, a message makes it start another thread for its own reporter.log;
    // Zeek warns of that, and Bro uses its reporter after deleting it.
    if (host::terminating()) {
        std::fprintf(stderr, "%s: %s\n", Name(), message);
        return;
    }
    // The host copies the text and prints it with "%s", so that it may hold any "%".
    host::threading::MsgThread& thread = *this;
    try {
        switch (level) {
        case BZW_REPORT_INFO:
            thread.Info(message);
            break;
        case BZW_REPORT_WARNING:
            thread.Warning(message);
            break;
        default:
            thread.Error(message);
            break;
        }
    } catch (...) {
        // A message that can't be sent must not end the thread.
    }
}

} // namespace bzw
