// Loads the plugin as a host does, runs its log writers on threads of their own, and
// checks what arrives at a subscriber.
//
//   test-host PLUGIN_PATH SUBSCRIBER
//
// PLUGIN_PATH is searched for the plugin; SUBSCRIBER is the program of
// tests/interop/subscriber.c. TEST_HOST_SLOW=N allows N times as long for everything
// that is waited for (valgrind). Prints a line for each check; exit status 1 if one fails.
#include "host.h"
#include "include/telemetry/Manager.h"
#include "records.h"
#include "subscriber.h"

#include <dirent.h>
#include <dlfcn.h>
#include <glob.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <thread>

#if HOST_VERSION >= 30200
using namespace zeek;
#endif

// A host may link a libzmq of its own (Zeek does from 7.1 on). These functions stand for it: the
// plugin must neither call them nor offer functions of these names to others.
static std::atomic<int> decoy_calls(0);

extern "C" {
#define TEST_HOST_DECOY(name)                                                                                \
    void* name() {                                                                                           \
        ++decoy_calls;                                                                                       \
        return nullptr;                                                                                      \
    }
TEST_HOST_DECOY(zmq_ctx_new)
TEST_HOST_DECOY(zmq_ctx_set)
TEST_HOST_DECOY(zmq_ctx_term)
TEST_HOST_DECOY(zmq_socket)
TEST_HOST_DECOY(zmq_close)
TEST_HOST_DECOY(zmq_connect)
TEST_HOST_DECOY(zmq_bind)
TEST_HOST_DECOY(zmq_setsockopt)
TEST_HOST_DECOY(zmq_getsockopt)
TEST_HOST_DECOY(zmq_msg_init)
TEST_HOST_DECOY(zmq_msg_init_size)
TEST_HOST_DECOY(zmq_msg_init_data)
TEST_HOST_DECOY(zmq_msg_send)
TEST_HOST_DECOY(zmq_msg_recv)
TEST_HOST_DECOY(zmq_msg_close)
TEST_HOST_DECOY(zmq_send)
TEST_HOST_DECOY(zmq_recv)
TEST_HOST_DECOY(zmq_poll)
TEST_HOST_DECOY(zmq_errno)
TEST_HOST_DECOY(zmq_version)
}

namespace {

typedef std::vector<std::pair<std::string, std::string>> Config;
typedef std::chrono::steady_clock Clock;

// Something that was said to the user, or done by the host.
struct Report {
    std::string level;
    std::string who;
    std::string text;
};

std::mutex reports_mutex;
std::vector<Report> reports_so_far;

// All reports since the last call.
std::vector<Report> take_reports() {
    std::lock_guard<std::mutex> lock(reports_mutex);
    std::vector<Report> taken;
    taken.swap(reports_so_far);
    return taken;
}

int passed = 0;
int failed = 0;

void check(bool ok, const std::string& what, const std::string& detail = "") {
    ++(ok ? passed : failed);
    printf("%s %s\n", ok ? "ok    " : "FAILED", what.c_str());
    if (!ok && !detail.empty())
        printf("       %s\n", detail.c_str());
    fflush(stdout);
}

void check_equal(const std::string& found, const std::string& expected, const std::string& what) {
    check(found == expected, what, "found    " + found + "\n       expected " + expected);
}

int slow() {
    const char* const factor = getenv("TEST_HOST_SLOW");
    return factor == nullptr ? 1 : std::max(1, atoi(factor));
}

void pause(int ms) {
    std::this_thread::sleep_for(std::chrono::milliseconds(ms * slow()));
}

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string directory; // for sockets

int endpoints = 0;

std::string fresh_endpoint() {
    return "ipc://" + directory + "/" + std::to_string(endpoints++);
}

// A TCP endpoint that nobody listens at.
std::string free_tcp_endpoint() {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(fd, reinterpret_cast<struct sockaddr*>(&address), sizeof address) != 0 ||
        getsockname(fd, reinterpret_cast<struct sockaddr*>(&address), &size) != 0) {
        perror("bind");
        exit(1);
    }
    close(fd);
    return "tcp://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
}

std::string text_of(const std::vector<Report>& reports) {
    std::string all;
    for (const Report& report : reports)
        all += "[" + report.level + "] " + report.who + ": " + report.text + "\n       ";
    return all.empty() ? "(no reports)" : all;
}

