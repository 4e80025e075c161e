// What the classes of the test host do.
#include "host.h"

#include "include/Scope.h"
#include "include/telemetry/Manager.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>

// The version: a function's name, and a variable.

extern "C" {
#ifdef VERSION_FUNCTION
const char* VERSION_FUNCTION() {
    return VERSION_IDENTIFIER;
}
#endif
char version[] = VERSION_TEXT;
}

// What goes wrong on purpose.

bool must_go_wrong(const char* what) {
    const char* const wanted = getenv("WRONG");
    return wanted != nullptr && (what == nullptr || strcmp(wanted, what) == 0);
}

void* nowhere() {
    volatile uintptr_t address = 0x10; // which the compiler does not know
    return reinterpret_cast<void*>(address);
}

// The end.

#if HOST_VERSION >= 40000
namespace zeek {
namespace run_state {
bool terminating;
}
} // namespace zeek
using zeek::run_state::terminating;
#else
bool terminating;
#endif

void set_terminating() {
    __atomic_store_n(&terminating, true, __ATOMIC_RELAXED);
}

// Script-level variables.

namespace {

#if HOST_VERSION >= 30200
using zeek::detail::ID;
using zeek::detail::IDPtr;
#endif

std::map<std::string, IDPtr>& globals() {
    static auto& all = *new std::map<std::string, IDPtr>; // never gone, and no leak
    return all;
}

const IDPtr& find_global(const std::string& name) {
    static const IDPtr none;
    const auto found = globals().find(name);
    return found == globals().end() ? none : found->second;
}

} // namespace

void set_global(const std::string& name, TYPES Val* value) {
    globals()[name] = IDPtr(new ID(name, TYPES ValPtr(value)));
}

#if HOST_VERSION >= 30200
const IDPtr& zeek::id::find(std::string_view name) {
    return find_global(std::string(name));
}
#else
ID* lookup_ID(const char* name, const char* module, bool, bool, bool) {
    const std::string full = strstr(name, "::") ? name : std::string(module) + "::" + name;
    ID* found = find_global(full).get();
    if (found != nullptr)
        Ref(found);
    return found;
}
#endif

#if HOST_VERSION >= 40000
const zeek::ValPtr& zeek::id::find_val(std::string_view name) {
    static const auto& wrong_value = *new ValPtr(static_cast<Val*>(nowhere()));
    if (must_go_wrong("value"))
        return wrong_value;
    const IDPtr& found = find(name);
    if (found == nullptr)
        abort();
    return found->GetVal();
}
#else
TYPES Val* opt_internal_val(const char* name) {
    if (must_go_wrong("value"))
        return static_cast<TYPES Val*>(nowhere());
    const IDPtr& found = find_global(name);
    return found == nullptr ? nullptr : found->GetVal().get();
}
#endif

THREADS_BEGIN

ODesc::ODesc(DESC_TYPE t, DESC_FILE*) : type(t), base(malloc(16)), size(16) {
    static_cast<char*>(base)[0] = '\0';
}

ODesc::~ODesc() {
    free(base);
}

void ODesc::Add(const char* s, int) {
    const size_t length = strlen(s);
    while (offset + length + 1 > size)
        base = realloc(base, size *= 2);
    memcpy(static_cast<char*>(base) + offset, s, length + 1);
    offset += static_cast<unsigned>(length);
}

void ODesc::AddBytes(const std::string& s) {
    for (const unsigned char byte : s) {
        char text[5];
        snprintf(text, sizeof text, style == RAW || (byte >= 32 && byte < 127) ? "%c" : "\\x%02x", byte);
        Add(text);
    }
}

THREADS_END

TYPES_BEGIN

Obj::~Obj() {}

const EnumType* TYPE_CLASS::AsEnumType() const {
    return dynamic_cast<const EnumType*>(this);
}

Val::Val(TypeTag tag, int64_t number)
    : text(tag != TYPE_BOOL ? std::to_string(number)
           : number         ? "T"
                            : "F"),
      type(new TYPE_CLASS(tag)), integer(number) {}

void Val::Describe(THREADS ODesc* d) const {
    ValDescribe(d);
}

void Val::ValDescribe(THREADS ODesc* d) const {
    d->Add(text.c_str());
}

const StringVal* Val::AsStringVal() const {
    return dynamic_cast<const StringVal*>(this);
}

