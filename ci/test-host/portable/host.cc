// A test double of a host, for the plugin that knows hosts without their headers.
//
// Unlike the test host one directory up, this one cannot be compiled against: it is what
// is left of a host in an executable, that is, classes of the right names, sizes and
// virtual functions in the flavour of a version, and no more behaviour than a log needs.
//
//     host SHARED_OBJECT
//
// loads the plugin as a host does, runs two writers, each on a thread of its own, receives
// what they publish with a libzmq that is linked to it (as Zeek's is from 7.1 on), and
// prints what was said and what arrived. Compiled with
//
//     HOST_VERSION   the flavour: 20604 is 2.6.4
//     WRONG_...      something that is not as in a host of that version
//     FUTURE_...     something that a host to come may have: a member in front (1), in the
//                    middle (2) or at the end (3), or a virtual function
//
// and with the environment variable WRONG naming something that goes wrong when it runs.
#include <dlfcn.h>
#include <malloc.h>
#include <netinet/in.h>
#include <zmq.h>

#include <atomic>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#ifndef HOST_VERSION
#error "HOST_VERSION is the flavour, such as 20604"
#endif

// What of the flavour can be made wrong on its own.
#ifdef WRONG_VALUE_OF
#define VALUE_VERSION WRONG_VALUE_OF
#else
#define VALUE_VERSION HOST_VERSION
#endif
#ifdef WRONG_TAGS_OF
#define TAG_VERSION WRONG_TAGS_OF
#else
#define TAG_VERSION HOST_VERSION
#endif
#ifdef WRONG_INFO_OF
#define INFO_VERSION WRONG_INFO_OF
#else
#define INFO_VERSION HOST_VERSION
#endif
#ifdef WRONG_CONFIGURATION_OF
#define CONFIGURATION_VERSION WRONG_CONFIGURATION_OF
#else
#define CONFIGURATION_VERSION HOST_VERSION
#endif

// Plugins and types moved into zeek:: with 3.2, logging and threads with 4.0.
#if HOST_VERSION >= 30200
#define TYPES_BEGIN namespace zeek {
#define TYPES_END }
#define TYPES ::zeek::
#else
#define TYPES_BEGIN
#define TYPES_END
#define TYPES ::
#endif
#if HOST_VERSION >= 40000
#define THREADS_BEGIN namespace zeek {
#define THREADS_END }
#define THREADS ::zeek::
#else
#define THREADS_BEGIN
#define THREADS_END
#define THREADS ::
#endif

#if HOST_VERSION >= 80000
#define BYTE_ENUM : uint8_t
#else
#define BYTE_ENUM
#endif

// Whether something is to go wrong.
static bool wrong(const char* what) {
    const char* wanted = getenv("WRONG");
    return wanted && strcmp(wanted, what) == 0;
}

// An address that nothing is at, which the compiler does not know.
static uintptr_t nowhere() {
    volatile uintptr_t address = 0x10;
    return address;
}

// Allocators that look, such as jemalloc, want to get back what they gave.
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

// --- the version --------------------------------------------------------------------

extern "C" {
// The build gives its name, as a host's own does, and what it says.
#ifdef VERSION_FUNCTION
const char* VERSION_FUNCTION() {
    return VERSION_IDENTIFIER;
}
#endif
char version[] = VERSION_TEXT;
#ifdef WRONG_FUNCTION
void WRONG_FUNCTION() {}
#endif
}

// Set when the host begins to end.
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

// --- text, values and variables -----------------------------------------------------

#if HOST_VERSION >= 40000
namespace zeek {
enum DescType BYTE_ENUM { DESC_READABLE };
class File;
#define DESC_TYPE DescType
#define DESC_FILE File
#else
enum desc_type { DESC_READABLE };
class BroFile;
#define DESC_TYPE desc_type
#define DESC_FILE BroFile
#endif

class ODesc {
public:
    explicit ODesc(DESC_TYPE t = DESC_READABLE, DESC_FILE* f = nullptr);
    ~ODesc();
    void Add(const char* s, int do_indent = 1);
    void AddBytes(const std::string& s);

private:
    DESC_TYPE type;
#if HOST_VERSION >= 80000
    enum Style : uint8_t { STANDARD, RAW } style = STANDARD;
#else
    enum Style { STANDARD, RAW } style = STANDARD;
#endif
#ifdef WRONG_TEXT
    DESC_FILE* file = nullptr;
#endif
    void* base;
#if HOST_VERSION >= 80000
    size_t offset = 0;
    size_t size;
#else
    unsigned int offset = 0;
    unsigned int size;
#endif
    bool escape = false;
    std::set<std::string> escape_sequences;
    int indent_level = 0;
};

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

#if HOST_VERSION >= 40000
}
#endif

TYPES_BEGIN

class Obj {
public:
    virtual ~Obj() {}
    virtual void Describe(ODesc* d) const = 0;
    int references = 1;
};

class Val : public Obj {
public:
    explicit Val(const std::string& arg_text) : text(arg_text) {}
    void Describe(ODesc* d) const override;

protected:
    virtual void ValDescribe(ODesc* d) const;
    std::string text;
};

void Val::Describe(ODesc* d) const {
    ValDescribe(d);
}
void Val::ValDescribe(ODesc* d) const {
    d->Add(text.c_str());
}

class StringVal : public Val {
    using Val::Val;

protected:
    void ValDescribe(ODesc* d) const override { d->AddBytes(text); }
};
class EnumVal : public Val {
    using Val::Val;
};
class TableVal : public Val {
    using Val::Val;
};
#if HOST_VERSION >= 40100
class IntVal : public Val {
    using Val::Val;
};
class BoolVal : public Val {
    using Val::Val;
};
class CountVal : public Val {
    using Val::Val;
};
#else
typedef Val IntVal;
typedef Val BoolVal;
typedef Val CountVal;
#endif

TYPES_END

namespace {

std::map<std::string, TYPES Val*>& variables() {
    static auto& all = *new std::map<std::string, TYPES Val*>; // never gone, and no leak
    return all;
}

} // namespace

