// A host for the plugin that knows hosts without their headers: the test host one directory up in the
// flavour of a version, of which one thing may be wrong (include/flavour.h), in an executable.
//
//     host SHARED_OBJECT
//
// loads the plugin as a host does, runs two writers, each on a thread of its own, receives
// what they publish with a libzmq that is linked to it (as Zeek's is from 7.1 on), and
// prints what was said and what arrived. The environment variable WRONG names something that goes
// wrong when it runs.
#include <malloc.h>
#include <zmq.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "../include/telemetry/Manager.h"

// All sources are one object, which `run` links in several ways, and changes names in.
#include "../host.cc"
#include "../none.cc"
#include "../reading.cc"
#include "../values.cc"

#ifdef WRONG_FUNCTION
extern "C" void WRONG_FUNCTION() {}
#endif

// Some allocators, such as jemalloc, are told the size of what they get back, and rely on it.
#ifndef __SANITIZE_ADDRESS__
void operator delete(void* memory, std::size_t size) noexcept {
    if (memory && malloc_usable_size(memory) > size + 64) {
        printf("host: %zu bytes were given back of %zu\n", size, malloc_usable_size(memory));
        _Exit(3);
    }
    free(memory);
}
void operator delete(void* memory) noexcept {
    free(memory);
}
#endif

void report(const std::string& level, const std::string& who, const std::string& text) {
    static std::mutex mutex;
    std::lock_guard<std::mutex> lock(mutex);
    printf("%s: %s%s%s\n", level.c_str(), who.c_str(), who.empty() ? "" : ": ", text.c_str());
    fflush(stdout);
}

namespace {

const int num_records = 20;

// The columns of a log, with the values of record number `i`.
std::vector<Column> columns_of(int i) {
    return {
        {"ts", TYPE_TIME, TYPE_VOID, real(TYPE_TIME, 1700000000.25 + i), "", false},
        {"uid", TYPE_STRING, TYPE_VOID, text(TYPE_STRING, "CHhAvVGS1DHFjwGM9"), "", false},
        {"id.orig_h", TYPE_ADDR, TYPE_VOID, addr("10.0.0.1"), "", false},
        {"id.orig_p", TYPE_PORT, TYPE_VOID, port(40000 + static_cast<unsigned>(i)), "", false},
        {"proto", TYPE_ENUM, TYPE_VOID, text(TYPE_ENUM, "tcp"), "", false},
        {"duration", TYPE_INTERVAL, TYPE_VOID, i % 2 ? unset(TYPE_INTERVAL) : real(TYPE_INTERVAL, 0.5), ""},
        {"bytes", TYPE_COUNT, TYPE_VOID, count(uint64_t{1} << 40), ""},
        {"local", TYPE_BOOL, TYPE_VOID, boolean(true), ""},
        {"net", TYPE_SUBNET, TYPE_VOID, subnet("10.0.0.0", 8), ""},
        // Hosts make the containers that they log without a subtype.
        {"tags", TYPE_TABLE, TYPE_STRING,
         container(TYPE_TABLE, TYPE_VOID, {text(TYPE_STRING, "a"), text(TYPE_STRING, "b")}), ""},
        {"answers", TYPE_VECTOR, TYPE_ADDR, container(TYPE_VECTOR, TYPE_VOID, {addr("2001:db8::1")}), ""},
        {"delta", TYPE_INT, TYPE_VOID, number(-3), ""},
    };
}

// Damages record number `i` as WRONG says.
void spoil(std::vector<Value*>& record, int i) {
    if (must_go_wrong("type"))
        record[1]->type = TYPE_COUNT;
    if (must_go_wrong("present"))
        memset(&record[1]->present, 7, 1);
    if (must_go_wrong("pointer"))
        record[1] = static_cast<Value*>(nowhere());
    if (must_go_wrong("text"))
        record[1]->val.string_val.data = static_cast<char*>(nowhere());
    if (must_go_wrong("length"))
        record[1]->val.string_val.length = -5;
    if (must_go_wrong("set"))
        record[9]->val.set_val.vals = static_cast<Value**>(nowhere());
    if (must_go_wrong("size"))
        record[9]->val.set_val.size = int64_t{1} << 50;
    if (must_go_wrong("family"))
        memset(&record[2]->val.addr_val.family, 9, 1);
    // Values that a packet can have.
    if (must_go_wrong("odd") && i < 2) {
        record[0]->val.double_val = i == 0 ? 1e18 : -1e18;
        record[3]->val.port_val.port = 70000;
        record[7]->val.int_val = 2;
    }
    // Damage that no host should do, in one record only.
    if (must_go_wrong("first") && i == 0)
        record[1]->type = TYPE_COUNT;
    if (must_go_wrong("nothing") && i == 0)
        for (Value* value : record)
            value->present = false;
}

// The fields of a log, and what goes wrong with them.
THREADS logging::Writer::Fields make_fields() {
    const std::vector<Column> columns = columns_of(0);
    THREADS logging::Writer::Fields fields = fields_of(columns);
    for (const Column& column : columns)
        delete column.value;
    Field* field = const_cast<Field*>(fields[1]);
    if (must_go_wrong("no column"))
        fields[1] = static_cast<const Field*>(nowhere());
    if (must_go_wrong("column's name"))
        field->name = static_cast<const char*>(nowhere());
    if (must_go_wrong("column's type"))
        memset(&field->type, 99, 1);
    if (must_go_wrong("column's option"))
        memset(&field->optional, 7, 1);
    return fields;
}

// A log, from its first record to the last.
struct Log {
    Log(THREADS logging::Component* component, const std::string& arg_path,
        const std::vector<std::pair<std::string, std::string>>& config)
        : path(arg_path), writer(component, path, config, make_fields()) {
        for (int i = 0; i < num_records; ++i)
            writer.Write(record_of(columns_of(i)), [i](std::vector<Value*>& record) { spoil(record, i); });
        writer.Heartbeat(1700000000);
        writer.SetBuf(false);
        writer.Flush(0);
        writer.Rotate(0);
        if (must_go_wrong("end"))
            writer.Send([](THREADS logging::WriterBackend&) {
                set_terminating();
                return true;
            });
        writer.Finish();
        writer.Send([this](THREADS logging::WriterBackend&) { return over = true; });
    }