#if HOST_VERSION >= 30200
StringVal::StringVal(const std::string& arg_text) : Val(new TYPE_CLASS(TYPE_STRING), arg_text) {}
#else
StringVal::StringVal(const std::string& arg_text)
    : Val(new TYPE_CLASS(TYPE_STRING), arg_text), string(arg_text) {}

const BroString* Val::AsString() const {
    return &AsStringVal()->string;
}
#endif

void StringVal::ValDescribe(THREADS ODesc* d) const {
    d->AddBytes(text);
}

TYPES_END

#if HOST_VERSION >= 70000
namespace zeek {
namespace telemetry {

// Telemetry.

std::shared_ptr<Counter> Manager::CounterInstance(std::string_view prefix, std::string_view name,
                                                  std::initializer_list<LabelView> labels, std::string_view,
                                                  std::string_view, std::function<double()> callback) {
    Add(prefix, name, labels, std::move(callback));
    return std::shared_ptr<Counter>(reinterpret_cast<Counter*>(this), [](Counter*) {});
}

std::shared_ptr<Gauge> Manager::GaugeInstance(std::string_view prefix, std::string_view name,
                                              std::initializer_list<LabelView> labels, std::string_view,
                                              std::string_view, std::function<double()> callback) {
    Add(prefix, name, labels, std::move(callback));
    return std::shared_ptr<Gauge>(reinterpret_cast<Gauge*>(this), [](Gauge*) {});
}

std::map<std::string, double> Manager::TestHostRead() const {
    std::map<std::string, double> values;
    for (const auto& metric : metrics)
        values[metric.first] = metric.second();
    return values;
}

void Manager::Add(std::string_view prefix, std::string_view name, std::initializer_list<LabelView> labels,
                  std::function<double()> callback) {
    std::string key = std::string(prefix) + "_" + std::string(name);
    for (const LabelView& label : labels)
        key += " " + std::string(label.first) + "=" + std::string(label.second);
    metrics[key] = std::move(callback);
}

} // namespace telemetry

telemetry::Manager* telemetry_mgr = new telemetry::Manager;
} // namespace zeek
#endif

THREADS_BEGIN
namespace threading {

// Values.

Value::~Value() {
    if (!present)
        return;
    switch (type) {
    case TYPES TYPE_STRING:
    case TYPES TYPE_ENUM:
    case TYPES TYPE_FILE:
    case TYPES TYPE_FUNC:
        if (val.string_val.data != nullptr)
            memset(val.string_val.data, '?', static_cast<size_t>(val.string_val.length));
        delete[] val.string_val.data;
        break;
    case TYPES TYPE_TABLE:
    case TYPES TYPE_VECTOR:
        for (int64_t i = 0; i < val.set_val.size; i++)
            delete val.set_val.vals[i];
        std::fill_n(val.set_val.vals, val.set_val.size, nullptr);
        delete[] val.set_val.vals;
        break;
    default:
        break;
    }
    memset(static_cast<void*>(&val), 0x5a, sizeof val);
}

// Threads.

BasicThread::BasicThread() : terminating(false) {}

BasicThread::~BasicThread() {
    if (thread.joinable())
        thread.join();
}

void BasicThread::Start() {
    thread = std::thread([this] { Run(); });
    OnStart();
}

void BasicThread::SignalStop() {
    OnSignalStop();
    terminating = true;
}

void BasicThread::WaitForStop() {
    OnWaitForStop();
    if (thread.joinable())
        thread.join();
}

MsgThread::MsgThread() : failed(false) {}

MsgThread::~MsgThread() {}

void MsgThread::Info(const char* msg) {
    report("info", Name(), msg);
}

void MsgThread::Warning(const char* msg) {
    report("warning", Name(), msg);
}

void MsgThread::Error(const char* msg) {
    report("error", Name(), msg);
}

static double now() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void MsgThread::Heartbeat() {
    TestHostSend([this, time = heartbeat_time] { return OnHeartbeat(time, now()); });
}

void MsgThread::OnSignalStop() {
    report("host", Name(), "the writer is to stop");
}

void MsgThread::OnKill() {}

void MsgThread::TestHostSend(std::function<bool()> job) {
    std::lock_guard<std::mutex> lock(mutex);
    jobs.push_back(std::move(job));
    changed.notify_all();
}

void MsgThread::TestHostHeartbeat(double network_time) {
    heartbeat_time = network_time;
    Heartbeat();
}

void MsgThread::TestHostDrain() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [this] { return jobs.empty() && !busy; });
}

