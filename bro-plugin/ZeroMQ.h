// The log writer: hands the host's records to the Rust library and its messages back.
#ifndef BZW_ZEROMQ_H
#define BZW_ZEROMQ_H

#include "compat.h"
#include "writer.h"

namespace bzw {

class ZeroMQ : public host::logging::WriterBackend {
public:
    // Runs on the host's main thread, the only one that may read script variables.
    explicit ZeroMQ(host::logging::WriterFrontend* frontend);

    // Null if there is no memory for a writer.
    static host::logging::WriterBackend* Instantiate(host::logging::WriterFrontend* frontend);

protected:
    // From here on everything runs on the writer's own thread.
    bool DoInit(const WriterInfo& info, int num_fields, const host::threading::Field* const* fields) override;
    bool DoWrite(int num_fields, const host::threading::Field* const* fields,
                 host::threading::Value** vals) override;
    bool DoSetBuf(bool enabled) override;
    bool DoFlush(double network_time) override;
    bool DoRotate(const char* rotated_path, double open, double close, bool terminating) override;
    bool DoFinish(double network_time) override;
    bool DoHeartbeat(double network_time, double current_time) override;

    // Main thread: what a frontend calls last, before the host deletes it.
    void OnSignalStop() override;

private:
    friend class LogWriter<ZeroMQ>;
    static bool Ends() { return host::terminating(); }
    void Tell(int level, const char* message);

    LogWriter<ZeroMQ> log;
};

} // namespace bzw

#endif
