#pragma once

#include "Obj.h"

#include <cstddef>

TYPES_BEGIN

// Holds one reference to an object.
template <class T> class IntrusivePtr {
public:
    IntrusivePtr() = default;
    IntrusivePtr(std::nullptr_t) {}
    // Takes over the caller's reference.
    explicit IntrusivePtr(T* object) : held(object) {}
    IntrusivePtr(const IntrusivePtr& other) : held(other.held) {
        if (held != nullptr)
            Ref(held);
    }
    IntrusivePtr& operator=(const IntrusivePtr& other) {
        if (other.held != nullptr)
            Ref(other.held);
        Unref(held);
        held = other.held;
        return *this;
    }
    ~IntrusivePtr() { Unref(held); }

    T* get() const { return held; }
    T* operator->() const { return held; }
    T& operator*() const { return *held; }
    explicit operator bool() const { return held != nullptr; }

private:
    T* held = nullptr;
};

template <class T> bool operator==(const IntrusivePtr<T>& pointer, std::nullptr_t) {
    return pointer.get() == nullptr;
}

template <class T> bool operator!=(const IntrusivePtr<T>& pointer, std::nullptr_t) {
    return pointer.get() != nullptr;
}

TYPES_END