#if HOST_VERSION >= 40000
namespace zeek {
template <class T> class IntrusivePtr {
public:
    T* ptr = nullptr;
};
namespace detail {
class ID;
}
namespace id {
const IntrusivePtr<detail::ID>& find(std::string_view name) {
    static IntrusivePtr<detail::ID> none;
    static IntrusivePtr<detail::ID> some;
    some.ptr = reinterpret_cast<detail::ID*>(&some);
    return variables().count(std::string(name)) ? some : none;
}
const IntrusivePtr<Val>& find_val(std::string_view name) {
    static IntrusivePtr<Val> value;
    if (wrong("value")) {
        value.ptr = reinterpret_cast<Val*>(nowhere());
        return value;
    }
    const auto found = variables().find(std::string(name));
    if (found == variables().end())
        abort();
    value.ptr = found->second;
    return value;
}
} // namespace id
} // namespace zeek
#else
TYPES Val* opt_internal_val(const char* name) {
    if (wrong("value"))
        return reinterpret_cast<TYPES Val*>(nowhere());
    const auto found = variables().find(name);
    return found == variables().end() ? nullptr : found->second;
}
#endif

// --- telemetry ----------------------------------------------------------------------

#if HOST_VERSION >= 70000
namespace zeek {
namespace telemetry {
class Counter;
class Gauge;
using LabelView = std::pair<std::string_view, std::string_view>;

class Manager {
public:
    std::shared_ptr<Counter> CounterInstance(std::string_view prefix, std::string_view name,
                                             std::initializer_list<LabelView> labels,
                                             std::string_view helptext, std::string_view unit = "",
                                             std::function<double()> callback = nullptr);
    std::shared_ptr<Gauge> GaugeInstance(std::string_view prefix, std::string_view name,
                                         std::initializer_list<LabelView> labels, std::string_view helptext,
                                         std::string_view unit = "",
                                         std::function<double()> callback = nullptr);
    void TestHostPrint() const {
        for (const auto& metric : metrics)
            printf("metric: %s %g\n", metric.first.c_str(), metric.second());
    }

private:
    void Add(std::string_view prefix, std::string_view name, std::initializer_list<LabelView> labels,
             std::function<double()> callback) {
        std::string key = std::string(prefix) + "_" + std::string(name);
        for (const LabelView& label : labels)
            key += " " + std::string(label.first) + "=" + std::string(label.second);
        metrics[key] = std::move(callback);
    }
    std::map<std::string, std::function<double()>> metrics;
};

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
} // namespace telemetry

telemetry::Manager* telemetry_mgr = new telemetry::Manager;
} // namespace zeek
#endif

// --- log records --------------------------------------------------------------------

TYPES_BEGIN
#ifdef FUTURE_TAGS
enum TypeTag BYTE_ENUM {
    VOID,
    ANY,
    VECTOR,
    MAC,
    FILE_,
    FUNC,
    LIST,
    RECORD,
    TABLE,
    SUBNET,
    ADDR,
    PORT,
    ENUM,
    PATTERN,
    STRING,
    INTERVAL,
    TIME,
    DOUBLE,
    COUNT,
    INT,
    BOOL
};
#else
enum TypeTag BYTE_ENUM {
    VOID,
    BOOL,
    INT,
    COUNT,
#if TAG_VERSION < 40100
    COUNTER,
#endif
    DOUBLE,
    TIME,
    INTERVAL,
    STRING,
    PATTERN,
    ENUM,
#if TAG_VERSION < 50000
    TIMER,
#endif
    PORT,
    ADDR,
    SUBNET,
    ANY,
    TABLE,
#if TAG_VERSION < 50000
    UNION,
#endif
    RECORD,
    LIST,
    FUNC,
    FILE_,
    VECTOR
};
#endif

const char* type_name(TypeTag t) {
    static const std::map<TypeTag, const char*> names = {
        {BOOL, "bool"},
        {INT, "int"},
        {COUNT, "count"},
        {DOUBLE, "double"},
        {TIME, "time"},
        {INTERVAL, "interval"},
        {STRING, "string"},
        {PATTERN, "pattern"},
        {ENUM, "enum"},
        {PORT, "port"},
        {ADDR, "addr"},
        {SUBNET, "subnet"},
        {TABLE, "table"},
        {FUNC, "func"},
        {FILE_, "file"},
        {VECTOR, "vector"},
#if TAG_VERSION < 40100
        {COUNTER, "counter"},
#endif
    };
    const auto found = names.find(t);
    return found == names.end() ? "something else" : found->second;
}
TYPES_END

#if VALUE_VERSION >= 80000
enum Small : uint8_t { IPv4, IPv6 };
#else
enum Small { IPv4, IPv6 };
#endif

// What values and columns are read from that another process has sent.
#if HOST_VERSION >= 40000
#define FORMAT ::zeek::detail::SerializationFormat
namespace zeek {
class IPAddr;
class IPPrefix;
namespace detail {
#else
#define FORMAT ::SerializationFormat
class IPAddr;
class IPPrefix;
#endif

#define FORMAT_READS(X, END)                                                                                 \
    X(int) END X(uint16_t)                                                                                   \
    END X(uint32_t)                                                                                          \
    END X(int64_t)                                                                                           \
    END X(uint64_t)                                                                                          \
    END X(char) END X(bool) END X(double) END X(std::string) END X(IPAddr)                                   \
    END X(IPPrefix)                                                                                          \
    END X(in_addr)                                                                                           \
    END X(in6_addr)                                                                                          \
    END

class SerializationFormat {
public:
    virtual ~SerializationFormat();
    virtual void StartRead(const char*, uint32_t) {}
    virtual void EndRead() {}
#define FORMAT_READ(TYPE) virtual bool Read(TYPE* v, const char* tag) = 0
    FORMAT_READS(FORMAT_READ, ;)
    virtual bool Read(char** str, int* len, const char* tag) = 0;
    virtual bool Write(int v, const char* tag) = 0;

protected:
    bool ReadData(void*, size_t) {
        return bytes_read == 1;
    }
    const char* input = nullptr;
    size_t bytes_read = 0;
};
SerializationFormat::~SerializationFormat() {}

class BinarySerializationFormat final : public SerializationFormat {
public:
#undef FORMAT_READ
#define FORMAT_READ(TYPE) bool Read(TYPE* v, const char* tag) override
    FORMAT_READS(FORMAT_READ, ;)
    bool Read(char** str, int* len, const char* tag) override;
    bool Write(int, const char*) override {
        return false;
    }
};
#undef FORMAT_READ
#define FORMAT_READ(TYPE) bool BinarySerializationFormat::Read(TYPE* v, const char*)
#define FORMAT_BODY                                                                                          \
    { return ReadData(v, 1); }
FORMAT_READS(FORMAT_READ, FORMAT_BODY)
bool BinarySerializationFormat::Read(char** str, int* len, const char*) {
    *len = 0;
    return ReadData(str, 1);
}

#if HOST_VERSION >= 40000
} // namespace detail
} // namespace zeek
#endif

