// What makes the shared object a plugin: one object that tells the host about the writer.

#include "ZeroMQ.h"
#include "compat.h"

namespace bzw {
namespace {

class Plugin : public host::plugin::Plugin {
protected:
    host::plugin::Configuration Configure() override {
        AddComponent(new host::logging::Component("ZeroMQ", ZeroMQ::Instantiate));

        host::plugin::Configuration config;
        config.name = "NCSA::ZeroMQWriter";
        config.description = "ZeroMQ log writer";
        config.version.major = BZW_VERSION_MAJOR;
        config.version.minor = BZW_VERSION_MINOR;
#if BZW_HOST_VERSION >= 300
        config.version.patch = BZW_VERSION_PATCH;
#endif
        return config;
    }
};

// Its constructor registers it while the host loads the shared object.
Plugin plugin;

} // namespace
} // namespace bzw