bool MsgThread::TestHostFailed() {
    return failed;
}

void MsgThread::Run() {
    std::unique_lock<std::mutex> lock(mutex);
    for (;;) {
        changed.wait(lock, [this] { return stop || !jobs.empty(); });
        if (jobs.empty())
            return;
        std::function<bool()> job = std::move(jobs.front());
        jobs.pop_front();
        busy = true;
        lock.unlock();
        if (!job())
            failed = true;
        job = nullptr;
        lock.lock();
        busy = false;
        changed.notify_all();
    }
}

void MsgThread::OnWaitForStop() {
    std::lock_guard<std::mutex> lock(mutex);
    stop = true;
    changed.notify_all();
}

} // namespace threading
THREADS_END

#if HOST_VERSION >= 30100
THREADS_BEGIN
namespace iosource {

// The main loop.

void Manager::Register(IOSource* source, bool dont_count, bool manage_lifetime) {
    source->InitSource();
    sources.push_back(source);
    left_alone += dont_count && !manage_lifetime;
}

double Manager::TestHostRound() {
    double shortest = -1;
    for (IOSource* source : sources) {
        const double next = source->IsOpen() ? source->GetNextTimeout() : -1;
        if (next >= 0 && (shortest < 0 || next < shortest))
            shortest = next;
    }
    return shortest;
}

Manager::WakeupHandler::~WakeupHandler() {}

void Manager::WakeupHandler::Process() {
    flare[0] = flare[1];
}

} // namespace iosource

iosource::Manager* iosource_mgr = new iosource::Manager; // never gone, and no leak
THREADS_END
#endif

TYPES_BEGIN
namespace plugin {

// Plugins.

// Where a plugin registers while its shared object is being loaded, or the program starts.
static Plugin* registered;

Plugin::Plugin() {
    registered = this;
}

Plugin::~Plugin() {}

void Plugin::InitPreScript() {}

void Plugin::Done() {
    for (Component* component : components)
        delete component;
    components.clear();
}

void Plugin::AddComponent(Component* component) {
    components.push_back(component);
    component->Initialize();
}

#if HOST_VERSION < 30100
void Plugin::HookDrainEvents() {}

void Plugin::EnableHook(HookType hook, int) {
    hooks[hook] = true;
}
#endif

Component::Component(component::Type arg_type, const std::string& arg_name)
    : type(arg_type), name(arg_name), canonical_name(arg_name) {
    for (char& letter : canonical_name) {
        if (letter >= 'a' && letter <= 'z')
            letter = static_cast<char>(letter - 'a' + 'A');
        else if ((letter < 'A' || letter > 'Z') && (letter < '0' || letter > '9'))
            letter = '_';
    }
}

Component::~Component() {}

Plugin* Manager::BuiltIn() {
    static Plugin* const built_in = registered; // of the first call
    return built_in;
}

// Returns true if the plugin was compiled for a host of another version.
bool Manager::IsForOther(const Plugin* plugin) {
#if CONFIGURATION_VERSION < 20600
    return plugin->config.api_version != API_VERSION;
#elif defined(VERSION_FUNCTION) && CONFIGURATION_VERSION < 50100
    return plugin->config.bro_version != VERSION_FUNCTION;
#elif defined(VERSION_FUNCTION)
    return plugin->config.zeek_version() != std::string(VERSION_IDENTIFIER);
#else
    static_cast<void>(plugin);
    return false;
#endif
}

Plugin* Manager::Load(const std::string& library, std::string* error) {
    // The host's own plugin may be configured before others are loaded, or not: both must do.
    Plugin* const built_in = BuiltIn();
    if (HOST_VERSION % 2 != 0)
        built_in->config = built_in->Configure();
    registered = nullptr;
#if HOST_VERSION >= 40000
    const int when = RTLD_NOW;
#else
    const int when = RTLD_LAZY;
#endif
    if (dlopen(library.c_str(), when | RTLD_GLOBAL) == nullptr) {
        *error = dlerror();
        return nullptr;
    }
    if (registered == nullptr) {
        *error = library + ": no plugin in it";
        return nullptr;
    }
    Plugin* const plugin = registered;
    plugin->config = plugin->Configure();
    if (IsForOther(plugin)) {
        *error = library + ": the plugin is for another version";
        return nullptr;
    }
    plugin->InitPreScript();
    return plugin;
}

void Manager::Start(Plugin* plugin) {
    plugin->InitPostScript();
#if HOST_VERSION >= 60200
    plugin->InitPreExecution();
#endif
}

double Manager::Round(Plugin* plugin) {
#if HOST_VERSION >= 30100
    static_cast<void>(plugin);
    return THREADS iosource_mgr->TestHostRound();
#else
    if (plugin->hooks[HOOK_DRAIN_EVENTS])
        plugin->HookDrainEvents();
    return -1;
#endif
}

void Manager::Finish(Plugin* plugin) {
    plugin->Done();
    BuiltIn()->Done();
}

} // namespace plugin
TYPES_END

