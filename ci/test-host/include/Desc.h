#pragma once

#include "test-host-config.h"

#include <string>

TEST_HOST_BEGIN

// Collects an object's text.
class ODesc {
public:
    void Add(const std::string& more) { text += more; }
    const char* Description() const { return text.c_str(); }
    int Len() const { return static_cast<int>(text.size()); }
    const unsigned char* Bytes() const { return reinterpret_cast<const unsigned char*>(text.data()); }

private:
    std::string text;
};

TEST_HOST_END
