// What is known of the hosts without having their headers, stated once.
//
// Three kinds of facts, and where each comes from:
//
//   names    How the Itanium C++ ABI (section 5.1, mangling) spells what is used of a host.
//            A mangled name has the argument types in it, and std::string's is spelled
//            differently by each C++ library: a name that is found proves its signature
//            and the library.
//   layouts  The few structs of a host that are read or filled here, from the public
//            headers of the versions named. host.cc compares each with an object of the
//            host's own before it is used.
//   classes  Which virtual functions are replaced. host.cc finds their slots by name.
//
// How log records are laid out is not known beforehand: values.cc finds it out.
#ifndef BZW_PORTABLE_FACTS_H
#define BZW_PORTABLE_FACTS_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "bro_zeromq_writer.h"

#if !defined(__x86_64__) && !defined(__aarch64__)
#error "the portable plugin is for 64-bit x86 and ARM; build from the host's headers"
#endif
#if !defined(__GLIBC__) || !defined(_GLIBCXX_USE_CXX11_ABI) || !_GLIBCXX_USE_CXX11_ABI
#error "the portable plugin needs the GNU C and C++ libraries, with the C++11 string"
#endif

namespace bzw {
namespace portable {

struct Version {
    int major;
    int minor;
};

inline bool operator<(const Version& a, const Version& b) {
    return a.major != b.major ? a.major < b.major : a.minor < b.minor;
}

// --- names --------------------------------------------------------------------------

#define BZW_STRING "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
#define BZW_VIEW "St17basic_string_viewIcSt11char_traitsIcEE"

struct Names {
    // plugin::Plugin, which registers itself with the host when it is constructed.
    const char* plugin_constructor;
    const char* plugin_vtable;
    const char* plugin_add_component;
    const char* component_constructor;
    const char* component_vtable;
    const char* component_deleting_destructor;

    // The plugin that contains the host's writer "None": its class and its one object.
    const char* none_plugin_vtable;
    const char* none_plugin_configure;
    const char* none_plugin_object;

    // logging::WriterBackend, and "None", the writer that writes nothing.
    const char* backend_vtable;
    const char* backend_heartbeat; // from Zeek 8.0.2 on
    const char* backend_do_heartbeat;
    const char* backend_finished_rotation;
    const char* none_vtable;
    const char* none_instantiate;
    const char* none_deleting_destructor;
    const char* none_do[7]; // DoInit, DoWrite, DoSetBuf, DoFlush, DoRotate, DoFinish, DoHeartbeat

    // threading::MsgThread
    const char* thread_info;
    const char* thread_warning;
    const char* thread_error;
    const char* thread_heartbeat;

    // Script variables and their text. Either the first function or the next two.
    const char* option_value;
    const char* find_variable;
    const char* find_value;
    const char* value_describe;
    const char* text_constructor;
    const char* text_destructor;
    const char* text_add;

    // What the host calls a type, and how it reads what another process has sent to it: a
    // column, a value, and the format that hands out their parts.
    const char* type_name;
    const char* field_read;
    const char* value_read;
    const char* format_vtable;
    const char* format_reads[14]; // in the order of their declaration

    // A bool, set when the host begins to end.
    const char* terminating;

    // A frontend's buffer, and the end of its thread.
    const char* frontend_flush;
    const char* thread_on_signal_stop;

