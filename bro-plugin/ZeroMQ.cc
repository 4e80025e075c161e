#include "ZeroMQ.h"

#include <locale>
#include <sstream>

#include "layout.h"
#include "telemetry.h"

namespace bzw {

namespace {

// A number in decimal, whatever the locale: the Rust library reads it with a plain number parser.
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

ZeroMQ::ZeroMQ(host::logging::WriterFrontend* frontend)
    : WriterBackend(frontend), log(*this, frontend, BZW_HOST_VERSION < 700) {
    try {
        log.ReadGlobals([](const std::string& name, std::string* text) {
            const host::Val* value = host::global(name.c_str());
            return value && render(*value, *text);
        });
        add_metrics(*frontend);
    } catch (...) {
        // DoInit reports that there are no options.
    }
}

host::logging::WriterBackend* ZeroMQ::Instantiate(host::logging::WriterFrontend* frontend) {
    try {
        return new ZeroMQ(frontend);
    } catch (...) {
        return nullptr;
    }
}

bool ZeroMQ::DoInit(const WriterInfo& info, int num_fields, const host::threading::Field* const* fields) {
    return log.Init([&] {
        const bzw_layout layout = layout::of_host();
        if (!log.HasGlobals() ||
            !log.Open(layout, info.path, filter_name(info, 0), info.config, num_fields, fields))
            return false;
        log.frontend.FlushEvery(bzw_writer_flush_interval(log.Get()));
        return true;
    });
}

bool ZeroMQ::DoWrite(int num_fields, const host::threading::Field* const*, host::threading::Value** vals) {
    return log.Write(num_fields, vals);
}

bool ZeroMQ::DoHeartbeat(double network_time, double current_time) {
    return log.CanGoOn(bzw_writer_heartbeat(log.Get(), network_time, current_time));
}

bool ZeroMQ::DoFinish(double) {
    return log.Close();
}

bool ZeroMQ::DoRotate(const char*, double, double, bool) {
    return log.Rotate([this] { return FinishedRotation(); });
}

bool ZeroMQ::DoSetBuf(bool) {
    return true;
}

bool ZeroMQ::DoFlush(double) {
    return log.CanGoOn(bzw_writer_flush(log.Get()));
}

void ZeroMQ::OnSignalStop() {
    log.frontend.Leave();
    WriterBackend::OnSignalStop();
}

void ZeroMQ::Tell(int level, const char* message) {
    // The host copies the text and prints it with "%s", so that it may hold any "%".
    using host::threading::MsgThread;
    const auto tell = level == BZW_REPORT_INFO      ? &MsgThread::Info
                      : level == BZW_REPORT_WARNING ? &MsgThread::Warning
                                                    : &MsgThread::Error;
    (static_cast<MsgThread*>(this)->*tell)(message);
}

} // namespace bzw
