// The program's own access to the host it plays.
#pragma once

#include "include/ID.h"
#include "include/iosource/Manager.h"
#include "include/logging/WriterFrontend.h"
#include "include/plugin/Plugin.h"

#include <string>
#include <vector>

// Something that was said to the user.
struct Report {
    std::string level; // "info", "warning", "error", "fatal"
    std::string who;   // the thread's name, empty for the main thread
    std::string text;
};

void add_report(const std::string& level, const std::string& who, const std::string& text);

// All reports since the last call.
std::vector<Report> take_reports();

// Defines (or redefines) the script-level variable of that full name.
void set_global(const std::string& name, TEST_HOST_NS::Val* value);

// The version function's name, such as "bro_version_2_6_4_plugin_6".
std::string version_function();

TEST_HOST_BEGIN
namespace plugin {

// Finds, loads and starts plugins.
class Manager {
public:
    // Where the directory of a plugin was found by its marker file, and its name.
    struct Found {
        std::string directory;
        std::string name;
    };

    // Searches a directory and those below for marker files, as a host does for each
    // directory of its plugin path.
    static std::vector<Found> Search(const std::string& directory);

    // The shared objects of this machine in a plugin's directory.
    static std::vector<std::string> Libraries(const std::string& directory);

    // Loads a shared object: the plugin in it, or null with the reason in *error.
    static Plugin* Load(const std::string& library, std::string* error);

    // What a host does after its scripts are parsed, and at its end.
    static void Start(Plugin* plugin);

    // A round of the main loop. Returns how long the host may sleep now, in seconds, or -1 if
    // nobody cares.
    static double Round(Plugin* plugin);
    static void Finish(Plugin* plugin);
};

} // namespace plugin

namespace logging {

// One writer as the logging framework runs it: a frontend, a backend made by the
// plugin's factory, and a thread.
class Writer {
public:
    typedef std::vector<const threading::Field*> Fields;

    // Takes over the fields. Starts the thread and has it initialize the backend.
    Writer(Component* component, const std::string& path,
           const std::vector<std::pair<std::string, std::string>>& config, const Fields& fields);
    ~Writer();
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    // Sends a record, and frees it right after the backend has written it. Takes it over.
    typedef std::vector<threading::Value*> Record;
    void Write(Record record);

    // Puts a record into the frontend's buffer. Takes it over.
    void Buffer(Record record);

    // How often that was emptied.
    int Flushes() const { return frontend.TestHostFlushes(); }

    void Heartbeat(double network_time);
    void SetBuf(bool enabled);
    void Flush(double network_time);
    void Rotate(double now);

    // Waits until everything sent so far is done; false when the writer has failed.
    bool Drain();

    // FinishedRotation() calls minus rotations asked for: 0 when all is well.
    int Rotations() const;

    // Ends the writer as a host does at its exit: what is queued is written, the
    // backend's thread finishes and is joined, the backend deleted.
    void SignalStop();
    void Close();

    // Ends the writer as a host does that has killed the thread: nothing is finished.
    void Abandon();

private:
    WriterBackend::WriterInfo MakeInfo(const std::string& path,
                                       const std::vector<std::pair<std::string, std::string>>& config);

    WriterFrontend frontend;
    WriterBackend* backend;
    int num_fields;
};

} // namespace logging
TEST_HOST_END