size_t count_reports(const std::vector<Report>& reports, const std::string& level,
                     const std::string& part = "") {
    size_t found = 0;
    for (const Report& report : reports) {
        if (report.level == level && report.text.find(part) != std::string::npos)
            found++;
    }
    return found;
}

void check_no_complaints(const std::string& what, const std::vector<Report>& reports = take_reports()) {
    const size_t complaints =
        count_reports(reports, "warning") + count_reports(reports, "error") + count_reports(reports, "fatal");
    check(complaints == 0, what + ": no warnings and no errors", text_of(reports));
}

// What all tests work with.
struct Setup {
    plugin::Plugin* plugin;
    logging::Component* component;
    std::string subscriber;
};

// A writer whose log has the columns of small_record().
std::unique_ptr<logging::Writer> small_writer(const Setup& setup, const std::string& path,
                                              const Config& config) {
    const std::vector<Column> columns = small_record(0, "");
    const logging::Writer::Fields fields = fields_of(columns);
    for (const Column& column : columns)
        delete column.value;
    return std::unique_ptr<logging::Writer>(new logging::Writer(setup.component, path, config, fields));
}

// Gives the subscriber's subscription time to reach the writer.
void let_subscribe(logging::Writer& writer) {
    writer.Drain();
    pause(300);
    writer.Heartbeat(1700000000.0);
    writer.Drain();
}

// The plugin as such.

bool is_directory(const std::string& path) {
    struct stat st;
    return stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

// Where the directory of a plugin was found by its marker file, and its name.
struct Found {
    std::string directory;
    std::string name;
};

// Searches a directory and those below for marker files, as a host does for each
// directory of its plugin path.
std::vector<Found> search(const std::string& directory) {
#if HOST_VERSION >= 60100
    std::ifstream file(directory + "/__zeek_plugin__");
#else
    std::ifstream file(directory + "/__bro_plugin__");
#endif
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
        for (const Found& found : search(directory + "/" + name))
            all.push_back(found);
    }
    closedir(opened);
    return all;
}

// The shared objects of this machine in a plugin's directory.
std::vector<std::string> libraries_of(const std::string& directory) {
    std::vector<std::string> all;
    glob_t matches;
    if (glob((directory + "/lib/*." HOST_ARCHITECTURE ".so").c_str(), 0, nullptr, &matches) == 0) {
        for (size_t i = 0; i < matches.gl_pathc; i++)
            all.push_back(matches.gl_pathv[i]);
        globfree(&matches);
    }
    return all;
}

plugin::Plugin* load_plugin(const std::string& path, void** library) {
    const std::vector<Found> found = search(path);
    check(found.size() == 1, "one plugin in the plugin path", path + ": " + std::to_string(found.size()));
    if (found.empty())
        return nullptr;
    check_equal(found[0].name, "NCSA::ZeroMQWriter", "its marker file has its name");

    const std::vector<std::string> libraries = libraries_of(found[0].directory);
    check(libraries.size() == 1, "one shared object for " HOST_ARCHITECTURE,
          found[0].directory + ": " + std::to_string(libraries.size()));
    if (libraries.empty())
        return nullptr;

#if HOST_VERSION >= 30000
    const std::string extension = ".zeek";
#else
    const std::string extension = ".bro";
#endif
    for (const char* script :
         {"/scripts/NCSA/ZeroMQWriter/__load__", "/scripts/__load__", "/scripts/__preload__"}) {
        const std::string file = found[0].directory + script + extension;
        const bool required = script == std::string("/scripts/NCSA/ZeroMQWriter/__load__");
        const bool exists = access(file.c_str(), R_OK) == 0;
        if (required || exists)
            check(exists, "script " + std::string(script) + extension, file);
    }

    std::string error;
    plugin::Plugin* const plugin = plugin::Manager::Load(libraries[0], &error);
    check(plugin != nullptr, "the shared object loads and registers a plugin", error);
    if (plugin == nullptr)
        return nullptr;
    *library = dlopen(libraries[0].c_str(), RTLD_NOW | RTLD_NOLOAD);

    check_equal(plugin->Name(), "NCSA::ZeroMQWriter", "the plugin's name");
    check(!plugin->Description().empty(), "the plugin has a description");
    check(static_cast<bool>(plugin->Version()), "the plugin has a version");
    check(plugin->Components().size() == 1, "the plugin has one component");
    return plugin;
}

