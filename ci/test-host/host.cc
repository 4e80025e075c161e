// What the classes of the test host do.
#include "host.h"

#include "include/Scope.h"

#include <dirent.h>
#include <dlfcn.h>
#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>

// The function whose name says the host's exact version.

#if TEST_HOST_VERSION >= 60000
#define TEST_HOST_VERSION_FUNCTION ZEEK_VERSION_FUNCTION
#else
#define TEST_HOST_VERSION_FUNCTION BRO_VERSION_FUNCTION
#endif
#define TEST_HOST_STRING(x) #x
#define TEST_HOST_STRING_OF(x) TEST_HOST_STRING(x)

extern "C" const char* TEST_HOST_VERSION_FUNCTION() {
    return VERSION;
}

std::string version_function() {
    return TEST_HOST_STRING_OF(TEST_HOST_VERSION_FUNCTION);
}

// Reports.

namespace {

std::mutex reports_mutex;
std::vector<Report> reports;

} // namespace

void add_report(const std::string& level, const std::string& who, const std::string& text) {
    std::lock_guard<std::mutex> lock(reports_mutex);
    reports.push_back(Report{level, who, text});
}

std::vector<Report> take_reports() {
    std::lock_guard<std::mutex> lock(reports_mutex);
    std::vector<Report> taken;
    taken.swap(reports);
    return taken;
}

// Script-level variables.

namespace {

#if TEST_HOST_VERSION >= 40000
typedef zeek::detail::ID GlobalID;
#else
typedef ID GlobalID;
#endif

std::map<std::string, TEST_HOST_NS::IntrusivePtr<GlobalID>>& globals() {
    static std::map<std::string, TEST_HOST_NS::IntrusivePtr<GlobalID>> all;
    return all;
}

const TEST_HOST_NS::IntrusivePtr<GlobalID>& find_global(const std::string& name) {
    static const TEST_HOST_NS::IntrusivePtr<GlobalID> none;
    const auto found = globals().find(name);
    return found == globals().end() ? none : found->second;
}

} // namespace

void set_global(const std::string& name, TEST_HOST_NS::Val* value) {
    globals()[name] = TEST_HOST_NS::IntrusivePtr<GlobalID>(new GlobalID(name, TEST_HOST_NS::ValPtr(value)));
}

