#pragma once

#include "../test-host-config.h"

#include "../logging/WriterBackend.h"

#include <functional>
#include <list>
#include <string>
#include <utility>

TEST_HOST_BEGIN

namespace plugin {

class Component;
class Manager;

enum HookType { HOOK_LOAD_FILE, HOOK_CALL_FUNCTION, HOOK_QUEUE_EVENT, HOOK_DRAIN_EVENTS, NUM_HOOKS };

struct VersionNumber {
    int major = -1;
    int minor = -1;
#if TEST_HOST_VERSION >= 30000
    int patch = 0;
#endif
    explicit operator bool() const {
        return major >= 0 && minor >= 0;
    }
};

// What a plugin says of itself. The address of the host's version function goes in
// with it, so that a plugin built for another version does not even load.
class Configuration {
public:
    std::string name;
    std::string description;
    VersionNumber version;

#if TEST_HOST_VERSION >= 60000
    Configuration() : zeek_version(ZEEK_VERSION_FUNCTION) {}
    std::function<const char*()> zeek_version;
#elif TEST_HOST_VERSION >= 20600
    Configuration() : bro_version(BRO_VERSION_FUNCTION) {}
    const char* (*bro_version)();
#else
    Configuration() : api_version(BRO_PLUGIN_API_VERSION) {}

private:
    int api_version;
#endif
};

// What a plugin derives from. Constructing one (as a global of the shared object)
// registers it with the host.
class Plugin {
public:
    typedef std::list<Component*> component_list;

    Plugin();
    virtual ~Plugin();
    Plugin(const Plugin&) = delete;
    Plugin& operator=(const Plugin&) = delete;

    const std::string& Name() const { return config.name; }
    const std::string& Description() const { return config.description; }
    VersionNumber Version() const { return config.version; }
    component_list Components() const { return components; }

protected:
    friend class Manager;

    virtual void InitPreScript() {}
    virtual void InitPostScript() {}
#if TEST_HOST_VERSION >= 60200
    virtual void InitPreExecution() {}
#endif
    virtual void Done() {}

    void AddComponent(Component* component);
    void EnableHook(HookType hook, int priority = 0);

    virtual void HookDrainEvents() {}

private:
    virtual Configuration Configure() = 0;

    Configuration config;
    component_list components;
    bool hooks[NUM_HOOKS] = {};
};

} // namespace plugin
TEST_HOST_END
