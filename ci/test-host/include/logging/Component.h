#pragma once

#include "../plugin/Component.h"

#include <string>

TEST_HOST_BEGIN
namespace logging {

class WriterFrontend;
class WriterBackend;

// Tells the host that a plugin provides a log writer.
class Component : public plugin::Component {
public:
    typedef WriterBackend* (*factory_callback)(WriterFrontend* frontend);

    Component(const std::string& name, factory_callback factory);
    factory_callback Factory() const { return factory; }

private:
    factory_callback factory;
};

} // namespace logging
TEST_HOST_END