THREADS_BEGIN
namespace threading {

struct Field {
#if FUTURE_FIELD == 1
    void* more;
#endif
    const char* name;
    const char* secondary_name;
#if FUTURE_FIELD == 2
    short more;
#endif
    TYPES TypeTag type;
    TYPES TypeTag subtype;
    bool optional;
#if FUTURE_FIELD == 3
    void* more;
#endif

    bool Read(FORMAT* fmt);
};

struct Value {
    typedef Small Family;
    struct Addr {
        Family family;
        union {
            in_addr in4;
            in6_addr in6;
        } in;
    };
    union Content {
        int64_t int_val;
        uint64_t uint_val;
        struct {
            uint64_t port;
            Small proto;
        } port_val;
        double double_val;
        struct {
            int64_t size;
            Value** vals;
        } set_val;
        Addr addr_val;
        struct {
            Addr prefix;
            uint8_t length;
        } subnet_val;
        struct {
            char* data;
            int length;
        } string_val;
    };

#if FUTURE_VALUE == 1
    int more = 1;
#endif
#if VALUE_VERSION >= 80100
    TYPES TypeTag type;
    TYPES TypeTag subtype;
#if FUTURE_VALUE == 2
    short more = 1;
#endif
    bool present;
    bool truncated = false;
    int32_t line_number = -1;
    Content val;
#elif VALUE_VERSION >= 70200
    TYPES TypeTag type;
    TYPES TypeTag subtype;
    Content val;
    bool present;
    int line_number = -1;
#elif VALUE_VERSION >= 50000
    TYPES TypeTag type;
    TYPES TypeTag subtype;
    bool present;
    Content val;
    int line_number = -1;
#elif VALUE_VERSION >= 20600
    TYPES TypeTag type;
    TYPES TypeTag subtype;
    bool present;
    Content val;
#else
    TYPES TypeTag type;
    bool present;
    Content val;
#endif
#if FUTURE_VALUE == 3
    std::string more;
#endif

    // What a host logs is made without a subtype.
    Value(TYPES TypeTag arg_type = TYPES VOID, bool arg_present = true)
        : type(arg_type), present(arg_present) {
#if VALUE_VERSION >= 20600
        subtype = TYPES VOID;
#endif
        memset(static_cast<void*>(&val), 0, sizeof val);
    }
    Value(const Value&) = delete;

// Since 7.1 a record's values are moved into one block. The mistake was put right in 8.0.8 and 8.2.0.
#if HOST_VERSION >= 70100
    Value(Value&& other) noexcept {
        type = other.type;
#if VALUE_VERSION < 20600
#elif HOST_VERSION < 80008 || (HOST_VERSION >= 80100 && HOST_VERSION < 80200)
        subtype = other.type;
#else
        subtype = other.subtype;
#endif
        present = other.present;
        val = other.val;
        other.present = false;
    }
#endif

    bool Read(FORMAT* fmt);
};

char* copy(const std::string& text) {
    char* copy = new char[text.size() + 1];
    memcpy(copy, text.c_str(), text.size() + 1);
    return copy;
}

bool Field::Read(FORMAT* fmt) {
    int t;
    int st;
    std::string tmp_name;
    bool have_2nd;
    if (!fmt->Read(&have_2nd, "have_2nd") || have_2nd)
        return false;
    secondary_name = nullptr;
    if (!fmt->Read(&tmp_name, "name") || !fmt->Read(&t, "type") || !fmt->Read(&st, "subtype") ||
        !fmt->Read(&optional, "optional"))
        return false;
    name = copy(tmp_name);
#ifdef WRONG_FIELD
    name = nullptr;
#endif
    type = static_cast<TYPES TypeTag>(t);
    subtype = static_cast<TYPES TypeTag>(st);
    return true;
}

bool Value::Read(FORMAT* fmt) {
    int ty;
    if (!fmt->Read(&ty, "type"))
        return false;
#if VALUE_VERSION >= 20600
    int sty;
    if (!fmt->Read(&sty, "subtype"))
        return false;
    subtype = static_cast<TYPES TypeTag>(sty);
#endif
    if (!fmt->Read(&present, "present"))
        return false;
    type = static_cast<TYPES TypeTag>(ty);
    if (!present)
        return true;
    char family;
    char length;
    int proto;
    switch (type) {
    case TYPES BOOL:
    case TYPES INT:
        return fmt->Read(&val.int_val, "int");
#if HOST_VERSION < 40000 // 4.0 has it, and does not read it
    case TYPES COUNTER:
#endif
    case TYPES COUNT:
        return fmt->Read(&val.uint_val, "uint");
    case TYPES PORT:
        if (!fmt->Read(&val.port_val.port, "port") || !fmt->Read(&proto, "proto") || proto > 3)
            return false;
        val.port_val.proto = static_cast<Small>(proto);
        return true;
    case TYPES ADDR:
        if (!fmt->Read(&family, "addr-family"))
            return false;
        if (family == 4) {
            val.addr_val.family = IPv4;
            return fmt->Read(&val.addr_val.in.in4, "addr-in4");
        }
        val.addr_val.family = IPv6;
        return fmt->Read(&val.addr_val.in.in6, "addr-in6");
    case TYPES SUBNET:
        if (!fmt->Read(&length, "subnet-len") || !fmt->Read(&family, "subnet-family"))
            return false;
        val.subnet_val.length = static_cast<uint8_t>(length);
        if (family == 4) {
            val.subnet_val.prefix.family = IPv4;
            return fmt->Read(&val.subnet_val.prefix.in.in4, "subnet-in4");
        }
        val.subnet_val.prefix.family = IPv6;
        return fmt->Read(&val.subnet_val.prefix.in.in6, "subnet-in6");
    case TYPES DOUBLE:
    case TYPES TIME:
    case TYPES INTERVAL:
#ifdef WRONG_READ
        return true;
#else
        return fmt->Read(&val.double_val, "double");
#endif
    case TYPES ENUM:
    case TYPES STRING:
    case TYPES FILE_:
    case TYPES FUNC:
        return fmt->Read(&val.string_val.data, &val.string_val.length, "string");
    case TYPES TABLE:
    case TYPES VECTOR:
        if (!fmt->Read(&val.set_val.size, type == TYPES TABLE ? "set_size" : "vector_size"))
            return false;
        val.set_val.vals = new Value*[static_cast<size_t>(val.set_val.size)];
        for (int64_t i = 0; i < val.set_val.size; ++i) {
            val.set_val.vals[i] = new Value;
            if (!val.set_val.vals[i]->Read(fmt))
                return false;
        }
        return true;
    default:
        abort();
    }
}

} // namespace threading
THREADS_END