    const std::string path;
    std::atomic<bool> over{false};
    THREADS logging::Writer writer;
};

// The plugin in a shared object, or null.
TYPES plugin::Plugin* load(const char* library) {
    std::string error;
    TYPES plugin::Plugin* const plugin = TYPES plugin::Manager::Load(library, &error);
    if (!plugin)
        fprintf(stderr, "fatal error: %s\n", error.c_str());
    return plugin;
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 2 && (argc != 3 || strcmp(argv[1], "-N") != 0))
        return 2;
    if (argc == 3) {
        // "-N" lists the plugin, as a host does.
        const auto* plugin = load(getenv("LIBRARY"));
        if (!plugin)
            return 1;
        printf("%s - %s (dynamic, version %d.%d)\n", plugin->Name().c_str(), plugin->Description().c_str(),
               plugin->Version().major, plugin->Version().minor);
        return 0;
    }

    void* context = zmq_ctx_new();
    void* socket = zmq_socket(context, ZMQ_SUB);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0);
    char endpoint[128];
    size_t size = sizeof endpoint;
    if (zmq_bind(socket, "tcp://127.0.0.1:*") != 0 ||
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size) != 0)
        return 2;
    if (!must_go_wrong("variables")) {
        set_global("LogZeroMQ::endpoint", new StringVal(endpoint));
        set_global("LogZeroMQ::topic", new StringVal("%path, \xc3\xbc\\"));
        set_global("LogZeroMQ::zmq_hwm", new CountVal(TYPE_COUNT, 1000));
        set_global("LogZeroMQ::zmq_linger", new IntVal(TYPE_INT, 60000));
        set_global("LogZeroMQ::json_timestamps", new EnumVal("JSON::TS_MILLIS"));
        set_global("LogZeroMQ::json_include_unset_fields", new BoolVal(TYPE_BOOL, 1));
        set_global("LogZeroMQ::zmq_connect_pause", new TableVal("{ 1, 2 }"));
        if (getenv("ONLY_KNOWN"))
            set_global("LogZeroMQ::only_known_hosts", new BoolVal(TYPE_BOOL, 1));
    }

    auto* plugin = load(argv[1]);
    if (!plugin)
        return 1;
    printf("plugin: %s - %s (%d.%d)\n", plugin->Name().c_str(), plugin->Description().c_str(),
           plugin->Version().major, plugin->Version().minor);
    TYPES plugin::Manager::Start(plugin);

    auto* component = static_cast<THREADS logging::Component*>(plugin->Components().front());
    // Under valgrind, or an emulator on a busy machine, a subscription takes its time.
    const std::pair<std::string, std::string> wait = {"wait_for_subscriber", "60 sec"};
    Log conn(component, "conn", {wait});
    Log dns(component, "dns", {{"json_timestamps", "JSON::TS_EPOCH"}, {"zmq_linger", "60001"}, wait});

    // The records of a path come in order, but those of different paths in any.
    std::map<std::string, std::vector<std::string>> arrived;
    zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};
    for (bool over = false;;) {
        const bool running = !conn.over || !dns.over;
        const bool quiet = zmq_poll(&item, 1, running ? 20 : 300) <= 0;
        TYPES plugin::Manager::Round(plugin);
        if (quiet) {
            if (over)
                break;
            over = !running;
            continue;
        }
        std::vector<std::string> frames;
        int more;
        do {
            zmq_msg_t message;
            zmq_msg_init(&message);
            if (zmq_msg_recv(&message, socket, 0) < 0)
                return 2;
            frames.emplace_back(static_cast<const char*>(zmq_msg_data(&message)), zmq_msg_size(&message));
            more = zmq_msg_more(&message);
            zmq_msg_close(&message);
        } while (more);
        if (frames.size() != 2)
            return 2;
        arrived[frames[0]].push_back(frames[1]);
    }
    for (Log* log : {&conn, &dns}) {
        if (!log->writer.Drain())
            report("host", log->path, "the writer failed");
        if (log->writer.Rotations() != 0)
            report("host", log->path, "the rotation failed");
        log->writer.SignalStop();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    TYPES plugin::Manager::Round(plugin);
    for (Log* log : {&conn, &dns})
        log->writer.Close();
    TYPES plugin::Manager::Round(plugin);
#if HOST_VERSION >= 30100
    if (THREADS iosource_mgr->Size() != 0)
        report("host", "", "the source is counted, or is to be deleted");
#endif
#if HOST_VERSION >= 70000
    for (const auto& metric : zeek::telemetry_mgr->TestHostRead())
        printf("metric: %s %g\n", metric.first.c_str(), metric.second);
#endif
    TYPES plugin::Manager::Finish(plugin);

    for (const auto& path : arrived) {
        printf("arrived: %s %zu\n", path.first.c_str(), path.second.size());
        for (size_t i = 0; i < 2 && i < path.second.size(); ++i)
            printf("%s\n", path.second[i].c_str());
    }
    zmq_close(socket);
    zmq_ctx_term(context);
    return 0;
}
