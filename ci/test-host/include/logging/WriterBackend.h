#pragma once

#include "../threading/MsgThread.h"
#include "../threading/SerialTypes.h"
#include "Component.h"

#include <map>
#include <string>
#include <vector>

TEST_HOST_BEGIN
namespace logging {

class WriterFrontend;

// What a log writer derives from. The public half is called on the writer's thread.
class WriterBackend : public threading::MsgThread {
public:
#if TEST_HOST_VERSION >= 80000
    explicit WriterBackend(WriterFrontend* frontend, bool send_heartbeats = true);
#else
    explicit WriterBackend(WriterFrontend* frontend);
#endif
    ~WriterBackend() override;

    struct WriterInfo {
        typedef std::map<const char*, const char*, TEST_HOST_UTIL::CompareString> config_map;

        const char* path = nullptr;
#if TEST_HOST_VERSION >= 70200
        std::string filter_name;
#endif
#if TEST_HOST_VERSION >= 30200
        const char* post_proc_func = nullptr;
#endif
        double rotation_interval = 0.0;
        double rotation_base = 0.0;
        double network_time = 0.0;
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
#if TEST_HOST_VERSION >= 80000
    void Heartbeat() override;
#endif
    virtual bool DoInit(const WriterInfo& info, int num_fields, const threading::Field* const* fields) = 0;
    virtual bool DoWrite(int num_fields, const threading::Field* const* fields, threading::Value** vals) = 0;
    virtual bool DoSetBuf(bool enabled) = 0;
    virtual bool DoFlush(double network_time) = 0;
    virtual bool DoRotate(const char* rotated_path, double open, double close, bool terminating) = 0;
    virtual bool DoFinish(double network_time) = 0;
#if TEST_HOST_VERSION >= 80000
    virtual bool DoHeartbeat(double network_time, double current_time);
#else
    virtual bool DoHeartbeat(double network_time, double current_time) = 0;
#endif

private:
    const WriterInfo info;
    int num_fields = 0;
    const threading::Field* const* fields = nullptr;
    bool buffering = true;
    std::atomic<int> rotations;
#if TEST_HOST_VERSION >= 80000
    bool send_heartbeats;
#endif
};

} // namespace logging
TEST_HOST_END