    // The main loop's sources, and one of them, from Zeek 3.1 on.
    const char* sources;
    const char* sources_register;
    const char* source_vtable;
    const char* source_timeout;
    const char* source_process;
    const char* source_tag;
};

// The same names in any namespace. N and L: the namespace, as a part of a mangled name;
// W: that of writers in it; L0, F and V: how names refer back to namespaces that they have
// spelled before (compression, ABI section 5.1.10), in front of a class of logging, of
// Field and of Value.
#define BZW_NONE(L, W, L0, F, V)                                                                             \
    "_ZTVN" L "7logging6writer" W "4NoneE",                                                                  \
        "_ZN" L "7logging6writer" W "4None11InstantiateEPN" L0 "14WriterFrontendE",                          \
        "_ZN" L "7logging6writer" W "4NoneD0Ev", {                                                           \
        "_ZN" L "7logging6writer" W "4None6DoInitERKN" L0 "13WriterBackend10WriterInfoEiPKPKN" F "5FieldE",  \
            "_ZN" L "7logging6writer" W "4None7DoWriteEiPKPKN" F "5FieldEPPN" V "5ValueE",                   \
            "_ZN" L "7logging6writer" W "4None8DoSetBufEb", "_ZN" L "7logging6writer" W "4None7DoFlushEd",   \
            "_ZN" L "7logging6writer" W "4None8DoRotateEPKcddb",                                             \
            "_ZN" L "7logging6writer" W "4None8DoFinishEd",                                                  \
            "_ZN" L "7logging6writer" W "4None11DoHeartbeatEdd"                                              \
    }

#define BZW_PLUGIN(N, N0)                                                                                    \
    "_ZN" N "6PluginC2Ev", "_ZTVN" N "6PluginE", "_ZN" N "6Plugin12AddComponentEPN" N0 "9ComponentE"

#define BZW_BACKEND(L)                                                                                       \
    "_ZTVN" L "7logging13WriterBackendE", "_ZN" L "7logging13WriterBackend9HeartbeatEv",                     \
        "_ZN" L "7logging13WriterBackend11DoHeartbeatEdd",                                                   \
        "_ZN" L "7logging13WriterBackend16FinishedRotationEv"

#define BZW_THREAD(L)                                                                                        \
    "_ZN" L "9threading9MsgThread4InfoEPKc", "_ZN" L "9threading9MsgThread7WarningEPKc",                     \
        "_ZN" L "9threading9MsgThread5ErrorEPKc", "_ZN" L "9threading9MsgThread9HeartbeatEv"

#define BZW_COMPONENT(L, L0)                                                                                 \
    "_ZN" L "7logging9ComponentC1ERK" BZW_STRING "PFPN" L0 "13WriterBackendEPN" L0 "14WriterFrontendEE",     \
        "_ZTVN" L "7logging9ComponentE", "_ZN" L "7logging9ComponentD0Ev"

// A: what stands for the format as an argument; V and F: the format's vtable, and its name in
// those of its functions; I: where addresses are.
#define BZW_READS(L, A, V, F, I)                                                                             \
    "_ZN" L "9threading5Field4ReadE" A, "_ZN" L "9threading5Value4ReadE" A, V, {                             \
        "_ZN" F "4ReadEPiPKc", "_ZN" F "4ReadEPtPKc", "_ZN" F "4ReadEPjPKc", "_ZN" F "4ReadEPlPKc",          \
            "_ZN" F "4ReadEPmPKc", "_ZN" F "4ReadEPcPKc", "_ZN" F "4ReadEPbPKc", "_ZN" F "4ReadEPdPKc",      \
            "_ZN" F "4ReadEP" BZW_STRING "PKc", "_ZN" F "4ReadEP" I("6IPAddr") "PKc",                        \
            "_ZN" F "4ReadEP" I("8IPPrefix") "PKc", "_ZN" F "4ReadEP7in_addrPKc",                            \
            "_ZN" F "4ReadEP8in6_addrPKc", "_ZN" F "4ReadEPPcPiPKc"                                          \
    }
#define BZW_GLOBAL(NAME) NAME
#define BZW_IN_ZEEK(NAME) "NS_" NAME "E"
#define BZW_READS_3                                                                                          \
    BZW_READS("", "P19SerializationFormat", "_ZTV25BinarySerializationFormat",                               \
              "25BinarySerializationFormat", BZW_GLOBAL)
#define BZW_READS_4                                                                                          \
    BZW_READS("4zeek", "PNS_6detail19SerializationFormatE", "_ZTVN4zeek6detail25BinarySerializationFormatE", \
              "4zeek6detail25BinarySerializationFormat", BZW_IN_ZEEK)

#define BZW_NONE_PLUGIN(N) "_ZTVN" N "6PluginE", "_ZN" N "6Plugin9ConfigureEv", "_ZN" N "6pluginE"

#define BZW_LOOP(N, N0, M)                                                                                   \
    "_ZN" N "7logging14WriterFrontend16FlushWriteBufferEv", "_ZN" N "9threading9MsgThread12OnSignalStopEv",  \
        M, "_ZN" N "8iosource7Manager8RegisterEPN" N0 "8IOSourceEbb",                                        \
        "_ZTVN" N "8iosource7Manager13WakeupHandlerE",                                                       \
        "_ZN" N "8iosource7Manager13WakeupHandler14GetNextTimeoutEv",                                        \
        "_ZN" N "8iosource7Manager13WakeupHandler7ProcessEv",                                                \
        "_ZN" N "8iosource7Manager13WakeupHandler3TagEv"

// Bro 2.5 and 2.6.
constexpr Names bro_names = {
    BZW_PLUGIN("6plugin", "S_"),
    BZW_COMPONENT("", "S_"),
    BZW_NONE_PLUGIN("6plugin14Bro_NoneWriter"),
    BZW_BACKEND(""),
    BZW_NONE("", "", "S_", "9threading", "S2_"),
    BZW_THREAD(""),
    "_Z16opt_internal_valPKc",
    nullptr,
    nullptr,
    "_ZNK3Val8DescribeEP5ODesc",
    "_ZN5ODescC1E9desc_typeP7BroFile",
    "_ZN5ODescD1Ev",
    "_ZN5ODesc3AddEPKci",
    "_Z9type_name7TypeTag",
    BZW_READS_3,
    "terminating",
    BZW_LOOP("", "S_", "iosource_mgr"),
};

// Zeek 3.0 and 3.1: the host's plugins are named after Zeek.
constexpr Names zeek30_names = {
    BZW_PLUGIN("6plugin", "S_"),
    BZW_COMPONENT("", "S_"),
    BZW_NONE_PLUGIN("6plugin15Zeek_NoneWriter"),
    BZW_BACKEND(""),
    BZW_NONE("", "", "S_", "9threading", "S2_"),
    BZW_THREAD(""),
    "_Z16opt_internal_valPKc",
    nullptr,
    nullptr,
    "_ZNK3Val8DescribeEP5ODesc",
    "_ZN5ODescC1E9desc_typeP7BroFile",
    "_ZN5ODescD1Ev",
    "_ZN5ODesc3AddEPKci",
    "_Z9type_name7TypeTag",
    BZW_READS_3,
    "terminating",
    BZW_LOOP("", "S_", "iosource_mgr"),
};

// Zeek 3.2: plugins and script values are in zeek::, logging and threads are not yet.
constexpr Names zeek32_names = {
    BZW_PLUGIN("4zeek6plugin", "S0_"),
    BZW_COMPONENT("", "S_"),
    BZW_NONE_PLUGIN("6plugin15Zeek_NoneWriter"),
    BZW_BACKEND(""),
    BZW_NONE("", "", "S_", "9threading", "S2_"),
    BZW_THREAD(""),
    "_Z16opt_internal_valPKc",
    nullptr,
    nullptr,
    "_ZNK4zeek3Val8DescribeEP5ODesc",
    "_ZN5ODescC1E9desc_typeP7BroFile",
    "_ZN5ODescD1Ev",
    "_ZN5ODesc3AddEPKci",
    "_ZN4zeek9type_nameENS_7TypeTagE",
    BZW_READS_3,
    "terminating",
    BZW_LOOP("", "S_", "iosource_mgr"),
};

// Zeek 4.0 and later: everything is in zeek::.
constexpr Names zeek40_names = {
    BZW_PLUGIN("4zeek6plugin", "S0_"),
    BZW_COMPONENT("4zeek", "S0_"),
    BZW_NONE_PLUGIN("4zeek6plugin6detail15Zeek_NoneWriter"),
    BZW_BACKEND("4zeek"),
    BZW_NONE("4zeek", "6detail", "S0_", "S_9threading", "S4_"),
    BZW_THREAD("4zeek"),
    nullptr,
    "_ZN4zeek2id4findE" BZW_VIEW,
    "_ZN4zeek2id8find_valE" BZW_VIEW,
    "_ZNK4zeek3Val8DescribeEPNS_5ODescE",
    "_ZN4zeek5ODescC1ENS_8DescTypeEPNS_4FileE",
    "_ZN4zeek5ODescD1Ev",
    "_ZN4zeek5ODesc3AddEPKci",
    "_ZN4zeek9type_nameENS_7TypeTagE",
    BZW_READS_4,
    "_ZN4zeek9run_state11terminatingE",
    BZW_LOOP("4zeek", "S0_", "_ZN4zeek12iosource_mgrE"),
};

// A host has the names of one of these.
constexpr const Names* all_names[] = {&bro_names, &zeek30_names, &zeek32_names, &zeek40_names};

// zeek::telemetry_mgr, and its functions that make a metric, from 7.0 on. Older hosts get no metrics.
#define BZW_METRIC(FUNCTION)                                                                                 \
    "_ZN4zeek9telemetry7Manager" FUNCTION "E" BZW_VIEW                                                       \
    "S5_St16initializer_listISt4pairIS5_S5_EES5_S5_St8functionIFdvEE"
constexpr const char telemetry_manager_name[] = "_ZN4zeek13telemetry_mgrE";
constexpr const char counter_name[] = BZW_METRIC("15CounterInstance");
constexpr const char gauge_name[] = BZW_METRIC("13GaugeInstance");

// How the names of functions start that a compiler's instrumentation puts into a program. Objects
// of such a program have something in or around them that the layouts here do not have, or the
// program watches every virtual call and would take the replaced functions for an attack.
constexpr const char* instrumentations[][2] = {
    {"__asan_init", "AddressSanitizer"},
    {"__hwasan_init", "HWAddressSanitizer"},
    {"__msan_init", "MemorySanitizer"},
    {"__tsan_init", "ThreadSanitizer"},
    {"__ubsan_handle_", "UndefinedBehaviorSanitizer"},
    {"__cfi_check", "control flow integrity"},
    {"__cfi_slowpath", "control flow integrity"},
    {"_Z24__VLTVerifyVtablePointer", "vtable verification"},
    {"_ZN11__gnu_debug", "the debug mode of the GNU C++ library"},
    {"_ZNK11__gnu_debug", "the debug mode of the GNU C++ library"},
};

// --- layouts ------------------------------------------------------------------------

// What Plugin::Configure returns. It has a constructor and a destructor, so that the
// caller passes the place to put it (ABI section 3.1.3.1); functions that return these
// are called just as the host's are. The host's plugins hold one right behind their
// vtable pointer, followed by an empty std::string: there host.cc compares its size.

// Bro 2.5.
struct Configuration25 {
    std::string name;
    std::string description;
    int major;
    int minor;
    int api_version; // the host's own: 4 in 2.5.0, 5 in 2.5.1 to 2.5.5
};

// Bro 2.6.
struct Configuration26 {
    std::string name;
    std::string description;
    int major;
    int minor;
    const char* (*version_function)();
};

// Zeek 3.0 to 5.0.
struct Configuration30 {
    std::string name;
    std::string description;
    int major;
    int minor;
    int patch;
    const char* (*version_function)();
};

// Zeek 5.1 to 6.0: the function is there under an old and a new name.
struct Configuration51 {
    std::string name;
    std::string description;
    int major;
    int minor;
    int patch;
    std::function<const char*()> bro_version_function;
    std::function<const char*()> version_function;
};

// Zeek 6.1 and later.
struct Configuration61 {
    std::string name;
    std::string description;
    int major;
    int minor;
    int patch;
    std::function<const char*()> version_function;
};

// WriterBackend::WriterInfo, which DoInit gets. check.cc finds those of its members that matter by
// what they are: the log path, which the writer's thread is named after; the filter's name, a
// std::string, from Zeek 7.1 on; and the options in this map, whose order does not matter here: it
// is only walked.
using ConfigMap = std::map<const char*, const char*>;

// What hosts call the types of log columns, where the number of each is, and if all hosts have it;
// `type_names` in bzw_families.h is the list.
struct TypeName {
    const char* name;
    std::uint32_t bzw_layout::*tag;
    bool always;
};
// Older hosts still use a writer that has failed, after they have deleted it (in
// WriterFrontend::Stop). There a failed writer stays, and drops what it gets.
constexpr Version failures_end_writers = {7, 0};

// The front of ODesc, which collects an object's text, in all versions. (From 8.0 on the
// first two members are bytes and the last is larger, which makes no difference to the lower
// half of the length on these processors.)
struct Text {
    std::int32_t type;
    std::int32_t style;
    const char* bytes;
    std::uint32_t length;
};

// What `style` is for strings as they are; otherwise ODesc spells out their bytes that are
// not printable ASCII (\xNN).
constexpr unsigned char raw_style = 1;

// Before Zeek 3.1, a hook of plugins is called in each round of the main loop: its number, its place
// in the class (virtual functions come in the order of their declaration), and how it is turned on.
// From 3.1 on the hook would come before the events that write records.
constexpr int drain_events_hook = 3;
constexpr std::size_t drain_events_slot = 10;
constexpr char drain_events[] = "_ZN6plugin6Plugin15HookDrainEventsEv";
constexpr char enable_hook[] = "_ZN6plugin6Plugin10EnableHookENS_8HookTypeEi";

// A source of the main loop has in its vtable, behind the two words in front: two destructors,
// InitSource, Done, GetNextTimeout, Process, Tag, and IsPacketSource (up to 7.2), ProcessFd (from 5.0
// on) or both.
constexpr std::size_t most_source_words = 11;

// Room for the objects of the host whose sizes are nowhere to be found: several times what
// they have in any version. host.cc checks that the second half of the room stays untouched.
constexpr std::size_t component_room = 2048; // at most 152
constexpr std::size_t text_room = 2048;      // at most 304

// None of the host's plugins is larger (at most 272 bytes).
constexpr std::size_t largest_plugin = 4096;

// How far into a writer its frontend is looked for (behind the queues of messages, at most 3,500),
// and how many words behind that the WriterInfo (the next one).
constexpr std::size_t writer_room = 16384;
constexpr std::size_t behind_frontend = 4;

// A vtable group, in words: WriterBackend's has at most 31, Plugin's at most 28.
constexpr std::size_t vtable_room = 64;

// The classes of script values that have text for an option: bool, int, count, double,
// interval, enum and string. Up to Zeek 4.0 most of these values are of "Val" itself.
constexpr const char* string_classes[] = {"9StringVal", "N4zeek9StringValE"};
constexpr const char* other_classes[] = {
    "3Val",
    "7EnumVal",
    "11IntervalVal",
    "N4zeek3ValE",
    "N4zeek7EnumValE",
    "N4zeek11IntervalValE",
    "N4zeek7BoolValE",
    "N4zeek6IntValE",
    "N4zeek8CountValE",
    "N4zeek9DoubleValE",
};

} // namespace portable
} // namespace bzw

#endif