using THREADS threading::Field;
using THREADS threading::Value;

namespace {

// What was said, line by line, and what arrived.
std::mutex said_mutex;
void say(const char* level, const char* who, const char* text) {
    std::lock_guard<std::mutex> lock(said_mutex);
    printf("%s: %s%s%s\n", level, who, *who ? ": " : "", text);
    fflush(stdout);
}

} // namespace

// --- threads and writers ------------------------------------------------------------

#if HOST_VERSION >= 30100
THREADS_BEGIN
namespace iosource {

class IOSource {
public:
    virtual ~IOSource() {}
    bool IsOpen() const { return !closed; }
#if HOST_VERSION < 80000
    virtual bool IsPacketSource() const {
        return false;
    }
#endif
    virtual void InitSource() {}
    virtual void Done() {}
    virtual double GetNextTimeout() = 0;
    virtual void Process() = 0;
#if HOST_VERSION >= 50000
    virtual void ProcessFd(int fd, int flags) {}
#endif
    virtual const char* Tag() = 0;

private:
    bool closed = false;
};

class Manager {
public:
    class WakeupHandler;

    void Register(IOSource* source, bool dont_count = false, bool manage_lifetime = true);

    // What the main loop does in each of its rounds.
    void TestHostRound() {
        for (IOSource* source : sources)
            if (source->IsOpen())
                source->GetNextTimeout();
    }

private:
    std::vector<IOSource*> sources;
};

class Manager::WakeupHandler final : public IOSource {
public:
    ~WakeupHandler() override;
    void Process() override;
    const char* Tag() override { return "WakeupHandler"; }
    double GetNextTimeout() override { return -1; }

private:
    int flare[2] = {1, 2};
};

Manager::WakeupHandler::~WakeupHandler() {}
void Manager::WakeupHandler::Process() {
    flare[0] = flare[1];
}

void Manager::Register(IOSource* source, bool dont_count, bool manage_lifetime) {
    source->InitSource();
    if (!dont_count || manage_lifetime)
        say("host", source->Tag(), "the source is counted, or is to be deleted");
    sources.push_back(source);
}

} // namespace iosource

iosource::Manager* iosource_mgr = new iosource::Manager; // never gone, and no leak
THREADS_END
#endif

#if HOST_VERSION >= 30100 && HOST_VERSION < 70000
#define ALSO_A_SOURCE , public THREADS iosource::IOSource
#define SOURCE_OVERRIDE override
#else
#define ALSO_A_SOURCE
#define SOURCE_OVERRIDE
#endif

THREADS_BEGIN
namespace threading {

class BasicThread {
public:
    BasicThread() {}
    void SetName(const char* arg_name) { name = arg_name; }
    const char* Name() const { return name.c_str(); }

    // A frontend ends its writer this way.
    void TestHostSignalStop() { OnSignalStop(); }

    // A host's manager of threads ends them this way.
    static void TestHostDelete(BasicThread* thread) { delete thread; }

#if HOST_VERSION >= 80000
    virtual ~BasicThread();
#endif
protected:
    virtual void Run() = 0;
    virtual void OnStart() {}
    virtual void OnSignalStop() {}
    virtual void OnWaitForStop() = 0;
    virtual void OnKill() {}
#if HOST_VERSION < 80000
    virtual ~BasicThread();
#endif

private:
    std::string name;
    std::thread thread;
};

BasicThread::~BasicThread() {}

class MsgThread : public BasicThread ALSO_A_SOURCE {
public:
    MsgThread() {}
    ~MsgThread();
    virtual void Info(const char* msg);
    virtual void Warning(const char* msg);
    virtual void Error(const char* msg);
    void Process() SOURCE_OVERRIDE {}
#if HOST_VERSION >= 30100 && HOST_VERSION < 70000
    const char* Tag() override {
        return Name();
    }
    double GetNextTimeout() override {
        return -1;
    }
#endif

    bool TestHostBeat() {
        beats = 0;
        Heartbeat();
        return beats == 0 || OnHeartbeat(1700000000, 1700000000);
    }
    bool TestHostFinish() {
        return OnFinish(1700000000);
    }

protected:
    virtual void Heartbeat();
    virtual bool OnHeartbeat(double network_time, double current_time) = 0;
    virtual bool OnFinish(double network_time) = 0;
    void Run() override {}
    void OnWaitForStop() override {}
    void OnSignalStop() override;
    void OnKill() override {}
#if HOST_VERSION >= 50000
    virtual const void* GetLocationInfo() const {
        return nullptr;
    }
#endif

