#pragma once

#include "../util.h"

#include <atomic>
#include <string>
#include <thread>

THREADS_BEGIN
namespace threading {

// An object with an operating system's thread of its own.
class BasicThread {
public:
    BasicThread();
    BasicThread(const BasicThread&) = delete;
    BasicThread& operator=(const BasicThread&) = delete;
#if HOST_VERSION >= 80000
    virtual ~BasicThread();
#endif

    const char* Name() const {
        return name.c_str();
    }
    void SetName(const char* arg_name) {
        name = arg_name;
    }
    void Start();
    void SignalStop();
    void WaitForStop();
    bool Terminating() const {
        return terminating;
    }

    // Deletes a thread as a host's manager of threads does.
    static void TestHostDelete(BasicThread* thread) {
        delete thread;
    }

protected:
    virtual void Run() = 0;
    virtual void OnStart() {}
    virtual void OnSignalStop() {}
    virtual void OnWaitForStop() = 0;
    virtual void OnKill() {}
#if HOST_VERSION < 80000
    virtual ~BasicThread();
#endif

private:
    std::string name;
    std::thread thread;
    std::atomic<bool> terminating;
};

} // namespace threading
THREADS_END
