#include "host.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <memory>

#include "bzw_families.h" // from build.rs: `families`, `last_known`
#include "image.h"
#include "values.h"

namespace bzw {
namespace portable {

namespace {

template <class... Parts> [[noreturn]] void refuse(const Parts&... parts) {
    Refusal refusal;
    (refusal.what.append(parts), ...);
    throw refusal;
}

// No class of a host's has a mangled name as long.
constexpr std::size_t longest_class_name = 256;

template <std::size_t N> bool is_one_of(const char* name, const char* const (&names)[N]) {
    return std::any_of(names, names + N, [&](const char* other) { return std::strcmp(name, other) == 0; });
}

std::string text_of(Version version) {
    return std::to_string(version.major) + "." + std::to_string(version.minor);
}

std::string readable(const char* name) {
    int status;
    std::unique_ptr<char, void (*)(void*)> plain(abi::__cxa_demangle(name, nullptr, nullptr, &status),
                                                 std::free);
    return status == 0 && plain ? std::string(plain.get()) : std::string(name);
}

// An object's room, filled with something that its constructor would not write.
class Room {
public:
    Room(void* arg_start, std::size_t arg_size)
        : start(static_cast<unsigned char*>(arg_start)), size(arg_size) {
        std::memset(start, untouched, size);
    }

    bool Untouched(std::size_t offset) const { return start[offset] == untouched; }

    bool LargeEnough() const {
        for (std::size_t i = size / 2; i < size; ++i)
            if (start[i] != untouched)
                return false;
        return true;
    }

private:
    static constexpr unsigned char untouched = 0xa5;

    unsigned char* start;
    std::size_t size;
};

// Reads a number off the front of a name that has it in the form "_8".
bool take_number(const char** name, int* number) {
    if (**name != '_')
        return false;
    char* end;
    const long value = std::strtol(*name + 1, &end, 10);
    if (end == *name + 1 || value < 0 || value > 1000)
        return false;
    *name = end;
    *number = static_cast<int>(value);
    return true;
}

} // namespace

class Host::Finder {
public:
    Finder(const Image& arg_image, const std::string& arg_host) : image(arg_image), host(arg_host) {}

    template <class Type> void Set(Type* function, const char* name) const {
        // A pointer to a function and one to data are the same here, as for dlsym().
        *function = reinterpret_cast<Type>(const_cast<void*>(Function(name)));
    }

    Word Address(const char* name) const { return reinterpret_cast<Word>(Function(name)); }

    template <class Type> const Type* Data(const char* name, std::size_t* size) const {
        const void* found = image.Data(name, size);
        if (!found)
            Miss(name);
        if (reinterpret_cast<Word>(found) % alignof(Type) != 0)
            refuse(host, " has a ", readable(name), " that is not aligned");
        return static_cast<const Type*>(found);
    }

    const Word* Vtable(const char* name, std::size_t* words) const {
        std::size_t size;
        const Word* table = Data<Word>(name, &size);
        if (size % sizeof(Word) != 0 || size < 4 * sizeof(Word) || size > vtable_room * sizeof(Word))
            refuse(host, " has a ", readable(name), " of ", std::to_string(size), " bytes");
        *words = size / sizeof(Word);
        if (table[0] != 0 || table[1] == 0)
            refuse(host, " has a ", readable(name), " that does not start as one");
        return table;
    }

    // The slot in which a vtable has a function.
    std::size_t Slot(const Word* table, std::size_t words, const char* name) const {
        const Word address = Address(name);
        for (std::size_t i = vtable_header; i < words; ++i)
            if (table[i] == address)
                return i;
        refuse(host, " has ", readable(name), " in no slot of its class");
    }

    // The slot in which a vtable has the first of its two destructors (ABI section 2.5.2). Only the
    // second, which also gives back the memory, is always the class's own: some compilers put a base
    // class's into the first slot (clang, when there is nothing more to do).
    std::size_t Destructors(const Word* table, std::size_t words, const char* deleting) const {
        const std::size_t slot = Slot(table, words, deleting) - 1;
        if (slot < vtable_header || !image.IsCode(table[slot]))
            refuse(host, " has nothing in front of ", readable(deleting), " in its class");
        return slot;
    }

private:
    const void* Function(const char* name) const {
        if (const void* found = image.Function(name))
            return found;
        Miss(name);
    }

