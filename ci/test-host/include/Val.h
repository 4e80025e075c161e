// Script-level values, as far as a plugin's options need them.
#pragma once

#include "IntrusivePtr.h"
#include "Type.h"

#include <string>

TYPES_BEGIN

#if HOST_VERSION >= 30200
#define TYPE_CLASS Type
#else
#define TYPE_CLASS BroType

// A string's bytes.
class BroString {
public:
    explicit BroString(const std::string& arg_text) : text(arg_text) {}
    int Len() const { return static_cast<int>(text.size()); }
    const unsigned char* Bytes() const { return reinterpret_cast<const unsigned char*>(text.data()); }

private:
    std::string text;
};
#endif

class EnumType;
class StringVal;

class TYPE_CLASS : public Obj {
public:
    explicit TYPE_CLASS(TypeTag arg_tag) : tag(arg_tag) {}
    TypeTag Tag() const { return tag; }
    const EnumType* AsEnumType() const;

private:
    TypeTag tag;
};

class EnumType : public TYPE_CLASS {
public:
    explicit EnumType(const std::string& arg_name) : TYPE_CLASS(TYPE_ENUM), name(arg_name) {}
    // The full name of an enumerator, or null; the type has one, with number 0.
    const char* Lookup(int64_t number) const { return number == 0 ? name.c_str() : nullptr; }

private:
    std::string name;
};

typedef IntrusivePtr<TYPE_CLASS> TypePtr;

class Val : public Obj {
public:
    Val(TypeTag tag, int64_t number);

    void Describe(THREADS ODesc* d) const override;

#if HOST_VERSION >= 30200
    const TypePtr& GetType() const {
        return type;
    }
#else
    const BroType* Type() const {
        return type.get();
    }
    const BroString* AsString() const;
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
        return static_cast<double>(integer);
    }
    const StringVal* AsStringVal() const;

protected:
    Val(TYPE_CLASS* arg_type, const std::string& arg_text) : text(arg_text), type(arg_type) {}
    virtual void ValDescribe(THREADS ODesc* d) const;

    std::string text;

private:
    TypePtr type;
    int64_t integer = 0;
};

class StringVal : public Val {
public:
    explicit StringVal(const std::string& text);

#if HOST_VERSION >= 30200
    std::string ToStdString() const {
        return text;
    }
#else
    const BroString string;
#endif

protected:
    void ValDescribe(THREADS ODesc* d) const override;
};

class EnumVal : public Val {
public:
    explicit EnumVal(const std::string& name) : Val(new EnumType(name), name) {}
};

class TableVal : public Val {
public:
    explicit TableVal(const std::string& text) : Val(new TYPE_CLASS(TYPE_TABLE), text) {}
};

#if HOST_VERSION >= 40100
class BoolVal : public Val {
    using Val::Val;
};
class IntVal : public Val {
    using Val::Val;
};
class CountVal : public Val {
    using Val::Val;
};
#else
typedef Val BoolVal;
typedef Val IntVal;
typedef Val CountVal;
#endif

typedef IntrusivePtr<Val> ValPtr;

TYPES_END