void test_exports(void* library) {
    for (const char* name :
         {"zmq_ctx_new", "zmq_socket", "zmq_msg_send", "zmq_curve_keypair", "sodium_init"}) {
        void* const symbol = dlsym(library, name);
        void* const own = dlsym(RTLD_DEFAULT, name);
        // dlsym() looks into the library's dependencies too, but not into the program.
        check(symbol == nullptr, std::string("the shared object does not export ") + name,
              own == symbol ? "and the program gets it" : "");
    }
}

// Records.

void test_every_type(const Setup& setup) {
    const std::string endpoint = fresh_endpoint();
    Subscriber subscriber(setup.subscriber, endpoint, 2, 20000 * slow());
    const std::vector<Column> first = every_type();
    const std::vector<Column> second = every_type();
    const std::string expected = json_of(first);

    logging::Writer writer(setup.component, "types", {{"endpoint", endpoint}}, fields_of(first));
    let_subscribe(writer);
    writer.Write(record_of(first));
    writer.Write(record_of(second));
    check(writer.Drain(), "every type: written");
    const int status = subscriber.Wait();
    writer.Close();

    check(status == 0, "every type: both records arrive, each as two frames",
          "exit status " + std::to_string(status));
    for (const Subscriber::Message& message : subscriber.Messages()) {
        check_equal(message.first, "types", "every type: log path");
        check_equal(message.second, expected, "every type: JSON");
    }
    check_no_complaints("every type");
}

void test_all_unset(const Setup& setup) {
    const std::string endpoint = fresh_endpoint();
    Subscriber subscriber(setup.subscriber, endpoint, 2, 20000 * slow());
    for (const char* include_unset : {"F", "T"}) {
        std::vector<Column> columns = small_record(0, "");
        for (Column& column : columns) {
            delete column.value;
            column.value = unset(column.type);
        }
        logging::Writer writer(setup.component, "unset",
                               {{"endpoint", endpoint}, {"json_include_unset_fields", include_unset}},
                               fields_of(columns));
        let_subscribe(writer);
        writer.Write(record_of(columns));
        writer.Close();
    }
    check(subscriber.Wait() == 0, "a record without values: arrives");
    const std::vector<Subscriber::Message>& messages = subscriber.Messages();
    check_equal(messages.size() < 1 ? "" : messages[0].second, "{}", "a record without values: left out");
    check_equal(messages.size() < 2 ? "" : messages[1].second, "{\"n\":null,\"who\":null}",
                "a record without values: included");
    check_no_complaints("a record without values");
}

// Many writers at once, each on its own thread, over one endpoint.
void test_many_writers(const Setup& setup, const std::string& endpoint, const std::string& what) {
    const int writers = 8;
    const int records = 500;
    Subscriber subscriber(setup.subscriber, endpoint, writers * records, 60000 * slow());
    std::vector<std::unique_ptr<logging::Writer>> all;
    for (int i = 0; i < writers; i++)
        all.push_back(small_writer(setup, "log_" + std::to_string(i),
                                   {{"endpoint", endpoint}, {"zmq_hwm", std::to_string(records)}}));
    for (auto& writer : all)
        writer->Drain();
    pause(300);
    for (auto& writer : all)
        writer->Heartbeat(1700000000.0);
    for (int n = 0; n < records; n++) {
        for (int i = 0; i < writers; i++)
            all[static_cast<size_t>(i)]->Write(
                record_of(small_record(static_cast<uint64_t>(n), "writer " + std::to_string(i))));
    }
    for (auto& writer : all)
        writer->Heartbeat(1700000001.0);
    bool fine = true;
    for (auto& writer : all)
        fine = writer->Drain() && fine;
    check(fine, what + ": written");
    const int status = subscriber.Wait();
    check(status == 0, what + ": all records arrive",
          "exit status " + std::to_string(status) + ", " + std::to_string(subscriber.Messages().size()) +
              " arrived");
    all.clear();

    std::map<std::string, uint64_t> next;
    std::string wrong;
    for (const Subscriber::Message& message : subscriber.Messages()) {
        const std::string number = message.first.substr(message.first.find('_') + 1);
        const std::string expected =
            "{\"n\":" + std::to_string(next[message.first]++) + ",\"who\":\"writer " + number + "\"}";
        if (message.second != expected && wrong.empty())
            wrong = message.first + " " + message.second + ", expected " + expected;
    }
    check(wrong.empty() && next.size() == static_cast<size_t>(writers),
          what + ": each log complete and in order", wrong);
    check_no_complaints(what);
}

