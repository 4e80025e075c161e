// Script-level values, as far as a plugin's options need them: bool, int, count,
// double, interval, enum and string.
#pragma once

#include "IntrusivePtr.h"
#include "Type.h"
#include "util.h"

#include <string>
#include <vector>

TEST_HOST_BEGIN

// A script-level string's bytes. (BroString up to Zeek 3, zeek::String from 4.0 on.)
class TestHostString {
public:
    explicit TestHostString(const std::string& arg_text) : text(arg_text) {}
    int Len() const { return static_cast<int>(text.size()); }
    const unsigned char* Bytes() const { return reinterpret_cast<const unsigned char*>(text.data()); }

private:
    std::string text;
};

#if TEST_HOST_VERSION >= 40000
typedef TestHostString String;
#else
typedef TestHostString BroString;
#endif

class EnumType;
class StringVal;

#if TEST_HOST_VERSION >= 40000
class Type : public Obj {
public:
    explicit Type(TypeTag arg_tag) : tag(arg_tag) {}
#else
class BroType : public Obj {
public:
    explicit BroType(TypeTag arg_tag) : tag(arg_tag) {}
#endif
    TypeTag Tag() const {
        return tag;
    }
    const EnumType* AsEnumType() const;

private:
    TypeTag tag;
};

#if TEST_HOST_VERSION >= 40000
typedef Type TestHostType;
#else
typedef BroType TestHostType;
#endif

class EnumType : public TestHostType {
public:
    explicit EnumType(const std::vector<std::string>& arg_names)
        : TestHostType(TYPE_ENUM), names(arg_names) {}
    // The full name of an enumerator, or null.
    const char* Lookup(int64_t number) const;

private:
    std::vector<std::string> names;
};

typedef IntrusivePtr<TestHostType> TypePtr;

class Val : public Obj {
public:
    Val(TypeTag tag, int64_t number);
    Val(TypeTag tag, double number);

#if TEST_HOST_VERSION >= 40000
    const TypePtr& GetType() const {
        return type;
    }
#else
    const BroType* Type() const {
        return type.get();
    }
#endif

    bool AsBool() const {
        return integer != 0;
    }
    int AsEnum() const {
        return static_cast<int>(integer);
    }
    int64_t AsInt() const {
        return integer;
    }
    uint64_t AsCount() const {
        return static_cast<uint64_t>(integer);
    }
    double InternalDouble() const {
        return real;
    }
    const TestHostString* AsString() const;
    const StringVal* AsStringVal() const;

private:
    TypePtr type;
    int64_t integer = 0;
    double real = 0;
};

class StringVal : public Val {
public:
    explicit StringVal(const std::string& text);

    int Len() const { return string.Len(); }
    const unsigned char* Bytes() const { return string.Bytes(); }
    std::string ToStdString() const;

private:
    friend class Val;
    TestHostString string;
};

typedef IntrusivePtr<Val> ValPtr;

TEST_HOST_END
