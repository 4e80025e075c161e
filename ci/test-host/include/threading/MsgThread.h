#pragma once

#include "../iosource/IOSource.h"
#include "BasicThread.h"

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

THREADS_BEGIN

namespace threading {

// A thread that does what it is sent, in order, and reports back.
#if HOST_VERSION >= 30100 && HOST_VERSION < 70000
class MsgThread : public BasicThread, public iosource::IOSource {
#else
class MsgThread : public BasicThread {
#endif
public:
    MsgThread();
    ~MsgThread() override;

    virtual void Info(const char* msg);
    virtual void Warning(const char* msg);
    virtual void Error(const char* msg);
#if HOST_VERSION >= 30100 && HOST_VERSION < 70000
    void Process() override {}
    const char* Tag() override {
        return Name();
    }
    double GetNextTimeout() override {
        return -1;
    }
#endif

    // Not the real host's interface, which has message classes: queues something to be
    // done on the thread. A result of false means that the thread has failed; from then
    // on everything but the end is ignored.
    void TestHostSend(std::function<bool()> job);

    // Sends a heartbeat with this network time.
    void TestHostHeartbeat(double network_time);

    // Waits until all that was sent has been done.
    void TestHostDrain();

    // Returns true if a job has failed so far; for the main thread, after TestHostDrain().
    bool TestHostFailed();

protected:
    virtual void Heartbeat();
    bool Failed() const {
        return failed;
    }
    virtual bool OnHeartbeat(double network_time, double current_time) = 0;
    virtual bool OnFinish(double network_time) = 0;

    void Run() override;
    void OnWaitForStop() override;
    void OnSignalStop() override;
    void OnKill() override;
#if HOST_VERSION >= 50000
    virtual const void* GetLocationInfo() const {
        return nullptr;
    }
#endif

private:
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::function<bool()>> jobs;
    double heartbeat_time = 0;
    bool busy = false;
    bool stop = false;
    std::atomic<bool> failed;
};

} // namespace threading
THREADS_END
