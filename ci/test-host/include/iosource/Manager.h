#pragma once

#include "IOSource.h"

#include <vector>

#if HOST_VERSION >= 30100
THREADS_BEGIN
namespace iosource {

// The sources of the main loop.
class Manager {
public:
    class WakeupHandler;

    void Register(IOSource* source, bool dont_count = false, bool manage_lifetime = true);

    // Not the host's interface: asks each source for its next timeout, and returns the shortest.
    double TestHostRound();

    // How many sources keep the host running, or are to be deleted by it.
    int Size() const { return static_cast<int>(sources.size()) - left_alone; }

private:
    std::vector<IOSource*> sources;
    int left_alone = 0;
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

} // namespace iosource

extern iosource::Manager* iosource_mgr;
THREADS_END
#endif
