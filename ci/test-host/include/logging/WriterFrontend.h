#pragma once

#include "WriterBackend.h"

#include <functional>
#include <vector>

THREADS_BEGIN
namespace logging {

// The main thread's side of a writer.
class WriterFrontend {
public:
    WriterFrontend(const std::string& arg_name, const WriterBackend::WriterInfo& arg_info)
        : name(arg_name), info(arg_info) {}
    WriterFrontend(const WriterFrontend&) = delete;
    WriterFrontend& operator=(const WriterFrontend&) = delete;

    const char* Name() const { return name.c_str(); }
    const WriterBackend::WriterInfo& Info() const { return info; }

    // Sends the writer what is in the buffer. For the main thread.
    void FlushWriteBuffer();

    // Not the host's interface: puts something into the buffer; returns how often the buffer was
    // emptied; says that it must not be emptied any more.
    void TestHostBuffer(std::function<void()> send) { buffer.push_back(std::move(send)); }
    int TestHostFlushes() const { return flushes; }
    void TestHostEnd() { over = true; }

private:
    std::vector<std::function<void()>> buffer;
    int flushes = 0;
    bool over = false;
    std::string name;
    WriterBackend::WriterInfo info;
};

} // namespace logging
THREADS_END
