#pragma once

#include "../plugin/Component.h"

#include <string>

THREADS_BEGIN
namespace logging {

class WriterFrontend;
class WriterBackend;

// Tells the host that a plugin provides a log writer.
class Component : public TYPES plugin::Component {
public:
    typedef WriterBackend* (*factory_callback)(WriterFrontend* frontend);

    Component(const std::string& name, factory_callback factory);
    ~Component() override;
    factory_callback Factory() const { return factory; }

private:
#if WRONG_COMPONENT == 1
    char more[1500] = {};
#endif
    factory_callback factory;
#if WRONG_COMPONENT == 2
    factory_callback another = factory;
#endif
};

} // namespace logging
THREADS_END