    int beats = 0;
};

MsgThread::~MsgThread() {}
void MsgThread::Info(const char* msg) {
    say("info", Name(), msg);
}
void MsgThread::Warning(const char* msg) {
    say("warning", Name(), msg);
}
void MsgThread::Error(const char* msg) {
    say("error", Name(), msg);
}
void MsgThread::Heartbeat() {
    beats = 1;
}
void MsgThread::OnSignalStop() {
    say("host", Name(), "the writer is to stop");
}

} // namespace threading

namespace logging {

class WriterFrontend {
public:
    std::string path;
    std::vector<std::pair<const char*, const char*>> config;
    int flushes;
    bool over;

    void FlushWriteBuffer();
};

void WriterFrontend::FlushWriteBuffer() {
    if (++flushes == 1)
        say("host", path.c_str(), "the buffer is emptied");
    if (over)
        say("host", path.c_str(), "a buffer is emptied that is gone");
}

class WriterBackend : public threading::MsgThread {
public:
#if HOST_VERSION >= 80002
    explicit WriterBackend(WriterFrontend* frontend, bool send_heartbeats = true);
#else
    explicit WriterBackend(WriterFrontend* frontend);
#endif
    ~WriterBackend() override;

    struct Compare {
        bool operator()(const char* a, const char* b) const { return strcmp(a, b) < 0; }
    };
    struct WriterInfo {
#if FUTURE_INFO == 1
        int more = 1;
#elif FUTURE_INFO == 3
        const char* more = "another/text";
#endif
        const char* path = nullptr;
#if INFO_VERSION >= 70100
        std::string filter_name = "default-zmq";
#endif
#if INFO_VERSION >= 30200
        const char* post_proc_func = nullptr;
#endif
        double rotation_interval = 0;
        double rotation_base = 0;
        // Packets say what time it is.
        double network_time = -1e300;
#if FUTURE_INFO == 2
        std::list<int> more = {1};
#endif
        std::map<const char*, const char*, Compare> config;
    };

    bool Init(int num_fields, const threading::Field* const* fields) {
        return DoInit(*info_of, num_fields, fields);
    }
    bool Write(int num_fields, const threading::Field* const* fields, threading::Value** vals) {
        return DoWrite(num_fields, fields, vals);
    }
    bool Rotate() {
        --rotations;
        return DoSetBuf(true) && DoFlush(0) && DoRotate("rotated", 0, 0, false);
    }
    int Rotations() const {
        return rotations;
    }

    bool FinishedRotation();
    bool OnHeartbeat(double network_time, double current_time) override;
    bool OnFinish(double network_time) override;

protected:
#if HOST_VERSION >= 80002
    void Heartbeat() override;
#endif
#if FUTURE_VIRTUAL == 1
    virtual bool DoPrepare() {
        return true;
    }
#endif
#ifdef WRONG_DEFINED
    virtual bool DoInit(const WriterInfo&, int, const threading::Field* const*) {
        return true;
    }
    virtual bool DoReopen() = 0;
#else
    virtual bool DoInit(const WriterInfo& info, int num_fields, const threading::Field* const* fields) = 0;
#endif
#ifdef WRONG_ORDER
    virtual bool DoSetBuf(bool enabled) = 0;
    virtual bool DoWrite(int num_fields, const threading::Field* const* fields, threading::Value** vals) = 0;
#else
    virtual bool DoWrite(int num_fields, const threading::Field* const* fields, threading::Value** vals) = 0;
    virtual bool DoSetBuf(bool enabled) = 0;
#endif
#if FUTURE_VIRTUAL == 2
    virtual bool DoPrepare() {
        return true;
    }
#endif
    virtual bool DoFlush(double network_time) = 0;
    virtual bool DoRotate(const char* rotated_path, double open, double close, bool terminating) = 0;
    virtual bool DoFinish(double network_time) = 0;
#if HOST_VERSION >= 80002
    virtual bool DoHeartbeat(double network_time, double current_time) {
        return true;
    }
#else
    virtual bool DoHeartbeat(double network_time, double current_time) = 0;
#endif
#if FUTURE_VIRTUAL == 3
    virtual bool DoPrepare() {
        return true;
    }
#endif
#ifdef WRONG_MORE_TO_DEFINE
    virtual bool DoReopen() = 0;
#endif

private:
    WriterFrontend* const frontend;
    const WriterInfo* const info_of = &info;
    WriterInfo info;
    int rotations = 0;
    bool send_heartbeats = true;
};

#if HOST_VERSION >= 80002
WriterBackend::WriterBackend(WriterFrontend* arg_frontend, bool arg_send_heartbeats)
    : frontend(arg_frontend), send_heartbeats(arg_send_heartbeats)
#else
WriterBackend::WriterBackend(WriterFrontend* arg_frontend)
    : frontend(arg_frontend)
#endif
{
    SetName((frontend->path + "/Log::WRITER_ZEROMQ").c_str());
    info.path = frontend->path.c_str();
    for (const auto& entry : frontend->config)
        info.config.insert(entry);
    if (wrong("path"))
        info.path = reinterpret_cast<const char*>(nowhere());
    if (wrong("config")) {
        info.config.clear();
        info.config.emplace(reinterpret_cast<const char*>(nowhere()), "");
    }
}
WriterBackend::~WriterBackend() {
    say("host", Name(), "the writer is gone");
}
bool WriterBackend::FinishedRotation() {
    return ++rotations == 0;
}
bool WriterBackend::OnHeartbeat(double network_time, double current_time) {
    return DoHeartbeat(network_time, current_time);
}
bool WriterBackend::OnFinish(double network_time) {
    return DoFinish(network_time);
}
#if HOST_VERSION >= 80002
void WriterBackend::Heartbeat() {
    if (send_heartbeats)
        MsgThread::Heartbeat();
}
#endif

namespace writer {
#if HOST_VERSION >= 40000
namespace detail {
#endif

class None : public WriterBackend {
public:
#if HOST_VERSION >= 80002
    explicit None(WriterFrontend* frontend) : WriterBackend(frontend, false) {}
#else
    explicit None(WriterFrontend* frontend) : WriterBackend(frontend) {}
#endif
    ~None() override {}
    static WriterBackend* Instantiate(WriterFrontend* frontend);

protected:
    bool DoInit(const WriterInfo&, int, const threading::Field* const*) override;
    bool DoWrite(int, const threading::Field* const*, threading::Value**) override {
        return true;
    }
    bool DoSetBuf(bool) override {
        return true;
    }
    bool DoRotate(const char*, double, double, bool) override;
    bool DoFlush(double) override {
        return true;
    }
    bool DoFinish(double) override {
        return true;
    }
#if HOST_VERSION < 80002
    bool DoHeartbeat(double, double) override {
        return true;
    }
#endif
#if defined(WRONG_MORE_TO_DEFINE) || defined(WRONG_DEFINED)
    bool DoReopen() override {
        return true;
    }
#endif

