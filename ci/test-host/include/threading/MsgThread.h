#pragma once

#include "BasicThread.h"

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

TEST_HOST_BEGIN

namespace threading {

// A thread that does what it is sent, in order, and reports back.
class MsgThread : public BasicThread {
public:
    MsgThread();
#if TEST_HOST_VERSION >= 40000
    ~MsgThread() override;
#endif

    virtual void Info(const char* msg);
    virtual void Warning(const char* msg);
    virtual void Error(const char* msg);

    // Not the real host's interface, which has message classes: queues something to be
    // done on the thread. A result of false means that the thread has failed; from then
    // on everything but the end is ignored.
    void TestHostSend(std::function<bool()> job);

    // Waits until all that was sent has been done.
    void TestHostDrain();

    // How often a thread was told to stop, by its own class and by this.
    static int& TestHostStops();

    // Whether a job has failed so far; for the main thread, after TestHostDrain().
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

private:
    void Report(const char* level, const char* msg);

    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::function<bool()>> jobs;
    bool busy = false;
    bool stop = false;
    std::atomic<bool> failed;
};

} // namespace threading
TEST_HOST_END
