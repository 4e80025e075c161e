#pragma once

#include "test-host-config.h"

TEST_HOST_BEGIN

// What the script layer's objects have in common: a count of who holds them.
class Obj {
public:
    Obj() {}
    virtual ~Obj();
    Obj(const Obj&) = delete;
    Obj& operator=(const Obj&) = delete;

    int references = 1;
};

inline void Ref(Obj* object) {
    ++object->references;
}

inline void Unref(Obj* object) {
    if (object != nullptr && --object->references == 0)
        delete object;
}

TEST_HOST_END