    char more[40];
};

class Nothing : public None {
public:
    using None::None;
    bool DoFlush(double) override { return true; }
};
WriterBackend* None::Instantiate(WriterFrontend* frontend) {
    return wrong("object") ? new Nothing(frontend) : new None(frontend);
}
bool None::DoInit(const WriterInfo&, int, const threading::Field* const*) {
    return true;
}
bool None::DoRotate(const char*, double, double, bool) {
    return FinishedRotation();
}

#if HOST_VERSION >= 40000
} // namespace detail
#endif
} // namespace writer
} // namespace logging
THREADS_END

// --- plugins ------------------------------------------------------------------------

TYPES_BEGIN
namespace plugin {

namespace component {
enum Type BYTE_ENUM { READER, WRITER };
}

class Component {
public:
    Component(component::Type arg_type, const std::string& arg_name) : type(arg_type), name(arg_name) {}
    virtual ~Component() {}
    virtual void Initialize() {}
    const std::string& Name() const { return name; }

protected:
    virtual void DoDescribe(ODesc*) const {}

private:
    component::Type type;
    std::string name;
    std::string canonical_name;
};

// Of Bro 2.5.
#define API_VERSION (HOST_VERSION == 20500 ? 4 : 5)

class Configuration {
public:
#ifdef FUTURE_CONFIGURATION
    std::string more;
#endif
    std::string name;
    std::string description;
    int major = -1;
    int minor = -1;
#if CONFIGURATION_VERSION >= 30000
    int patch = 0;
#endif
#if CONFIGURATION_VERSION >= 60100
    std::function<const char*()> zeek_version;
#elif CONFIGURATION_VERSION >= 50100
    std::function<const char*()> bro_version;
    std::function<const char*()> zeek_version;
#elif CONFIGURATION_VERSION >= 20600
    const char* (*bro_version)() = nullptr;
#else
    int api_version = API_VERSION;
#endif
};

#if HOST_VERSION < 30100
enum HookType { HOOK_LOAD_FILE, HOOK_CALL_FUNCTION, HOOK_QUEUE_EVENT, HOOK_DRAIN_EVENTS, NUM_HOOKS };
#endif

class Plugin {
public:
    Plugin();
    virtual ~Plugin();

    const Configuration& TestHostConfigure() { return config = Configure(); }
    const std::list<Component*>& TestHostComponents() const { return components; }
    virtual void InitPreScript();
    virtual void InitPostScript() {}
    virtual void Done();
#if HOST_VERSION < 30100
    virtual int HookLoadFile(int type, const std::string& file, const std::string& resolved) {
        return -1;
    }
    virtual bool HookCallFunction(void* function, void* frame, void* arguments) {
        return false;
    }
    virtual bool HookQueueEvent(void* event) {
        return false;
    }
    virtual void HookDrainEvents();
#endif

    // What the main loop does in each of its rounds.
    void TestHostRound() {
#if HOST_VERSION < 30100
        if (hooks[HOOK_DRAIN_EVENTS])
            HookDrainEvents();
#else
        THREADS iosource_mgr->TestHostRound();
#endif
    }

protected:
    void AddComponent(Component* c);
#if HOST_VERSION < 30100
    void EnableHook(HookType hook, int priority = 0);
#endif

private:
    virtual Configuration Configure() = 0;
#ifdef WRONG_PLUGIN
    virtual void Unload() = 0;
#endif

    Configuration config;
    std::string base_dir;
    std::string sopath;
    bool dynamic = false;
    std::list<Component*> components;
#if HOST_VERSION < 30100
    bool hooks[NUM_HOOKS] = {};
#endif
};

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
void Plugin::AddComponent(Component* c) {
    components.push_back(c);
}
#if HOST_VERSION < 30100
void Plugin::HookDrainEvents() {}
void Plugin::EnableHook(HookType hook, int priority) {
    hooks[hook] = true;
}
#endif

} // namespace plugin
TYPES_END

THREADS_BEGIN
namespace logging {

class Component : public TYPES plugin::Component {
public:
    typedef WriterBackend* (*factory_callback)(WriterFrontend* frontend);
    Component(const std::string& name, factory_callback factory);
    ~Component() override;
#if WRONG_COMPONENT == 1
    char more[1500] = {};
#endif
    factory_callback factory;
#if WRONG_COMPONENT == 2
    factory_callback another = factory;
#endif
};
Component::Component(const std::string& name, factory_callback arg_factory)
    : TYPES plugin::Component(TYPES plugin::component::WRITER, name), factory(arg_factory) {}
Component::~Component() {}

} // namespace logging
THREADS_END

#if HOST_VERSION >= 40000
namespace zeek {
namespace plugin {
namespace detail {
namespace Zeek_NoneWriter {
#elif HOST_VERSION >= 30000
namespace plugin {
namespace Zeek_NoneWriter {
#else
namespace plugin {
namespace Bro_NoneWriter {
#endif

class Plugin : public TYPES plugin::Plugin {
public:
    TYPES plugin::Configuration Configure() override;
#ifdef WRONG_PLUGIN
    void Unload() override {}
#endif
} plugin;

TYPES plugin::Configuration Plugin::Configure() {
    AddComponent(new THREADS logging::Component("None",
#if HOST_VERSION >= 40000
                                                THREADS logging::writer::detail::None::Instantiate));
#else
                                                THREADS logging::writer::None::Instantiate));
#endif
    TYPES plugin::Configuration config;
    config.name = "Zeek::NoneWriter, with a name that is long enough for the heap";
    config.description = "None log writer";
    return config;
}

#if HOST_VERSION >= 40000
} // namespace Zeek_NoneWriter
} // namespace detail
} // namespace plugin
} // namespace zeek
#else
} // namespace Zeek_NoneWriter
} // namespace plugin
#endif

