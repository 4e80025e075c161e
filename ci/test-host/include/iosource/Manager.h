#pragma once

#include "IOSource.h"

#include <vector>

TEST_HOST_BEGIN
namespace iosource {

// The sources of the main loop.
class Manager {
public:
    void Register(IOSource* source, bool dont_count = false, bool manage_lifetime = true);

    // Not the host's interface: asks each source for its next timeout, and returns the shortest.
    double TestHostRound();

    // How many sources keep the host running.
    int Size() const { return static_cast<int>(sources.size()) - uncounted; }

private:
    std::vector<IOSource*> sources;
    int uncounted = 0;
};

} // namespace iosource

extern iosource::Manager* iosource_mgr;
TEST_HOST_END