// Records of all sizes, around those where libzmq or the encoder change how they store one.
void test_sizes(const Setup& setup) {
    const std::string endpoint = fresh_endpoint();
    std::vector<size_t> sizes;
    for (size_t size = 0; size <= 64; size++)
        sizes.push_back(size);
    for (size_t size = 128; size <= (size_t(1) << 20); size *= 4) {
        for (size_t near = size - 3; near <= size + 3; near++)
            sizes.push_back(near);
    }
    Subscriber subscriber(setup.subscriber, endpoint, static_cast<long>(sizes.size()), 60000 * slow());
    const std::unique_ptr<logging::Writer> writer = small_writer(setup, "sizes", {{"endpoint", endpoint}});
    let_subscribe(*writer);
    std::vector<std::string> expected;
    for (const size_t size : sizes) {
        // Every second text has bytes that take more room in JSON than in the record.
        const bool grows = size % 2 == 1;
        const std::vector<Column> record = small_record(size, std::string(size, grows ? '\xff' : 'x'));
        std::string json = "{\"n\":" + std::to_string(size) + ",\"who\":\"";
        for (size_t i = 0; i < size; i++)
            json += grows ? "\\\\xff" : "x";
        expected.push_back(json + "\"}");
        writer->Write(record_of(record));
    }
    check(writer->Drain(), "sizes: written");
    check(subscriber.Wait() == 0, "sizes: all records arrive", std::to_string(subscriber.Messages().size()));
    std::string wrong;
    for (size_t i = 0; i < subscriber.Messages().size(); i++) {
        if (subscriber.Messages()[i].second != expected[i] && wrong.empty())
            wrong = "size " + std::to_string(sizes[i]);
    }
    check(wrong.empty(), "sizes: every record complete", wrong);
    writer->Close();
    check_no_complaints("sizes");
}

void test_life(const Setup& setup) {
    const std::string endpoint = fresh_endpoint();
    Subscriber subscriber(setup.subscriber, endpoint, 3, 20000 * slow());
    const std::unique_ptr<logging::Writer> writer = small_writer(setup, "life", {{"endpoint", endpoint}});
    let_subscribe(*writer);
    writer->Write(record_of(small_record(0, "before")));
    writer->SetBuf(false);
    writer->SetBuf(true);
    writer->Flush(1700000000.0);
    writer->Rotate(1700000060.0);
    writer->Write(record_of(small_record(1, "between")));
    writer->Rotate(1700000120.0);
    for (int beat = 0; beat < 10; beat++)
        writer->Heartbeat(1700000000.0 + beat);
    writer->Write(record_of(small_record(2, "after")));
    check(writer->Drain(), "buffering, flushing, rotating, heartbeats: all succeed");
    check(writer->Rotations() == 0, "FinishedRotation() is called once per rotation",
          std::to_string(writer->Rotations()));
    writer->Close();
    check(subscriber.Wait() == 0, "the records before, between and after arrive");
#if HOST_VERSION >= 70000
    check(telemetry_mgr->TestHostRead()["zeek_zeromq-records-written path=life"] == 3,
          "the host's telemetry counts them");
#endif
    check_no_complaints("a writer's life");
}

// Options.

