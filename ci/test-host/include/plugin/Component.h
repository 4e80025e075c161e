#pragma once

#include "../Desc.h"

#include <stdint.h>

#include <string>

TYPES_BEGIN

namespace plugin {

namespace component {
enum Type BYTE_ENUM { READER, WRITER, ANALYZER };
}

// One thing that a plugin provides.
class Component {
public:
    Component(component::Type type, const std::string& name);
    virtual ~Component();
    Component(const Component&) = delete;
    Component& operator=(const Component&) = delete;

    virtual void Initialize() {}
    component::Type Type() const { return type; }
    const std::string& Name() const { return name; }
    const std::string& CanonicalName() const { return canonical_name; }

protected:
    virtual void DoDescribe(THREADS ODesc*) const {}

private:
    component::Type type;
    std::string name;
    std::string canonical_name;
};

} // namespace plugin
TYPES_END