#if TEST_HOST_VERSION >= 40000
const zeek::detail::IDPtr& zeek::id::find(std::string_view name) {
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

TEST_HOST_BEGIN

Obj::~Obj() {}

const EnumType* TestHostType::AsEnumType() const {
    return dynamic_cast<const EnumType*>(this);
}

const char* EnumType::Lookup(int64_t number) const {
    const size_t index = static_cast<size_t>(number);
    return index < names.size() ? names[index].c_str() : nullptr;
}

Val::Val(TypeTag tag, int64_t number) : type(new TestHostType(tag)), integer(number) {}

Val::Val(TypeTag tag, double number) : type(new TestHostType(tag)), real(number) {}

const TestHostString* Val::AsString() const {
    return &AsStringVal()->string;
}

const StringVal* Val::AsStringVal() const {
    return dynamic_cast<const StringVal*>(this);
}

StringVal::StringVal(const std::string& text) : Val(TYPE_STRING, int64_t(0)), string(text) {}

std::string StringVal::ToStdString() const {
    return std::string(reinterpret_cast<const char*>(Bytes()), static_cast<size_t>(Len()));
}

namespace threading {

// Values.

Value::~Value() {
    if (!present)
        return;
    switch (type) {
    case TYPE_STRING:
    case TYPE_ENUM:
    case TYPE_FILE:
    case TYPE_FUNC:
        if (val.string_val.data != nullptr)
            memset(val.string_val.data, '?', static_cast<size_t>(val.string_val.length));
        delete[] val.string_val.data;
        break;
    case TYPE_TABLE:
    case TYPE_VECTOR:
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

#if TEST_HOST_VERSION >= 40000
MsgThread::~MsgThread() {}
#endif

void MsgThread::Report(const char* level, const char* msg) {
    add_report(level, Name(), msg);
}

void MsgThread::Info(const char* msg) {
    Report("info", msg);
}
void MsgThread::Warning(const char* msg) {
    Report("warning", msg);
}
void MsgThread::Error(const char* msg) {
    Report("error", msg);
}
void MsgThread::Heartbeat() {}
void MsgThread::OnSignalStop() {
    ++TestHostStops();
}

int& MsgThread::TestHostStops() {
    static int stops;
    return stops;
}

void MsgThread::OnKill() {}

void MsgThread::TestHostSend(std::function<bool()> job) {
    std::lock_guard<std::mutex> lock(mutex);
    jobs.push_back(std::move(job));
    changed.notify_all();
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

namespace plugin {

// Plugins.

namespace {

// Where a plugin registers while its shared object is being loaded.
Plugin* registered = nullptr;

bool is_directory(const std::string& path) {
    struct stat st;
    return stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

#if TEST_HOST_VERSION >= 60100
const char* const marker = "/__zeek_plugin__";
#else
const char* const marker = "/__bro_plugin__";
#endif

} // namespace

Plugin::Plugin() {
    registered = this;
}

Plugin::~Plugin() {
    for (Component* component : components)
        delete component;
}

void Plugin::EnableHook(HookType hook, int) {
    hooks[hook] = true;
}

void Plugin::AddComponent(Component* component) {
    components.push_back(component);
    component->Initialize();
}

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

std::vector<Manager::Found> Manager::Search(const std::string& directory) {
    std::ifstream file(directory + marker);
    if (file) {
        Found found{directory, ""};
        std::getline(file, found.name);
        return {found};
    }
    std::vector<Found> all;
    DIR* const opened = opendir(directory.c_str());
    if (opened == nullptr)
        return all;
    while (const dirent* entry = readdir(opened)) {
        const std::string name = entry->d_name;
        if (name[0] == '.' || !is_directory(directory + "/" + name))
            continue;
        for (const Found& found : Search(directory + "/" + name))
            all.push_back(found);
    }
    closedir(opened);
    return all;
}

std::vector<std::string> Manager::Libraries(const std::string& directory) {
    std::vector<std::string> all;
    glob_t matches;
    if (glob((directory + "/lib/*." HOST_ARCHITECTURE DYNAMIC_PLUGIN_SUFFIX).c_str(), 0, nullptr, &matches) ==
        0) {
        for (size_t i = 0; i < matches.gl_pathc; i++)
            all.push_back(matches.gl_pathv[i]);
        globfree(&matches);
    }
    return all;
}

Plugin* Manager::Load(const std::string& library, std::string* error) {
    registered = nullptr;
#if TEST_HOST_VERSION >= 40000
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
    plugin->InitPreScript();
    return plugin;
}

void Manager::Start(Plugin* plugin) {
    plugin->InitPostScript();
#if TEST_HOST_VERSION >= 60200
    plugin->InitPreExecution();
#endif
}

double Manager::Round(Plugin* plugin) {
    if (plugin->hooks[HOOK_DRAIN_EVENTS])
        plugin->HookDrainEvents();
    return iosource_mgr->TestHostRound();
}

void Manager::Finish(Plugin* plugin) {
    plugin->Done();
}

} // namespace plugin

namespace iosource {

void Manager::Register(IOSource* source, bool dont_count, bool) {
    source->InitSource();
    sources.push_back(source);
    uncounted += dont_count;
}

double Manager::TestHostRound() {
    double shortest = -1;
    for (IOSource* source : sources) {
        const double next = source->GetNextTimeout();
        if (next >= 0 && (shortest < 0 || next < shortest))
            shortest = next;
    }
    return shortest;
}

} // namespace iosource

static iosource::Manager sources;
iosource::Manager* iosource_mgr = &sources;

namespace logging {

// Writers.

void WriterFrontend::FlushWriteBuffer() {
    ++flushes;
    for (const auto& send : buffer)
        send();
    buffer.clear();
}

Component::Component(const std::string& name, factory_callback arg_factory)
    : plugin::Component(plugin::component::WRITER, name), factory(arg_factory) {}

WriterBackend::WriterInfo::WriterInfo(const WriterInfo& other)
    : path(TEST_HOST_UTIL::copy_string(other.path)),
#if TEST_HOST_VERSION >= 70200
      filter_name(other.filter_name),
#endif
#if TEST_HOST_VERSION >= 30200
      post_proc_func(TEST_HOST_UTIL::copy_string(other.post_proc_func)),
#endif
      rotation_interval(other.rotation_interval), rotation_base(other.rotation_base),
      network_time(other.network_time) {
    for (const auto& entry : other.config)
        config.emplace(TEST_HOST_UTIL::copy_string(entry.first), TEST_HOST_UTIL::copy_string(entry.second));
}

WriterBackend::WriterInfo::~WriterInfo() {
    delete[] path;
#if TEST_HOST_VERSION >= 30200
    delete[] post_proc_func;
#endif
    for (const auto& entry : config) {
        delete[] entry.first;
        delete[] entry.second;
    }
}

#if TEST_HOST_VERSION >= 80000
WriterBackend::WriterBackend(WriterFrontend* frontend, bool arg_send_heartbeats)
    : info(frontend->Info()), rotations(0), send_heartbeats(arg_send_heartbeats) {
    SetName(frontend->Name());
}

void WriterBackend::Heartbeat() {}

bool WriterBackend::DoHeartbeat(double, double) {
    return true;
}
#else
WriterBackend::WriterBackend(WriterFrontend* frontend) : info(frontend->Info()), rotations(0) {
    SetName(frontend->Name());
}
#endif

WriterBackend::~WriterBackend() {
    for (int i = 0; i < num_fields; i++)
        delete fields[i];
    delete[] fields;
}

bool WriterBackend::Init(int arg_num_fields, const threading::Field* const* arg_fields) {
    num_fields = arg_num_fields;
    fields = arg_fields;
    return DoInit(info, num_fields, fields);
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
    ++rotations;
    return true;
}

bool WriterBackend::OnHeartbeat(double network_time, double current_time) {
#if TEST_HOST_VERSION >= 80000
    if (!send_heartbeats)
        return true;
#endif
    return Failed() || DoHeartbeat(network_time, current_time);
}

bool WriterBackend::OnFinish(double network_time) {
    return Failed() || DoFinish(network_time);
}

WriterBackend::WriterInfo Writer::MakeInfo(const std::string& path,
                                           const std::vector<std::pair<std::string, std::string>>& config) {
    WriterBackend::WriterInfo info;
    info.path = TEST_HOST_UTIL::copy_string(path.c_str());
#if TEST_HOST_VERSION >= 70200
    info.filter_name = "default-zmq";
#endif
    info.network_time = 1700000000.0;
    for (const auto& entry : config)
        info.config.emplace(TEST_HOST_UTIL::copy_string(entry.first.c_str()),
                            TEST_HOST_UTIL::copy_string(entry.second.c_str()));
    return info;
}

Writer::Writer(Component* component, const std::string& path,
               const std::vector<std::pair<std::string, std::string>>& config, const Fields& fields)
    : frontend(path + "/" + component->Name(), MakeInfo(path, config)),
      backend(component->Factory()(&frontend)), num_fields(static_cast<int>(fields.size())) {
    const threading::Field** const array = new const threading::Field*[fields.size()];
    std::copy(fields.begin(), fields.end(), array);
    backend->Start();
    WriterBackend* const target = backend;
    const int count = num_fields;
    backend->TestHostSend([target, count, array] { return target->Init(count, array); });
}

Writer::~Writer() {
    Close();
}

namespace {

// A record on its way to the writer. From Zeek 7.2 on a host keeps a record's values in
// one block of memory, before that each on its own.
struct Pending {
    explicit Pending(const Writer::Record& record) {
#if TEST_HOST_VERSION >= 70200
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
#if TEST_HOST_VERSION < 70200
        for (threading::Value* value : vals)
            delete value;
#endif
    }

    Pending(const Pending&) = delete;
    Pending& operator=(const Pending&) = delete;

#if TEST_HOST_VERSION >= 70200
    std::vector<threading::Value> block;
#endif
    Writer::Record vals;
};

double now() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

} // namespace

void Writer::Write(Record record) {
    auto pending = std::make_shared<Pending>(record);
    WriterBackend* const target = backend;
    const int count = static_cast<int>(record.size());
    backend->TestHostSend([target, count, pending]() mutable {
        const bool done = target->Write(count, pending->vals.data());
        pending.reset();
        return done;
    });
}

void Writer::Buffer(Record record) {
    frontend.TestHostBuffer([this, record] { Write(record); });
}

void Writer::Heartbeat(double network_time) {
    WriterBackend* const target = backend;
    backend->TestHostSend([target, network_time] { return target->OnHeartbeat(network_time, now()); });
}

void Writer::SetBuf(bool enabled) {
    WriterBackend* const target = backend;
    backend->TestHostSend([target, enabled] { return target->SetBuf(enabled); });
}

void Writer::Flush(double network_time) {
    WriterBackend* const target = backend;
    backend->TestHostSend([target, network_time] { return target->Flush(network_time); });
}

void Writer::Rotate(double when) {
    WriterBackend* const target = backend;
    backend->TestHostSend([target, when] { return target->Rotate("rotated", when - 60, when, false); });
}

bool Writer::Drain() {
    backend->TestHostDrain();
    return !backend->TestHostFailed();
}

int Writer::Rotations() const {
    return backend->TestHostRotations();
}

void Writer::SignalStop() {
    WriterBackend* const target = backend;
    backend->TestHostSend([target] { return target->OnFinish(now()); });
    backend->SignalStop();
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
    delete backend;
    backend = nullptr;
}

} // namespace logging
TEST_HOST_END