void test_globals(const Setup& setup) {
    const std::string global_endpoint = fresh_endpoint();
    const std::string own_endpoint = fresh_endpoint();
    set_global("LogZeroMQ::endpoint", new StringVal(global_endpoint));
    {
        Subscriber subscriber(setup.subscriber, global_endpoint, 1, 20000 * slow());
        const std::unique_ptr<logging::Writer> writer = small_writer(setup, "globals", {});
        let_subscribe(*writer);
        writer->Write(record_of(small_record(1, "global")));
        writer->Close();
        check(subscriber.Wait() == 0, "LogZeroMQ::endpoint is used");
    }
    {
        Subscriber global(setup.subscriber, global_endpoint, 0, 2000 * slow());
        Subscriber own(setup.subscriber, own_endpoint, 1, 20000 * slow());
        const std::unique_ptr<logging::Writer> writer =
            small_writer(setup, "globals", {{"endpoint", own_endpoint}});
        let_subscribe(*writer);
        writer->Write(record_of(small_record(2, "own")));
        writer->Close();
        check(own.Wait() == 0, "the filter's endpoint wins over the global one");
        global.Kill();
        global.Wait();
        check(global.Messages().empty(), "and nothing goes to the global one");
    }
    set_global("LogZeroMQ::endpoint", new StringVal(""));
    check_no_complaints("globals");
}

// Options of other types than text; a table arrives as the text that the script makes of it.
void test_global_types(const Setup& setup) {
    const std::string endpoint = fresh_endpoint();
    set_global("LogZeroMQ::topic", new StringVal("%sensor/%path"));
    set_global("LogZeroMQ::sensor", new StringVal("s1"));
    set_global("LogZeroMQ::tag_json", new BoolVal(TYPE_BOOL, int64_t(1)));
    set_global("LogZeroMQ::extra_fields_hex",
               new StringVal("73697465=5ac3bc72696368,61=22,5f70617468=2570617468"));
    Subscriber subscriber(setup.subscriber, endpoint, 1, 20000 * slow());
    const std::unique_ptr<logging::Writer> writer = small_writer(setup, "types", {{"endpoint", endpoint}});
    let_subscribe(*writer);
    writer->Write(record_of(small_record(1, "x")));
    writer->Close();
    check(subscriber.Wait() == 0, "options of every type: arrives");
    const std::vector<Subscriber::Message>& messages = subscriber.Messages();
    check_equal(messages.empty() ? "" : messages[0].first, "s1/types", "options of every type: topic");
    check_equal(
        messages.empty() ? "" : messages[0].second,
        "{\"types\":{\"n\":1,\"who\":\"x\",\"_path\":\"types\",\"a\":\"\\\"\",\"site\":\"Z\xc3\xbcrich\"}}",
        "options of every type: JSON");
    set_global("LogZeroMQ::topic", new StringVal("%path"));
    set_global("LogZeroMQ::tag_json", new BoolVal(TYPE_BOOL, int64_t(0)));
    set_global("LogZeroMQ::extra_fields_hex", new StringVal(""));
    check_no_complaints("options of every type");
}

void test_bad_config(const Setup& setup, const Config& config, const std::string& named) {
    std::string what = "bad configuration";
    for (const auto& entry : config)
        what += " " + entry.first + "=\"" + entry.second + "\"";
    const std::unique_ptr<logging::Writer> writer = small_writer(setup, "bad", config);
    // Hosts before Zeek 7.0 use a writer even after they have deleted it because it failed. So
    // there the writer stays and drops its records.
    const bool stays = HOST_VERSION < 70000;
    check(writer->Drain() == stays, what + (stays ? ": the writer stays" : ": the writer is refused"));
    // A host sends nothing more to a writer that has failed, but for what was on its way.
    writer->Write(record_of(small_record(1, "never")));
    writer->Heartbeat(1700000000.0);
    writer->Close();
    const std::vector<Report> reports = take_reports();
    check(count_reports(reports, "error", named) >= 1, what + ": an error names \"" + named + "\"",
          text_of(reports));
}

// Delivery that fails.

void test_no_subscriber(const Setup& setup) {
    const int records = 20000;
    const std::unique_ptr<logging::Writer> writer =
        small_writer(setup, "nobody", {{"endpoint", free_tcp_endpoint()}, {"zmq_linger", "100"}});
    writer->Drain();
    const Clock::time_point start = Clock::now();
    for (int n = 0; n < records; n++)
        writer->Write(record_of(small_record(static_cast<uint64_t>(n), "nobody")));
    check(writer->Drain(), "nobody listens: every record is taken");
    const double seconds = seconds_since(start);
    check(seconds < 10.0 * slow(), "nobody listens: writing does not block", std::to_string(seconds) + " s");
    writer->Heartbeat(1700000000.0);
    writer->Close();
    const std::vector<Report> reports = take_reports();
    check(count_reports(reports, "warning", std::to_string(records)) +
                  count_reports(reports, "info", std::to_string(records)) >
              0,
          "nobody listens: the report counts the records", text_of(reports));
    check(count_reports(reports, "error") + count_reports(reports, "fatal") == 0, "nobody listens: no errors",
          text_of(reports));
}

