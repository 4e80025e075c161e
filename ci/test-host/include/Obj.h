#pragma once

#include "Desc.h"

TYPES_BEGIN

// What the script layer's objects have in common: a text, and a count of who holds them.
class Obj {
public:
    Obj() {}
    virtual ~Obj();
    Obj(const Obj&) = delete;
    Obj& operator=(const Obj&) = delete;

    virtual void Describe(THREADS ODesc*) const {}

    int references = 1;
};

inline void Ref(Obj* object) {
    ++object->references;
}

inline void Unref(Obj* object) {
    if (object != nullptr && --object->references == 0)
        delete object;
}

TYPES_END
