#pragma once

#include "../test-host-config.h"

#include <stdint.h>

#include <string>

TEST_HOST_BEGIN

namespace plugin {

namespace component {
enum Type TEST_HOST_ENUM_BASE { READER, WRITER, ANALYZER };
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

private:
    component::Type type;
    std::string name;
    std::string canonical_name;
};

} // namespace plugin
TEST_HOST_END