// Ten writers whose subscriber is there but takes nothing: closing them all must not
// take longer than the linger time, once.
void test_dead_subscriber(const Setup& setup) {
    const int writers = 10;
    const std::string endpoint = fresh_endpoint();
    Subscriber subscriber(setup.subscriber, endpoint, 0, 120000L * slow());
    std::vector<std::unique_ptr<logging::Writer>> all;
    for (int i = 0; i < writers; i++)
        all.push_back(small_writer(setup, "dead_" + std::to_string(i),
                                   {{"endpoint", endpoint}, {"zmq_linger", "1000"}, {"zmq_hwm", "100"}}));
    for (auto& writer : all)
        writer->Drain();
    pause(300);
    for (auto& writer : all)
        writer->Heartbeat(1700000000.0);
    for (auto& writer : all)
        writer->Drain();
    subscriber.Stop();

    Clock::time_point start = Clock::now();
    const std::string kilobytes(4000, 'x');
    for (int n = 0; n < 1000; n++) {
        for (auto& writer : all)
            writer->Write(record_of(small_record(static_cast<uint64_t>(n), kilobytes)));
    }
    bool fine = true;
    for (auto& writer : all)
        fine = writer->Drain() && fine;
    check(fine, "a dead subscriber: every record is taken");
    check(seconds_since(start) < 20.0 * slow(), "a dead subscriber: writing does not block",
          std::to_string(seconds_since(start)) + " s");

    start = Clock::now();
    for (auto& writer : all)
        writer->SignalStop();
    for (auto& writer : all)
        writer->Close();
    const double seconds = seconds_since(start);
    check(seconds < 1.0 + 2.0 * slow(), "a dead subscriber: ten writers close within one linger time",
          std::to_string(seconds) + " s");
    all.clear();
    const std::vector<Report> reports = take_reports();
    check(count_reports(reports, "warning") > 0, "a dead subscriber: the loss is reported", text_of(reports));
    check(count_reports(reports, "error") + count_reports(reports, "fatal") == 0,
          "a dead subscriber: no errors", text_of(reports));
}

// The last records before the end still arrive, as long as it takes less than the linger time.
void test_linger(const Setup& setup) {
    const std::string endpoint = fresh_endpoint();
    const int records = 900;
    Subscriber subscriber(setup.subscriber, endpoint, records, 20000 * slow());
    const std::unique_ptr<logging::Writer> writer = small_writer(setup, "linger", {{"endpoint", endpoint}});
    let_subscribe(*writer);
    for (int n = 0; n < records; n++)
        writer->Write(record_of(small_record(static_cast<uint64_t>(n), "linger")));
    writer->Close();
    check(subscriber.Wait() == 0, "records written right before the end arrive",
          std::to_string(subscriber.Messages().size()) + " of " + std::to_string(records));
    check_no_complaints("records written right before the end");
}

// A subscriber that ends, and another one that takes its place.
void test_reconnect(const Setup& setup) {
    const std::string endpoint = free_tcp_endpoint();
    const std::unique_ptr<logging::Writer> writer =
        small_writer(setup, "reconnect", {{"endpoint", endpoint}});
    std::string arrived;
    for (uint64_t life = 0; life < 3; life++) {
        Subscriber subscriber(setup.subscriber, endpoint, 1, 20000 * slow());
        pause(800);
        let_subscribe(*writer);
        writer->Write(record_of(small_record(life, "reconnect")));
        subscriber.Wait();
        for (const Subscriber::Message& message : subscriber.Messages())
            arrived += message.second;
    }
    writer->Close();
    check_equal(
        arrived,
        "{\"n\":0,\"who\":\"reconnect\"}{\"n\":1,\"who\":\"reconnect\"}{\"n\":2,\"who\":\"reconnect\"}",
        "a subscriber that comes back: receives again");
    check_no_complaints("a subscriber that comes back");
}

