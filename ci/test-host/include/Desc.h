#pragma once

#include "test-host-config.h"

#include <stddef.h>
#include <stdint.h>

#include <set>
#include <string>

THREADS_BEGIN

#if HOST_VERSION >= 40000
enum DescType BYTE_ENUM { DESC_READABLE };
class File;
#define DESC_TYPE DescType
#define DESC_FILE File
#else
enum desc_type { DESC_READABLE };
class BroFile;
#define DESC_TYPE desc_type
#define DESC_FILE BroFile
#endif

// Collects the text of objects.
class ODesc {
public:
    explicit ODesc(DESC_TYPE t = DESC_READABLE, DESC_FILE* f = nullptr);
    ~ODesc();
    ODesc(const ODesc&) = delete;
    ODesc& operator=(const ODesc&) = delete;

    void Add(const char* s, int do_indent = 1);
    // Spells out what is not printable.
    void AddBytes(const std::string& s);

private:
    DESC_TYPE type;
    enum Style BYTE_ENUM { STANDARD, RAW } style = STANDARD;
#ifdef WRONG_TEXT
    DESC_FILE* file = nullptr;
#endif
    void* base;
#if HOST_VERSION >= 80000
    size_t offset = 0;
    size_t size;
#else
    unsigned int offset = 0;
    unsigned int size;
#endif
    bool escape = false;
    std::set<std::string> escape_sequences;
    int indent_level = 0;
};

THREADS_END