// --- the run ------------------------------------------------------------------------

namespace {

#if HOST_VERSION >= 30200
using namespace zeek;
#endif

struct Column {
    const char* name;
    TypeTag type;
    TypeTag subtype;
    bool optional;
};

const Column columns[] = {
    {"ts", TIME, VOID, false},        {"uid", STRING, VOID, false},    {"id.orig_h", ADDR, VOID, false},
    {"id.orig_p", PORT, VOID, false}, {"proto", ENUM, VOID, false},    {"duration", INTERVAL, VOID, true},
    {"bytes", COUNT, VOID, true},     {"local", BOOL, VOID, true},     {"net", SUBNET, VOID, true},
    {"tags", TABLE, STRING, true},    {"answers", VECTOR, ADDR, true}, {"delta", INT, VOID, true},
};
const int num_columns = sizeof columns / sizeof *columns;

Value* make(TypeTag type, bool present) {
    // Memory that was used before, as a host's is.
    void* memory = operator new(sizeof(Value));
    const char* padding = getenv("PADDING");
    memset(memory, padding ? static_cast<int>(strtol(padding, nullptr, 0)) : 0x5a, sizeof(Value));
    return new (memory) Value(type, present);
}

Value* text(TypeTag type, const char* content) {
    Value* value = make(type, true);
    value->val.string_val.data = strdup(content);
    value->val.string_val.length = static_cast<int>(strlen(content));
    return value;
}

Value* address(const char* bytes, bool v6) {
    Value* value = make(ADDR, true);
    value->val.addr_val.family = v6 ? IPv6 : IPv4;
    memcpy(&value->val.addr_val.in, bytes, v6 ? 16 : 4);
    return value;
}

template <class T> Value* number(TypeTag type, T Value::Content::*, T content) {
    Value* value = make(type, true);
    memcpy(&value->val, &content, sizeof content);
    return value;
}

Value* several(TypeTag type, const std::vector<Value*>& elements) {
    Value* value = make(type, true);
    value->val.set_val.size = static_cast<int64_t>(elements.size());
    value->val.set_val.vals = new Value*[elements.size()];
    std::copy(elements.begin(), elements.end(), value->val.set_val.vals);
    return value;
}

std::vector<Value*> make_record(int i) {
    Value* port = make(PORT, true);
    port->val.port_val.port = 40000 + static_cast<unsigned>(i);
    port->val.port_val.proto = IPv6; // TCP
    Value* net = make(SUBNET, true);
    net->val.subnet_val.prefix.family = IPv4;
    memcpy(&net->val.subnet_val.prefix.in, "\12\0\0\0", 4);
    net->val.subnet_val.length = 104;
    std::vector<Value*> record = {
        number(TIME, &Value::Content::double_val, 1700000000.25 + i),
        text(STRING, "CHhAvVGS1DHFjwGM9"),
        address("\12\0\0\1", false),
        port,
        text(ENUM, "tcp"),
        i % 2 ? make(INTERVAL, false) : number(INTERVAL, &Value::Content::double_val, 0.5),
        number(COUNT, &Value::Content::uint_val, uint64_t{1} << 40),
        number(BOOL, &Value::Content::int_val, int64_t{1}),
        net,
        several(TABLE, {text(STRING, "a"), text(STRING, "b")}),
        several(VECTOR, {address("\40\1\15\270\0\0\0\0\0\0\0\0\0\0\0\1", true)}),
        number(INT, &Value::Content::int_val, int64_t{-3}),
    };
#if HOST_VERSION >= 70100
    // A record is one block.
    auto* block = static_cast<Value*>(operator new(record.size() * sizeof(Value)));
    for (size_t column = 0; column < record.size(); ++column) {
        new (block + column) Value(std::move(*record[column]));
        delete record[column];
        record[column] = block + column;
    }
#endif
    if (wrong("type"))
        record[1]->type = COUNT;
    if (wrong("present"))
        memset(&record[1]->present, 7, 1);
    if (wrong("pointer"))
        record[1] = reinterpret_cast<Value*>(nowhere());
    if (wrong("text"))
        record[1]->val.string_val.data = reinterpret_cast<char*>(nowhere());
    if (wrong("length"))
        record[1]->val.string_val.length = -5;
    if (wrong("set"))
        record[9]->val.set_val.vals = reinterpret_cast<Value**>(nowhere());
    if (wrong("size"))
        record[9]->val.set_val.size = int64_t{1} << 50;
    if (wrong("family"))
        memset(&record[2]->val.addr_val.family, 9, 1);
    // What a packet can say.
    if (wrong("odd") && i < 2) {
        record[0]->val.double_val = i == 0 ? 1e18 : -1e18;
        record[3]->val.port_val.port = 70000;
        record[7]->val.int_val = 2;
    }
    // What no host should do, but with one record.
    if (wrong("first") && i == 0)
        record[1]->type = COUNT;
    if (wrong("nothing") && i == 0)
        for (Value* value : record)
            value->present = false;
    return record;
}

void run(THREADS logging::WriterBackend* writer) {
    std::vector<Field> fields;
    std::vector<const Field*> pointers;
    for (const Column& column : columns) {
        Field field = {};
        field.name = column.name;
        field.type = column.type;
        field.subtype = column.subtype;
        field.optional = column.optional;
        fields.push_back(field);
    }
    for (const Field& field : fields)
        pointers.push_back(&field);
    if (wrong("no column"))
        pointers[1] = reinterpret_cast<const Field*>(nowhere());
    if (wrong("column's name"))
        fields[1].name = reinterpret_cast<const char*>(nowhere());
    if (wrong("column's type"))
        memset(&fields[1].type, 99, 1);
    if (wrong("column's option"))
        memset(&fields[1].optional, 7, 1);

    bool good = writer->Init(wrong("columns") ? -1 : num_columns, pointers.data());
    for (int i = 0; good && i < 20; ++i) {
        std::vector<Value*> record = make_record(i);
        {
            std::lock_guard<std::mutex> lock(said_mutex);
            static auto& kept = *new std::vector<std::vector<Value*>>;
            kept.push_back(record);
        }
        good = writer->Write(num_columns, pointers.data(), record.data());
    }
    if (good && !writer->TestHostBeat())
        say("host", writer->Name(), "the heartbeat failed");
    if (good && (!writer->Rotate() || writer->Rotations() != 0))
        say("host", writer->Name(), "the rotation failed");
    if (!good)
        say("host", writer->Name(), "the writer failed");
    if (wrong("end"))
        __atomic_store_n(&terminating, true, __ATOMIC_RELAXED);
    writer->TestHostFinish();
}

// "-N" lists the plugin, as a host does.
int list(const char* library) {
    if (!dlopen(library, RTLD_NOW | RTLD_GLOBAL) || !TYPES plugin::registered)
        return 1;
    const auto& config = TYPES plugin::registered->TestHostConfigure();
    printf("%s - %s (dynamic, version %d.%d)\n", config.name.c_str(), config.description.c_str(),
           config.major, config.minor);
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    if (argc == 3 && !strcmp(argv[1], "-N")) {
        TYPES plugin::registered = nullptr;
        return list(getenv("LIBRARY"));
    }
    if (argc != 2)
        return 2;
    // Built-in plugins are configured before others are loaded, or not: both must do.
    TYPES plugin::Plugin* const built_in = TYPES plugin::registered;
#if HOST_VERSION % 2
    built_in->TestHostConfigure();
#endif
    TYPES plugin::registered = nullptr;

    void* context = zmq_ctx_new();
    void* socket = zmq_socket(context, ZMQ_SUB);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0);
    char endpoint[128];
    size_t size = sizeof endpoint;
    if (zmq_bind(socket, "tcp://127.0.0.1:*") != 0 ||
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size) != 0)
        return 2;
    if (!wrong("variables")) {
        variables()["LogZeroMQ::endpoint"] = new TYPES StringVal(endpoint);
        variables()["LogZeroMQ::topic"] = new TYPES StringVal("%path, \xc3\xbc\\");
        variables()["LogZeroMQ::zmq_hwm"] = new TYPES CountVal("1000");
        variables()["LogZeroMQ::zmq_linger"] = new TYPES IntVal("2000");
        variables()["LogZeroMQ::json_timestamps"] = new TYPES EnumVal("JSON::TS_MILLIS");
        variables()["LogZeroMQ::json_include_unset_fields"] = new TYPES BoolVal("T");
        variables()["LogZeroMQ::zmq_connect_pause"] = new TYPES TableVal("{ 1, 2 }");
        if (getenv("ONLY_KNOWN"))
            variables()["LogZeroMQ::only_known_hosts"] = new TYPES BoolVal("T");
    }

    if (!dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL)) {
        fprintf(stderr, "fatal error: %s\n", dlerror());
        return 1;
    }
    if (!TYPES plugin::registered) {
        fprintf(stderr, "fatal error: load plugin library did not instantiate a plugin\n");
        return 1;
    }
    auto* plugin = TYPES plugin::registered;
    const auto& config = plugin->TestHostConfigure();
    printf("plugin: %s - %s (%d.%d)\n", config.name.c_str(), config.description.c_str(), config.major,
           config.minor);
