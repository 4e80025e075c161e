#pragma once

#include "../threading/MsgThread.h"
#include "../threading/SerialTypes.h"
#include "Component.h"

#include <list>
#include <map>
#include <string>
#include <vector>

THREADS_BEGIN
namespace logging {

class WriterFrontend;

// What a log writer derives from. The public half is called on the writer's thread.
class WriterBackend : public threading::MsgThread {
public:
#if HOST_VERSION >= 80002
    explicit WriterBackend(WriterFrontend* frontend, bool send_heartbeats = true);
#else
    explicit WriterBackend(WriterFrontend* frontend);
#endif
    ~WriterBackend() override;

    struct WriterInfo {
        typedef std::map<const char*, const char*, CompareString> config_map;

#if FUTURE_INFO == 1
        int more = 1;
#elif FUTURE_INFO == 3
        const char* more = "another/text";
#endif
        const char* path = nullptr;
#if INFO_VERSION >= 70100
        std::string filter_name;
#endif
#if INFO_VERSION >= 30200
        const char* post_proc_func = nullptr;
#endif
        double rotation_interval = 0.0;
        double rotation_base = 0.0;
        double network_time = 0.0;
#if FUTURE_INFO == 2
        std::list<int> more = {1};
#endif
        config_map config;

        WriterInfo() {}
        WriterInfo(const WriterInfo& other);
        ~WriterInfo();
        WriterInfo& operator=(const WriterInfo&) = delete;
    };

    bool Init(int arg_num_fields, const threading::Field* const* arg_fields);
    bool Write(int arg_num_fields, threading::Value** vals);
    bool SetBuf(bool enabled);
    bool Flush(double network_time);
    bool Rotate(const char* rotated_path, double open, double close, bool terminating);
    bool FinishedRotation();

    bool OnHeartbeat(double network_time, double current_time) override;
    bool OnFinish(double network_time) override;

    // How often FinishedRotation() was called minus how often it had to be.
    int TestHostRotations() const {
        return rotations;
    }

protected:
#if HOST_VERSION >= 80002
    void Heartbeat() override;
#endif
#if FUTURE_VIRTUAL == 1
    virtual bool DoPrepare() {
        return true;
    }
#endif
#ifdef WRONG_DEFINED
    virtual bool DoInit(const WriterInfo&, int, const threading::Field* const*) {
        return true;
    }
    virtual bool DoReopen() = 0;
#else
    virtual bool DoInit(const WriterInfo& info, int num_fields, const threading::Field* const* fields) = 0;
#endif
#ifdef WRONG_ORDER
    virtual bool DoSetBuf(bool enabled) = 0;
#endif
    virtual bool DoWrite(int num_fields, const threading::Field* const* fields, threading::Value** vals) = 0;
#ifndef WRONG_ORDER
    virtual bool DoSetBuf(bool enabled) = 0;
#endif
#if FUTURE_VIRTUAL == 2
    virtual bool DoPrepare() {
        return true;
    }
#endif
    virtual bool DoFlush(double network_time) = 0;
    virtual bool DoRotate(const char* rotated_path, double open, double close, bool terminating) = 0;
    virtual bool DoFinish(double network_time) = 0;
#if HOST_VERSION >= 80002
    virtual bool DoHeartbeat(double network_time, double current_time);
#else
    virtual bool DoHeartbeat(double network_time, double current_time) = 0;
#endif
#if FUTURE_VIRTUAL == 3
    virtual bool DoPrepare() {
        return true;
    }
#endif
#ifdef WRONG_MORE_TO_DEFINE
    virtual bool DoReopen() = 0;
#endif

private:
    WriterFrontend* const frontend;
    WriterInfo* const info;
    int num_fields = 0;
    const threading::Field* const* fields = nullptr;
    bool buffering = true;
    std::atomic<int> rotations{0};
    bool send_heartbeats = true;
};

} // namespace logging
THREADS_END