THREADS_BEGIN
namespace logging {

// Writers.

void WriterFrontend::FlushWriteBuffer() {
    if (++flushes == 1)
        report("host", name, "the buffer is emptied");
    if (over)
        report("host", name, "a buffer is emptied that is gone");
    for (const auto& send : buffer)
        send();
    buffer.clear();
}

Component::Component(const std::string& name, factory_callback arg_factory)
    : TYPES plugin::Component(TYPES plugin::component::WRITER, name), factory(arg_factory) {}

Component::~Component() {}

WriterBackend::WriterInfo::WriterInfo(const WriterInfo& other)
    : path(copy_string(other.path)),
#if INFO_VERSION >= 70100
      filter_name(other.filter_name),
#endif
#if INFO_VERSION >= 30200
      post_proc_func(copy_string(other.post_proc_func)),
#endif
      rotation_interval(other.rotation_interval), rotation_base(other.rotation_base),
      network_time(other.network_time) {
    for (const auto& entry : other.config)
        config.emplace(copy_string(entry.first), copy_string(entry.second));
}

WriterBackend::WriterInfo::~WriterInfo() {
    delete[] path;
#if INFO_VERSION >= 30200
    delete[] post_proc_func;
#endif
    for (const auto& entry : config) {
        delete[] entry.first;
        delete[] entry.second;
    }
}

#if HOST_VERSION >= 80002
WriterBackend::WriterBackend(WriterFrontend* arg_frontend, bool arg_send_heartbeats)
    : frontend(arg_frontend), info(new WriterInfo(arg_frontend->Info())), send_heartbeats(arg_send_heartbeats)
#else
WriterBackend::WriterBackend(WriterFrontend* arg_frontend)
    : frontend(arg_frontend), info(new WriterInfo(arg_frontend->Info()))
#endif
{
    SetName(frontend->Name());
    if (must_go_wrong("path"))
        info->path = static_cast<const char*>(nowhere());
    if (must_go_wrong("config")) {
        info->config.clear();
        info->config.emplace(static_cast<const char*>(nowhere()), "");
    }
}

WriterBackend::~WriterBackend() {
    report("host", Name(), "the writer is gone");
    if (must_go_wrong())
        return;
    for (int i = 0; i < num_fields; i++)
        delete fields[i];
    delete[] fields;
    delete info;
}

bool WriterBackend::Init(int arg_num_fields, const threading::Field* const* arg_fields) {
    num_fields = arg_num_fields;
    fields = arg_fields;
    return DoInit(*info, must_go_wrong("columns") ? -1 : num_fields, fields);
}

bool WriterBackend::Write(int arg_num_fields, threading::Value** vals) {
    if (Failed())
        return true;
    return arg_num_fields == num_fields && DoWrite(num_fields, fields, vals);
}

bool WriterBackend::SetBuf(bool enabled) {
    if (Failed() || enabled == buffering)
        return true;
    buffering = enabled;
    return DoSetBuf(enabled);
}

bool WriterBackend::Flush(double network_time) {
    return Failed() || DoFlush(network_time);
}

bool WriterBackend::Rotate(const char* rotated_path, double open, double close, bool terminating) {
    if (Failed())
        return true;
    --rotations;
    return DoRotate(rotated_path, open, close, terminating);
}

bool WriterBackend::FinishedRotation() {
    return ++rotations == 0;
}

bool WriterBackend::OnHeartbeat(double network_time, double current_time) {
    return Failed() || DoHeartbeat(network_time, current_time);
}

bool WriterBackend::OnFinish(double network_time) {
    return Failed() || DoFinish(network_time);
}

#if HOST_VERSION >= 80002
void WriterBackend::Heartbeat() {
    if (send_heartbeats)
        MsgThread::Heartbeat();
}

bool WriterBackend::DoHeartbeat(double, double) {
    return true;
}
#endif

namespace {

WriterBackend::WriterInfo make_info(const std::string& path,
                                    const std::vector<std::pair<std::string, std::string>>& config) {
    WriterBackend::WriterInfo info;
    info.path = copy_string(path.c_str());
#if INFO_VERSION >= 70100
    info.filter_name = "default-zmq";
#endif
    // The time comes from packets, which can say anything.
    info.network_time = -1e300;
    for (const auto& entry : config)
        info.config.emplace(copy_string(entry.first.c_str()), copy_string(entry.second.c_str()));
    return info;
}

// A record on its way to the writer. From Zeek 7.1 on a host keeps a record's values in
// one block of memory, before that each on its own.
struct Pending {
    explicit Pending(const Writer::Record& record) {
#if HOST_VERSION >= 70100
        block.reserve(record.size());
        for (threading::Value* value : record) {
            block.push_back(std::move(*value));
            delete value;
        }
        for (threading::Value& value : block)
            vals.push_back(&value);
#else
        vals = record;
#endif
    }