// A thread that ends without having been told to finish: records that are left are sent all the same.
void test_abandoned(const Setup& setup) {
    const std::string endpoint = fresh_endpoint();
    Subscriber subscriber(setup.subscriber, endpoint, 1, 20000 * slow());
    const std::unique_ptr<logging::Writer> writer =
        small_writer(setup, "abandoned", {{"endpoint", endpoint}});
    let_subscribe(*writer);
    writer->Write(record_of(small_record(1, "abandoned")));
    writer->Abandon();
    check(subscriber.Wait() == 0, "a writer without DoFinish(): the record arrives");
    check_no_complaints("a writer without DoFinish()");
}

// Writers that come and go while others run.
void test_coming_and_going(const Setup& setup) {
    const std::string endpoint = fresh_endpoint();
    Subscriber subscriber(setup.subscriber, endpoint, 0, 120000L * slow());
    const std::unique_ptr<logging::Writer> steady = small_writer(setup, "steady", {{"endpoint", endpoint}});
    bool fine = true;
    for (int i = 0; i < 20; i++) {
        const std::unique_ptr<logging::Writer> passing =
            small_writer(setup, "passing_" + std::to_string(i), {{"endpoint", endpoint}});
        passing->Write(record_of(small_record(static_cast<uint64_t>(i), "passing")));
        steady->Write(record_of(small_record(static_cast<uint64_t>(i), "steady")));
        fine = passing->Drain() && steady->Drain() && fine;
    }
    check(fine, "writers come and go: all fine");
    steady->Close();
    subscriber.Kill();
    subscriber.Wait();
    const std::vector<Report> reports = take_reports();
    check(count_reports(reports, "error") + count_reports(reports, "fatal") == 0,
          "writers come and go: no errors", text_of(reports));
}

// A record leaves the host's buffer without the host's doing: at once if it comes alone, together
// with others if they follow one another. A frontend that the host is about to delete is not touched
// any more, nor is that of a writer which has failed.
void test_flushing(const Setup& setup) {
    const std::string endpoint = fresh_endpoint();
    Subscriber subscriber(setup.subscriber, endpoint, 3, 20000 * slow());
    const std::unique_ptr<logging::Writer> writer =
        small_writer(setup, "flushed", {{"endpoint", endpoint}, {"flush_interval", "1 sec"}});
    let_subscribe(*writer);
    // Waits until the plugin has forgotten records of other writers.
    pause(1100);
    plugin::Manager::Round(setup.plugin);
    const int before = writer->Flushes();
    const auto round_flushes = [&](int flushes, const std::string& what) {
        const double next = plugin::Manager::Round(setup.plugin);
        check(writer->Flushes() - before == flushes, what, std::to_string(writer->Flushes() - before));
        return next;
    };
    pause(1100);
    writer->Buffer(record_of(small_record(0, "alone")));
    check(round_flushes(1, "a record that comes alone leaves in the same round") < 0,
          "and then the host may sleep");
    writer->Buffer(record_of(small_record(1, "right behind")));
    const double soon = round_flushes(1, "the next one waits");
    pause(150);
    round_flushes(2, "for an eighth of the interval, as nothing had come before");
    writer->Drain();
    writer->Buffer(record_of(small_record(2, "and another")));
    const double later = round_flushes(2, "the next one waits");
    pause(1100);
    round_flushes(3, "for the interval, as something had");
#if HOST_VERSION >= 30100
    check(soon > 0 && soon <= 0.125 && later > 0 && later <= 1, "the host is told for how long it may sleep",
          std::to_string(soon) + ", " + std::to_string(later));
#else
    check(soon < 0 && later < 0, "the host is told nothing");
#endif
    check(subscriber.Wait() == 0, "flushed records arrive");

    const std::unique_ptr<logging::Writer> patient =
        small_writer(setup, "patient", {{"endpoint", endpoint}, {"flush_interval", "0 sec"}});
    const std::unique_ptr<logging::Writer> broken = small_writer(setup, "broken", {{"endpoint", "nonsense"}});
    patient->Drain();
    broken->Drain();
    pause(1100);
    round_flushes(4, "a buffer without records is emptied, too");
    check(patient->Flushes() == 0 && broken->Flushes() == 0, "only buffers that are to be emptied are");
    take_reports();

    writer->SignalStop();
    pause(1100);
    round_flushes(4, "a frontend that ends is left alone");
    writer->Close();
    check(plugin::Manager::Round(setup.plugin) < 0, "without records the host may sleep");
#if HOST_VERSION >= 30100
    check(iosource_mgr->Size() == 0, "the host does not run on for the plugin");
#endif
    const std::vector<Report> reports = take_reports();
    check(count_reports(reports, "host", "the writer is to stop") == 1,
          "the thread is told to stop all the same");
    check_no_complaints("flushing", reports);
}