    // Names what is missing, or what would explain its absence.
    [[noreturn]] void Miss(const char* name) const {
        if (std::strstr(name, BZW_STRING)) {
            if (image.Name("_ZN", "7logging9ComponentC1ERKSs"))
                refuse(
                    host,
                    " was built with the old std::string of the GNU C++ library (_GLIBCXX_USE_CXX11_ABI=0)");
            if (image.Name("_ZN", "NSt3__112basic_string"))
                refuse(host, " was built with another C++ library, libc++");
        }
        refuse(host, " does not export ", readable(name), " (", name, ")");
    }

    const Image& image;
    const std::string& host;
};

namespace {

// The version as the host spells it, "8.0.10": a variable, char version[].
std::string version_variable(const Image& image) {
    std::size_t size;
    const auto* text = static_cast<const char*>(image.Data("version", &size));
    if (!text || size < 4 || size > 64 || text[size - 1] != '\0')
        return {};
    return text;
}

// Finds the program's version. The one function that every plugin built from headers asks for
// has the version in its name; Bro 2.5 has no such function, but the variable.
Version find_version(const Image& image, std::string* text, const char* (**function)(),
                     bool* in_development) {
    *function = nullptr;
    *in_development = false;
    *text = version_variable(image);
    const char* name = image.Name("zeek_version_", "_plugin_");
    if (!name)
        name = image.Name("bro_version_", "_plugin_");

    Version version{0, 0};
    if (name) {
        const char* identifier = std::strstr(name, "_version_") + std::strlen("_version_");
        const char* rest = identifier - 1;
        if (!take_number(&rest, &version.major) || !take_number(&rest, &version.minor))
            refuse("the host's ", name, " is not named after a version");
        if (std::strstr(rest, "_debug"))
            refuse("the host was built for debugging (", name, ")");
        if (std::strstr(rest, "_dev") || std::strstr(rest, "_git"))
            *in_development = true;
        *function = reinterpret_cast<const char* (*)()>(const_cast<void*>(image.Function(name)));
        if (!*function)
            refuse("the host's table of symbols is damaged (", name, ")");
        const char* told = (*function)();
        if (!told || std::strcmp(told, identifier) != 0)
            refuse("the host's ", name, " says \"", told ? told : "", "\"");
        if (text->empty())
            *text = text_of(version);
    } else if (!text->empty()) {
        char* end;
        version.major = static_cast<int>(std::strtol(text->c_str(), &end, 10));
        version.minor = *end == '.' ? static_cast<int>(std::strtol(end + 1, &end, 10)) : 0;
        if (!(version < Version{2, 6}))
            refuse("the host says that it is version \"", *text,
                   "\", but has no function that is named after it");
        *in_development = std::strchr(text->c_str(), '-') != nullptr;
    } else {
        refuse("the program is neither Bro nor Zeek, or it does not export its functions");
    }

    const std::string start = text_of(version);
    if (text->compare(0, start.size(), start) != 0 ||
        std::isdigit(static_cast<unsigned char>((*text)[start.size()])))
        refuse("the host says that it is version \"", *text, "\", and also that it is ", start);
    return version;
}

// Chooses the names by which the program is searched: those of which it has the most.
const Names& names_of(const Image& image) {
    const Names* best = nullptr;
    std::size_t most = 0;
    for (const Names* names : all_names) {
        std::size_t found = 0;
        std::size_t size;
        for (const char* one : {names->component_constructor, names->none_instantiate, names->type_name})
            found += image.Function(one) ? 1 : 0;
        for (const char* one : {names->none_plugin_vtable, names->none_vtable, names->format_vtable})
            found += image.Data(one, &size) ? 1 : 0;
        if (!best || found > most) {
            best = names;
            most = found;
        }
    }
    return *best;
}

// How many slots of a vtable have a function.
std::size_t count(const Word* table, std::size_t words, Word function) {
    return static_cast<std::size_t>(std::count(table + vtable_header, table + words, function));
}

// Returns true if an object of the host has an empty std::string at an offset.
bool is_empty_string(const char* object, std::size_t offset) {
    struct {
        const char* data;
        std::size_t length;
    } string;
    std::memcpy(&string, object + offset, sizeof string);
    return string.data == object + offset + sizeof string && string.length == 0;
}

// Returns true if the library knows a layout. How large columns and values are in all shows
// nowhere, and makes no difference: both are only reached by pointers.
bool is_known(const bzw_layout& layout) {
    bzw_layout one;
    one.struct_size = sizeof one;
    for (std::uint32_t i = 0; bzw_layout_known(i, &one); ++i) {
        one.field_size = layout.field_size;
        one.value_size = layout.value_size;
        if (std::memcmp(&one, &layout, sizeof one) == 0)
            return true;
    }
    return false;
}

std::size_t configuration_size(Version version) {
    if (version < Version{2, 6})
        return sizeof(Configuration25);
    if (version < Version{3, 0})
        return sizeof(Configuration26);
    if (version < Version{5, 1})
        return sizeof(Configuration30);
    if (version < Version{6, 1})
        return sizeof(Configuration51);
    return sizeof(Configuration61);
}

// The newest version before this one that has another Configuration.
Version version_with_older_configuration(Version version) {
    Version before = version;
    while (configuration_size(before) == configuration_size(version) && families[0] < before)
        before = before.minor > 0 ? Version{before.major, before.minor - 1} : Version{before.major - 1, 9};
    return before;
}

} // namespace

Host::Host() {
    Image image;
    if (!image.Open())
        refuse("the host has no table of symbols (DT_GNU_HASH)");
    if (image.Loader() && std::strstr(image.Loader(), "musl"))
        refuse("the host uses another C library, musl (", image.Loader(), ")");

    for (const auto& instrumentation : instrumentations)
        if (image.Mentions(instrumentation[0]))
            refuse("the host was built with ", instrumentation[1]);

    bool in_development;
    version = find_version(image, &version_text, &version_function, &in_development);
    name = (version < Version{3, 0} ? "Bro " : "Zeek ") + version_text;
    const std::string& host = name;
    if (version < families[0])
        refuse(host, " is older than ", text_of(families[0]), ", the first version known to this plugin");
    if (last_known < version)
        why_unknown = "it is newer than " + text_of(last_known) + ", the last version known to this plugin";
    else if (in_development)
        why_unknown = "it is a version under development";

    const Finder find(image, host);
    names = &names_of(image);
    const Names& names = *this->names;

    // This function comes first, since its name shows the C++ library.
    find.Set(&component_constructor, names.component_constructor);

    const Memory memory;
    if (!memory.Usable())
        refuse("there is no file descriptor left; raise the limit (ulimit -n)");
    Reads reads;
    find.Set(&reads.type_name, names.type_name);
    find.Set(&reads.field, names.field_read);
    find.Set(&reads.value, names.value_read);
    reads.format_vtable = find.Vtable(names.format_vtable, &reads.format_vtable_words);
    for (std::size_t i = 0; i < sizeof reads.format_reads / sizeof *reads.format_reads; ++i)
        reads.format_reads[i] = find.Address(names.format_reads[i]);
    layout = find_layout(reads, memory, host);
    if (!is_known(layout)) {
        own_layout = describe(layout);
        why_unknown = "no version known to this plugin lays out log records as it does (" + own_layout + ")";
    }

    // The host's own plugin for "None" was made long ago, and can be looked at. It defines
    // Configure only, and nothing else must a plugin define.
    plugin_vtable = find.Vtable(names.none_plugin_vtable, &plugin_vtable_words);
    configure_slot = find.Slot(plugin_vtable, plugin_vtable_words, names.none_plugin_configure);
    const Word pure = reinterpret_cast<Word>(&abi::__cxa_pure_virtual);
    std::size_t words;
    const Word* base_vtable = find.Vtable(names.plugin_vtable, &words);
    const std::size_t to_configure = count(base_vtable, words, pure);
    if (words != plugin_vtable_words || to_configure != 1 || base_vtable[configure_slot] != pure)
        refuse(host, " has plugins with ", std::to_string(to_configure), " functions to define, of ",
               std::to_string(words), " in all; expected is Configure, of ",
               std::to_string(plugin_vtable_words));

    const auto* object = find.Data<Object>(names.none_plugin_object, &plugin_size);
    const auto* sample = reinterpret_cast<const char*>(object);
    if (object->functions != plugin_vtable + vtable_header)
        refuse(host, " has plugins that do not start with their virtual functions");
    // A version under development may still have the Configuration of the version before.
    configuration_of = version;
    const auto fits = [&] {
        const std::size_t base_directory = sizeof(Object) + configuration_size(configuration_of);
        return plugin_size >= base_directory + 2 * sizeof(std::string) && plugin_size <= largest_plugin &&
               is_empty_string(sample, base_directory) &&
               is_empty_string(sample, base_directory + sizeof(std::string));
    };
    if (in_development && !fits())
        configuration_of = version_with_older_configuration(version);
    if (!fits())
        refuse(host, " has a plugin::Configuration that is not one of ",
               std::to_string(configuration_size(version)), " bytes");
    // The API version is that of the headers that a plugin was compiled with: the host's own plugin has
    // the host's.
    Configuration25 configuration;
    const auto api_version_at = reinterpret_cast<const char*>(&configuration.api_version) -
                                reinterpret_cast<const char*>(&configuration);
    std::memcpy(&api_version, sample + sizeof(Object) + api_version_at, sizeof api_version);

    // "None" has all that a writer needs, under names that can be looked up. Its base class
    // must leave open just these slots: whatever else a newer version may want of a writer
    // cannot be known here.
    none_vtable = find.Vtable(names.none_vtable, &none_vtable_words);
    const Word* backend_vtable = find.Vtable(names.backend_vtable, &words);
    if (words != none_vtable_words)
        refuse(host, " has writers with ", std::to_string(words), " functions, and ",
               std::to_string(none_vtable_words), " in ", readable(names.none_vtable));
    // DoHeartbeat need not be defined from 8.0.2 on, a patch release.
    const bool heartbeat_is_pure = !image.Function(names.backend_do_heartbeat);
    const std::size_t to_define = heartbeat_is_pure ? 7 : 6;

    // The functions to define come in any order and with anything between them. Where a linker has made
    // one function of several that do nothing, they come in the order of their declaration.
    bool taken[vtable_room] = {};
    for (std::size_t i = 0; i < to_define; ++i) {
        const Word address = find.Address(names.none_do[i]);
        std::size_t slot = vtable_header;
        while (slot < words && (taken[slot] || backend_vtable[slot] != pure || none_vtable[slot] != address))
            ++slot;
        if (slot == words)
            refuse(host, " has writers that need not define ", readable(names.none_do[i]));
        taken[slot] = true;
        slots[i] = slot;
    }
    for (std::size_t slot = vtable_header; slot < words; ++slot) {
        if (backend_vtable[slot] != pure || taken[slot])
            continue;
        const char* more = image.NameOf(none_vtable[slot]);
        refuse(host, " has writers with more functions to define than are known: ",
               more ? readable(more) : "one without a name");
    }
    destructor_slot = find.Destructors(none_vtable, none_vtable_words, names.none_deleting_destructor);

    // Where DoHeartbeat need not be defined, "None" is a writer that gets no heartbeats.
    heartbeat_slot = 0;
    thread_heartbeat = find.Address(names.thread_heartbeat);
    if (!heartbeat_is_pure) {
        const Word address = find.Address(names.backend_do_heartbeat);
        std::size_t slot = slots[do_finish];
        do
            slot = slot + 1 < words ? slot + 1 : vtable_header;
        while (slot != slots[do_finish] && (backend_vtable[slot] != address || none_vtable[slot] != address));
        if (slot == slots[do_finish])
            refuse(host, " has ", readable(names.backend_do_heartbeat), " in no slot of its class");
        slots[do_heartbeat] = slot;
        heartbeat_slot = find.Slot(none_vtable, none_vtable_words, names.backend_heartbeat);
    }

    component_vtable = find.Vtable(names.component_vtable, &component_vtable_words);
    component_destructor_slot =
        find.Destructors(component_vtable, component_vtable_words, names.component_deleting_destructor);

    find.Set(&plugin_constructor, names.plugin_constructor);
    find.Set(&plugin_add_component, names.plugin_add_component);
    find.Set(&none_instantiate, names.none_instantiate);
    find.Set(&finished_rotation, names.backend_finished_rotation);
    find.Set(&thread_info, names.thread_info);
    find.Set(&thread_warning, names.thread_warning);
    find.Set(&thread_error, names.thread_error);

    std::size_t size;
    terminating = find.Data<bool>(names.terminating, &size);
    if (size != sizeof *terminating)
        refuse(host, " has a ", readable(names.terminating), " of ", std::to_string(size), " bytes");

    telemetry_manager = static_cast<void* const*>(image.Data(telemetry_manager_name, &size));
    counter = reinterpret_cast<MakeMetric>(const_cast<void*>(image.Function(counter_name)));
    gauge = reinterpret_cast<MakeMetric>(const_cast<void*>(image.Function(gauge_name)));
    if (!telemetry_manager || size != sizeof *telemetry_manager || !counter || !gauge)
        telemetry_manager = nullptr;

    option_value = nullptr;
    find_variable = nullptr;
    find_value = nullptr;
    if (names.option_value) {
        find.Set(&option_value, names.option_value);
    } else {
        find.Set(&find_variable, names.find_variable);
        find.Set(&find_value, names.find_value);
    }
    find.Set(&value_describe, names.value_describe);
    find.Set(&text_constructor, names.text_constructor);
    find.Set(&text_destructor, names.text_destructor);
    find.Set(&text_add, names.text_add);

    try {
        FindLoop(find);
    } catch (const Refusal& refusal) {
        // Records are sent without this, but later.
        why_no_flush = refusal.what;
    }

    // A text that is put in must come out.
    constexpr char sentence[] = "The text of LogZeroMQ's options.";
    alignas(64) unsigned char room[text_room];
    Room whole(room, sizeof room);
    text_constructor(room, 0, nullptr);
    text_add(room, sentence, 0);
    Text text;
    std::memcpy(&text, room, sizeof text);
    // `type` and `style` are two bytes, with nothing behind them, or two words.
    style_at = whole.Untouched(2) && whole.Untouched(3) ? 1 : offsetof(Text, style);
    char copy[sizeof sentence - 1];
    const bool same = whole.LargeEnough() && room[style_at] == 0 && text.length == sizeof copy &&
                      memory.Read(text.bytes, copy, sizeof copy) &&
                      std::memcmp(copy, sentence, sizeof copy) == 0;
    if (!same)
        refuse(host, " collects text otherwise than expected (ODesc)");
    text_destructor(room);
}

void Host::FindLoop(const Finder& find) {
    const Names& names = *this->names;
    drain_events_slot = 0;
    source_vtable = nullptr;
    find.Set(&flush_frontend, names.frontend_flush);
    find.Set(&signal_stop, names.thread_on_signal_stop);
    signal_stop_slot = find.Slot(none_vtable, none_vtable_words, names.thread_on_signal_stop);
    if (version < Version{3, 1}) {
        const Word address = find.Address(drain_events);
        if (plugin_vtable_words <= portable::drain_events_slot ||
            plugin_vtable[portable::drain_events_slot] != address)
            refuse(name, " has ", readable(drain_events), " in another slot of its class than expected");
        find.Set(&enable_hook, portable::enable_hook);
        drain_events_slot = portable::drain_events_slot;
        return;
    }
    std::size_t size;
    sources = find.Data<void*>(names.sources, &size);
    find.Set(&register_source, names.sources_register);
    // The functions that AddSource() does not replace are the base class's, and do nothing.
    const Word* vtable = find.Vtable(names.source_vtable, &source_vtable_words);
    if (source_vtable_words > most_source_words)
        refuse(name, " has sources with ", std::to_string(source_vtable_words), " virtual functions");
    // A linker may make one function of several that do the same. No other does what Process does.
    source_process_slot = find.Slot(vtable, source_vtable_words, names.source_process);
    source_timeout_slot = source_process_slot - 1;
    source_tag_slot = source_vtable_words - 1;
    if (vtable[source_timeout_slot] != find.Address(names.source_timeout) ||
        vtable[source_tag_slot] != find.Address(names.source_tag) || source_tag_slot <= source_process_slot)
        refuse(name, " has ", readable(names.source_timeout), " in another slot of its class than expected");
    source_vtable = vtable;
}

void Host::AddSource(double (*next)(void* source)) const {
    // An object of a class of our own, larger than the host's base class in any version. The host
    // keeps it until it ends, and does not delete it.
    struct Source {
        const Word* functions;
        Word members[8];
        Word vtable[vtable_room];
    };
    auto* source = new Source();
    std::memcpy(source->vtable, source_vtable, source_vtable_words * sizeof(Word));
    const auto nothing = static_cast<void (*)(void*)>([](void*) {});
    const auto tag = static_cast<const char* (*)(void*)>([](void*) { return "NCSA::ZeroMQWriter"; });
    source->vtable[vtable_header] = source->vtable[vtable_header + 1] = reinterpret_cast<Word>(nothing);
    source->vtable[source_timeout_slot] = reinterpret_cast<Word>(next);
    source->vtable[source_process_slot] = reinterpret_cast<Word>(nothing);
    source->vtable[source_tag_slot] = reinterpret_cast<Word>(tag);
    source->functions = source->vtable + vtable_header;
    register_source(*sources, source, true, false);
}

void* Host::MakeComponent(const std::string& kind, void* (*factory)(void* frontend)) const {
    // The component's table is a copy of the class's, with a destructor that gives back the memory
    // taken here: the class's own would give back as much as the class has.
    struct Table {
        const Host* host;
        Word words[vtable_room];
    };
    static Table table;
    table.host = this;
    std::memcpy(table.words, component_vtable, component_vtable_words * sizeof(Word));
    table.words[component_destructor_slot + 1] = reinterpret_cast<Word>(+[](void* component) {
        reinterpret_cast<void (*)(void*)>(
            table.host->component_vtable[table.host->component_destructor_slot])(component);
        ::operator delete(component);
    });

    void* component = ::operator new(component_room);
    Room room(component, component_room);
    component_constructor(component, kind, factory);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < component_room / sizeof(Word); ++i)
        if (static_cast<const Word*>(component)[i] == reinterpret_cast<Word>(factory))
            ++kept;
    auto* object = static_cast<Object*>(component);
    if (!room.LargeEnough() || kept != 1 || object->functions != component_vtable + vtable_header)
        refuse("the host keeps what makes a writer otherwise than expected (logging::Component)");
    object->functions = table.words + vtable_header;
    return component;
}

void Host::AddMetrics(const std::string& path) const {
    const auto make = [this](MakeMetric metric) {
        return [this, metric](const char* what, MetricLabels labels, const char* help,
                              const std::function<double()>& read) {
            metric(*telemetry_manager, "zeek", what, labels, help, "", read);
        };
    };
    add_metrics_of(path, make(counter), make(gauge));
}

bool Host::Option(const Memory& memory, const std::string& variable, std::string* text) const {
    const void* value = nullptr;
    if (option_value) {
        value = option_value(variable.c_str());
    } else {
        // find_value() ends the host if there is no such variable.
        const void* found = nullptr;
        if (!memory.Read(find_variable(variable), &found))
            refuse("a script variable is not where it should be");
        if (found && !memory.Read(find_value(variable), &value))
            refuse("a script variable's value is not where it should be");
    }
    if (!value)
        return false;

    // The value's class: the type's information is in front of the virtual functions, and
    // has a name behind a pointer to virtual functions of its own (ABI section 2.9.4).
    Object object;
    struct TypeInfo {
        const Word* functions;
        const char* name;
    } info;
    const TypeInfo* type;
    if (!memory.Read(value, &object) || !memory.Read(object.functions - 1, &type) ||
        !memory.Read(type, &info) || !memory.String(info.name, longest_class_name))
        refuse("a script variable's value is no object");
    const bool is_string = is_one_of(info.name, string_classes);
    if (!is_string && !is_one_of(info.name, other_classes))
        return false;

    alignas(64) unsigned char room[text_room];
    std::memset(room, 0, sizeof room);
    text_constructor(room, 0, nullptr);
    if (is_string)
        room[style_at] = raw_style;
    value_describe(value, room);
    Text collected;
    std::memcpy(&collected, room, sizeof collected);
    text->assign(collected.bytes ? collected.bytes : "", collected.bytes ? collected.length : 0);
    text_destructor(room);
    return true;
}

} // namespace portable
} // namespace bzw
