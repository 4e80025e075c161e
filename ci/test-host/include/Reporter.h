#pragma once

#include "test-host-config.h"

TEST_HOST_BEGIN

// The main thread's way to tell the user something.
class Reporter {
public:
    void Info(const char* format, ...) __attribute__((format(printf, 2, 3)));
    void Warning(const char* format, ...) __attribute__((format(printf, 2, 3)));
    void Error(const char* format, ...) __attribute__((format(printf, 2, 3)));
};

extern Reporter* reporter;

TEST_HOST_END
