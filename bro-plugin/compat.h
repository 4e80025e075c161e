// What differs between host versions, and nothing else.
//
// BZW_HOST_VERSION comes from build.rs: major * 100 + minor, so 206 is Bro 2.6 and
// 900 is Zeek 9.0.
#ifndef BZW_COMPAT_H
#define BZW_COMPAT_H

#include <cstddef>
#include <cstdint>
#include <string>

#ifndef BZW_HOST_VERSION
#error "BZW_HOST_VERSION is not set; this file is compiled by build.rs"
#endif

#if BZW_HOST_VERSION >= 400
#include <zeek/ID.h>
#include <zeek/Val.h>
#include <zeek/iosource/Manager.h>
#include <zeek/logging/Component.h>
#include <zeek/logging/WriterBackend.h>
#include <zeek/logging/WriterFrontend.h>
#include <zeek/plugin/Plugin.h>
#include <zeek/threading/SerialTypes.h>
#else
#include "ID.h"
#include "Scope.h"
#include "Val.h"
#if BZW_HOST_VERSION >= 301
#include "iosource/Manager.h"
#endif
#include "logging/Component.h"
#include "logging/WriterBackend.h"
#include "logging/WriterFrontend.h"
#include "plugin/Plugin.h"
#include "threading/SerialTypes.h"
#endif

// Classes moved from the global namespace into zeek:: in two steps, 3.2 and 4.0.
#if BZW_HOST_VERSION >= 302
#define BZW_HOST_TYPES ::zeek
#else
#define BZW_HOST_TYPES
#endif
#if BZW_HOST_VERSION >= 400
#define BZW_HOST_THREADS ::zeek
#else
#define BZW_HOST_THREADS
#endif

// From here on the host asks each source of its main loop in every round for its next timeout,
// after the events that write records. Older hosts call HookDrainEvents all the time.
#define BZW_HOST_ASKS_SOURCES (BZW_HOST_VERSION >= 301)

// Set when the host begins to end. Weak: what plays a host in tests may lack it.
#if BZW_HOST_VERSION >= 400
#define BZW_HOST_TERMINATING ::zeek::run_state::terminating
namespace zeek {
namespace run_state {
extern bool terminating __attribute__((weak));
}
} // namespace zeek
#else
#define BZW_HOST_TERMINATING ::terminating
extern bool terminating __attribute__((weak));
#endif

namespace bzw {
namespace host {

inline bool terminating() {
    return &BZW_HOST_TERMINATING && __atomic_load_n(&BZW_HOST_TERMINATING, __ATOMIC_RELAXED);
}

namespace plugin = BZW_HOST_TYPES::plugin;
namespace logging = BZW_HOST_THREADS::logging;
namespace threading = BZW_HOST_THREADS::threading;
#if BZW_HOST_ASKS_SOURCES
namespace iosource = BZW_HOST_THREADS::iosource;
#endif

inline void flush(void* frontend) {
    static_cast<logging::WriterFrontend*>(frontend)->FlushWriteBuffer();
}

using Val = BZW_HOST_TYPES::Val;
using Type = BZW_HOST_TYPES::TypeTag;

// The value of a global script variable by its full name, or null.
inline const Val* global(const char* name) {
#if BZW_HOST_VERSION >= 302
    const auto& id = ::zeek::id::find(name);
    return id ? id->GetVal().get() : nullptr;
#else
    ::ID* id = ::lookup_ID(name, "GLOBAL");
    const Val* value = id ? id->ID_Val() : nullptr;
    Unref(id); // the variable itself stays
    return value;
#endif
}

inline Type tag(const Val& value) {
#if BZW_HOST_VERSION >= 302
    return value.GetType()->Tag();
#else
    return value.Type()->Tag();
#endif
}

// The full name of an enum's value ("JSON::TS_EPOCH"), or null.
inline const char* enumerator(const Val& value) {
#if BZW_HOST_VERSION >= 302
    return value.GetType()->AsEnumType()->Lookup(value.AsEnum());
#else
    return value.Type()->AsEnumType()->Lookup(value.AsEnum());
#endif
}

inline std::string text(const Val& string) {
#if BZW_HOST_VERSION >= 302
    return string.AsStringVal()->ToStdString();
#else
    const auto* bytes = string.AsString();
    return std::string(reinterpret_cast<const char*>(bytes->Bytes()), static_cast<std::size_t>(bytes->Len()));
#endif
}

} // namespace host
} // namespace bzw

#endif
