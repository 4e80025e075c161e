#pragma once

#include "test-host-config.h"

#include <cstring>

THREADS_BEGIN

// A copy on the heap, to be freed with delete[]; null stays null.
inline char* copy_string(const char* text) {
    if (text == nullptr)
        return nullptr;
    const size_t size = strlen(text) + 1;
    return static_cast<char*>(memcpy(new char[size], text, size));
}

// Orders the keys of WriterInfo::config by their text.
struct CompareString {
    bool operator()(const char* left, const char* right) const { return strcmp(left, right) < 0; }
};

THREADS_END
