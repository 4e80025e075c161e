// The writer that writes nothing, and the plugin in the host that has it.
#include "host.h"
#include "include/logging/Component.h"

#if HOST_VERSION >= 30000
#define NONE_PLUGIN Zeek_NoneWriter
#else
#define NONE_PLUGIN Bro_NoneWriter
#endif

THREADS_BEGIN
namespace logging {
namespace writer {
DETAIL_BEGIN

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
    return must_go_wrong("object") ? new Nothing(frontend) : new None(frontend);
}
bool None::DoInit(const WriterInfo&, int, const threading::Field* const*) {
    return true;
}
bool None::DoRotate(const char*, double, double, bool) {
    return FinishedRotation();
}

DETAIL_END
} // namespace writer
} // namespace logging

namespace plugin {
DETAIL_BEGIN
namespace NONE_PLUGIN {

class Plugin : public TYPES plugin::Plugin {
public:
    TYPES plugin::Configuration Configure() override;
#ifdef WRONG_PLUGIN
    void Unload() override {}
#endif
} plugin;

TYPES plugin::Configuration Plugin::Configure() {
    AddComponent(new THREADS logging::Component("None", THREADS logging::writer::DETAIL None::Instantiate));
    TYPES plugin::Configuration config;
    config.name = "Zeek::NoneWriter, with a name that is long enough for the heap";
    config.description = "None log writer";
    return config;
}

} // namespace NONE_PLUGIN
DETAIL_END
} // namespace plugin
THREADS_END