void set_globals() {
    set_global("LogZeroMQ::endpoint", new StringVal(""));
    set_global("LogZeroMQ::zmq_hwm", new CountVal(TYPE_COUNT, int64_t(1000)));
    set_global("LogZeroMQ::zmq_linger", new IntVal(TYPE_INT, int64_t(3000)));
    set_global("LogZeroMQ::zmq_connect_pause", new IntVal(TYPE_INT, int64_t(0)));
}

void run(const Setup& setup) {
    test_every_type(setup);
    test_all_unset(setup);
    test_sizes(setup);
    test_many_writers(setup, fresh_endpoint(), "8 writers over ipc");
    test_many_writers(setup, free_tcp_endpoint(), "8 writers over tcp");
    test_life(setup);
    test_globals(setup);
    test_global_types(setup);
    const std::string good = fresh_endpoint();
    test_bad_config(setup, {}, "endpoint");
    test_bad_config(setup, {{"endpoint", "nonsense"}}, "nonsense");
    test_bad_config(setup, {{"endpoint", "smoke://signals"}}, "smoke://signals");
    test_bad_config(setup, {{"endpoint", good}, {"zmq_hwm", "many"}}, "zmq_hwm");
    test_bad_config(setup, {{"endpoint", good}, {"curve_secret_key_file", "/nowhere"}},
                    "cannot read /nowhere");
    test_bad_config(setup, {{"endpoint", good}, {"zmq_hwm", "-1"}}, "zmq_hwm");
    test_bad_config(setup, {{"endpoint", good}, {"zmq_linger", "-2"}}, "zmq_linger");
    test_bad_config(setup, {{"endpoint", good}, {"zmq_linger", "1s"}}, "zmq_linger");
    test_no_subscriber(setup);
    test_linger(setup);
    test_reconnect(setup);
    test_abandoned(setup);
    test_coming_and_going(setup);
    test_flushing(setup);
    test_dead_subscriber(setup);
}

} // namespace

void report(const std::string& level, const std::string& who, const std::string& text) {
    std::lock_guard<std::mutex> lock(reports_mutex);
    reports_so_far.push_back(Report{level, who, text});
}

int main(int argc, char** argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: test-host PLUGIN_PATH SUBSCRIBER\n");
        return 2;
    }
    char name[] = "/tmp/test-host.XXXXXX";
    if (mkdtemp(name) == nullptr) {
        perror(name);
        return 2;
    }
    directory = name;
    printf("test host: version %s, %s\n", VERSION_TEXT, VERSION_IDENTIFIER);

    void* library = nullptr;
    plugin::Plugin* const plugin = load_plugin(argv[1], &library);
    if (plugin != nullptr && !plugin->Components().empty()) {
        plugin::Component* const component = plugin->Components().front();
        check_equal(component->CanonicalName(), "ZEROMQ", "the component is Log::WRITER_ZEROMQ");
        check(component->Type() == plugin::component::WRITER, "the component is a writer");
        test_exports(library);
        set_globals();
        plugin::Manager::Start(plugin);
        Setup setup = {plugin, dynamic_cast<logging::Component*>(component), argv[2]};
        run(setup);
        plugin::Manager::Finish(plugin);
        check(decoy_calls == 0, "the host's own libzmq was never called", std::to_string(decoy_calls));
    }
    for (int number = 0; number < endpoints; number++)
        unlink((directory + "/" + std::to_string(number)).c_str()); // what killed subscribers have left
    rmdir(name);
    printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
