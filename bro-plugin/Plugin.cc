// What makes the shared object a plugin: one object that tells the host about the writer.

#include "ZeroMQ.h"
#include "compat.h"
#include "flush.h"

namespace bzw {
namespace {

constexpr char name[] = "NCSA::ZeroMQWriter";

#if BZW_HOST_ASKS_SOURCES
// The host asks this source in each round of its main loop. The source has no descriptor, and nothing to
// process.
class Source : public host::iosource::IOSource {
public:
    double GetNextTimeout() override { return flush_frontends(host::flush); }
    void Process() override {}
    const char* Tag() override { return name; }
};
#endif

class Plugin : public host::plugin::Plugin {
protected:
    void InitPostScript() override {
#if BZW_HOST_ASKS_SOURCES
        // The source is not counted, so that the host ends when its other sources have. The host is
        // not to delete it, since that would be after the plugins.
        static auto* const source = new Source;
        BZW_HOST_THREADS::iosource_mgr->Register(source, true, false);
#else
        EnableHook(BZW_HOST_TYPES::plugin::HOOK_DRAIN_EVENTS);
    }

    void HookDrainEvents() override {
        flush_frontends_often(host::flush);
#endif
    }

    host::plugin::Configuration Configure() override {
        AddComponent(new host::logging::Component("ZeroMQ", ZeroMQ::Instantiate));

        host::plugin::Configuration config;
        config.name = name;
        config.description = "ZeroMQ log writer";
        config.version.major = BZW_VERSION_MAJOR;
        config.version.minor = BZW_VERSION_MINOR;
#if BZW_HOST_VERSION >= 300
        config.version.patch = BZW_VERSION_PATCH;
#endif
        return config;
    }
};

// The plugin's constructor registers it while the host loads the shared object.
Plugin plugin;

} // namespace
} // namespace bzw