#if CONFIGURATION_VERSION >= 50100 && defined(VERSION_FUNCTION)
    if (std::string(config.zeek_version()) != VERSION_IDENTIFIER)
        printf("plugin: for another version\n");
#elif CONFIGURATION_VERSION >= 20600 && defined(VERSION_FUNCTION)
    if (config.bro_version != VERSION_FUNCTION)
        printf("plugin: for another version\n");
#elif CONFIGURATION_VERSION < 20600
    if (config.api_version != API_VERSION)
        printf("plugin: for another version\n");
#endif
    plugin->InitPreScript();

    std::vector<THREADS logging::WriterFrontend> frontends = {
        {"conn", {}, 0, false},
        {"dns", {{"json_timestamps", "JSON::TS_EPOCH"}, {"zmq_linger", "1000"}}, 0, false}};
    // Under valgrind, or an emulator on a busy machine, a subscription takes its time.
    for (auto& frontend : frontends)
        frontend.config.emplace_back("wait_for_subscriber", "60 sec");
    std::vector<std::thread> threads;
    std::vector<THREADS logging::WriterBackend*> writers;
    std::atomic<size_t> running{0};
    for (auto& frontend : frontends) {
        auto* component = static_cast<THREADS logging::Component*>(plugin->TestHostComponents().front());
        THREADS logging::WriterBackend* writer = component->factory(&frontend);
        if (!writer) {
            say("host", frontend.path.c_str(), "no writer was made");
            continue;
        }
        ++running;
        writers.push_back(writer);
        threads.emplace_back([writer, &running] {
            run(writer);
            --running;
        });
    }

    // Each path's records come in order, but the paths do in any.
    std::map<std::string, std::vector<std::string>> arrived;
    zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};
    for (bool over = false;;) {
        const bool quiet = zmq_poll(&item, 1, running ? 20 : 300) <= 0;
        plugin->TestHostRound();
        if (quiet) {
            if (over)
                break;
            over = running == 0;
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
    for (std::thread& thread : threads)
        thread.join();
    for (auto* writer : writers)
        writer->TestHostSignalStop();
    for (auto& frontend : frontends)
        frontend.over = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    plugin->TestHostRound();
    for (auto* writer : writers)
        THREADS threading::BasicThread::TestHostDelete(writer);
    plugin->TestHostRound();
#if HOST_VERSION >= 70000
    zeek::telemetry_mgr->TestHostPrint();
#endif
    plugin->Done();
    built_in->Done();

    for (const auto& path : arrived) {
        printf("arrived: %s %zu\n", path.first.c_str(), path.second.size());
        for (size_t i = 0; i < 2 && i < path.second.size(); ++i)
            printf("%s\n", path.second[i].c_str());
    }
    zmq_close(socket);
    zmq_ctx_term(context);
    return 0;
}
