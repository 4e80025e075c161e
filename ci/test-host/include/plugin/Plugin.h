#pragma once

#include "../test-host-config.h"

#include "../logging/WriterBackend.h"

#include <functional>
#include <list>
#include <string>
#include <utility>

TYPES_BEGIN

namespace plugin {

class Component;
class Manager;

struct VersionNumber {
    int major = -1;
    int minor = -1;
#if CONFIGURATION_VERSION >= 30000
    int patch = 0;
#endif
    explicit operator bool() const {
        return major >= 0 && minor >= 0;
    }
};

// The version of the plugin interface in Bro 2.5.
#define API_VERSION (HOST_VERSION == 20500 ? 4 : 5)

// What a plugin says of itself. The address of the host's version function goes in
// with it, so that a plugin built for another version does not even load.
class Configuration {
public:
    Configuration() {
#if defined(VERSION_FUNCTION) && CONFIGURATION_VERSION >= 50100
        zeek_version = VERSION_FUNCTION;
#elif defined(VERSION_FUNCTION) && CONFIGURATION_VERSION >= 20600
        bro_version = VERSION_FUNCTION;
#endif
    }
#ifdef FUTURE_CONFIGURATION
    std::string more;
#endif
    std::string name;
    std::string description;
    VersionNumber version;

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

    virtual void InitPreScript();
    virtual void InitPostScript() {}
#if HOST_VERSION >= 60200
    virtual void InitPreExecution() {}
#endif
    virtual void Done();

    void AddComponent(Component* component);
#if HOST_VERSION < 30100
    virtual int HookLoadFile(int, const std::string&, const std::string&) {
        return -1;
    }
    virtual bool HookCallFunction(void*, void*, void*) {
        return false;
    }
    virtual bool HookQueueEvent(void*) {
        return false;
    }
    virtual void HookDrainEvents();
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
    component_list components;
#if HOST_VERSION < 30100
    bool hooks[NUM_HOOKS] = {};
#endif
};

} // namespace plugin
TYPES_END
