#pragma once

#include "../test-host-config.h"

#if HOST_VERSION >= 30100
THREADS_BEGIN
namespace iosource {

// What the main loop waits for.
class IOSource {
public:
    virtual ~IOSource() {}
    bool IsOpen() const { return !closed; }
#if HOST_VERSION < 80000
    virtual bool IsPacketSource() const {
        return false;
    }
#endif
    virtual void InitSource() {}
    virtual void Done() {}
    virtual double GetNextTimeout() = 0;
    virtual void Process() = 0;
#if HOST_VERSION >= 50000
    virtual void ProcessFd(int, int) {}
#endif
    virtual const char* Tag() = 0;

private:
    bool closed = false;
};

} // namespace iosource
THREADS_END
#endif