    ~Pending() {
#if HOST_VERSION < 70100
        for (threading::Value* value : vals)
            delete value;
#endif
    }

    Pending(const Pending&) = delete;
    Pending& operator=(const Pending&) = delete;

#if HOST_VERSION >= 70100
    std::vector<threading::Value> block;
#endif
    Writer::Record vals;
};

} // namespace

Writer::Writer(Component* component, const std::string& path,
               const std::vector<std::pair<std::string, std::string>>& config, const Fields& fields)
    : frontend(path + "/Log::WRITER_" + component->CanonicalName(), make_info(path, config)),
      backend(component->Factory()(&frontend)) {
    const threading::Field** const array = new const threading::Field*[fields.size()];
    std::copy(fields.begin(), fields.end(), array);
    backend->Start();
    const int count = static_cast<int>(fields.size());
    Send([count, array](WriterBackend& writer) { return writer.Init(count, array); });
}

Writer::~Writer() {
    Close();
}

void Writer::Send(std::function<bool(WriterBackend&)> job) {
    backend->TestHostSend([target = backend, job = std::move(job)] { return job(*target); });
}

void Writer::Write(const Record& record, const std::function<void(Record&)>& spoil) {
    auto pending = std::make_shared<Pending>(record);
    if (spoil)
        spoil(pending->vals);
    static auto& kept = *new std::vector<std::shared_ptr<Pending>>; // never gone, and no leak
    if (must_go_wrong())
        kept.push_back(pending);
    Send([pending](WriterBackend& writer) {
        return writer.Write(static_cast<int>(pending->vals.size()), pending->vals.data());
    });
}

void Writer::Buffer(const Record& record) {
    frontend.TestHostBuffer([this, record] { Write(record); });
}

void Writer::Heartbeat(double network_time) {
    backend->TestHostHeartbeat(network_time);
}

void Writer::SetBuf(bool enabled) {
    Send([enabled](WriterBackend& writer) { return writer.SetBuf(enabled); });
}

void Writer::Flush(double network_time) {
    Send([network_time](WriterBackend& writer) { return writer.Flush(network_time); });
}

void Writer::Rotate(double when) {
    Send([when](WriterBackend& writer) { return writer.Rotate("rotated", when - 60, when, false); });
}

void Writer::Finish() {
    finished = true;
    Send([](WriterBackend& writer) { return writer.OnFinish(threading::now()); });
}

bool Writer::Drain() {
    backend->TestHostDrain();
    return !backend->TestHostFailed();
}

int Writer::Rotations() const {
    return backend->TestHostRotations();
}

void Writer::SignalStop() {
    if (!finished)
        Finish();
    backend->SignalStop();
    frontend.TestHostEnd();
}

void Writer::Close() {
    if (backend == nullptr)
        return;
    if (!backend->Terminating())
        SignalStop();
    Abandon();
}

void Writer::Abandon() {
    backend->WaitForStop();
    threading::BasicThread::TestHostDelete(backend);
    backend = nullptr;
}

} // namespace logging
THREADS_END
