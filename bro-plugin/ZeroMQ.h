// The log writer: hands the host's records to the Rust library and its messages back.
#ifndef BZW_ZEROMQ_H
#define BZW_ZEROMQ_H

#include <string>
#include <utility>
#include <vector>

#include "bro_zeromq_writer.h"

#include "compat.h"
#include "flush.h"

namespace bzw {

class ZeroMQ : public host::logging::WriterBackend {
public:
    // Runs on the host's main thread, the only one that may read script variables.
    explicit ZeroMQ(host::logging::WriterFrontend* frontend);
    ~ZeroMQ() override;

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

    // Main thread: the last that a frontend does before the host deletes it.
    void OnSignalStop() override;

private:
    using Options = std::vector<std::pair<std::string, std::string>>;

    static void Report(void* context, int level, const char* message);
    void Say(int level, const char* message) noexcept;
    bool Open(const WriterInfo& info, int num_fields, const host::threading::Field* const* fields);

    // What the host is told of a call into the library: whether the writer can go on.
    bool GoesOn(int code);

    // A writer that cannot be opened stays and drops its records instead of failing: while
    // the host ends, which then could not report it, and in every host before Zeek 7.0,
    // which goes on using a writer that it has deleted because it failed.
    const bool stays = BZW_HOST_VERSION < 700 || host::terminating();
    Frontend frontend;
    Options globals;
    bool have_globals = false;
    bzw_writer* writer = nullptr;
    // The writer knows that the host ends.
    bool ends = false;
};

} // namespace bzw

#endif
