#pragma once

#include "WriterBackend.h"

TEST_HOST_BEGIN
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

private:
    std::string name;
    WriterBackend::WriterInfo info;
};

} // namespace logging
TEST_HOST_END
