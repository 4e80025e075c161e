#pragma once

#include "../test-host-config.h"

TEST_HOST_BEGIN
namespace iosource {

// What the main loop waits for.
class IOSource {
public:
    virtual ~IOSource() {}
#if TEST_HOST_VERSION < 80000
    virtual bool IsPacketSource() const {
        return false;
    }
#endif
    virtual void InitSource() {}
    virtual void Done() {}
    virtual double GetNextTimeout() = 0;
    virtual void Process() = 0;
#if TEST_HOST_VERSION >= 50000
    virtual void ProcessFd(int, int) {}
#endif
    virtual const char* Tag() = 0;
};

} // namespace iosource
TEST_HOST_END
