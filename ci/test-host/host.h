// The program's own access to the host it plays.
#pragma once

#include "include/ID.h"
#include "include/iosource/Manager.h"
#include "include/logging/WriterFrontend.h"
#include "include/plugin/Plugin.h"

#include <string>
#include <vector>

// Tells the program of something: what was said to the user ("info", "warning", "error"), or what a
// host does ("host"). `who` is the thread's name, empty for the main thread. Each program defines this.
void report(const std::string& level, const std::string& who, const std::string& text);

// Defines (or redefines) the script-level variable of that full name.
void set_global(const std::string& name, TYPES Val* value);

// Makes the host begin to end.
void set_terminating();

// Returns true if `what` is to go wrong, or, if it is null, anything: the environment variable WRONG says
// what. Memory is not given back then, as pointers may lead nowhere.
bool must_go_wrong(const char* what = nullptr);

// An address that nothing is at.
void* nowhere();

TYPES_BEGIN
namespace plugin {

// Loads and starts plugins.
class Manager {
public:
    // Loads a shared object: the plugin in it, or null with the reason in *error.
    static Plugin* Load(const std::string& library, std::string* error);

    // What a host does after its scripts are parsed, and at its end.
    static void Start(Plugin* plugin);

    // A round of the main loop. Returns how long the host may sleep now, in seconds, or -1 if
    // nobody cares.
    static double Round(Plugin* plugin);
    static void Finish(Plugin* plugin);

private:
    static Plugin* BuiltIn();
    static bool IsForOther(const Plugin* plugin);
};

} // namespace plugin
TYPES_END

THREADS_BEGIN
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

    // Has a job done on the thread. A job that returns false means that the writer has failed.
    void Send(std::function<bool(WriterBackend&)> job);

    // Takes a record over, sends it, and frees it right after the backend has written it. `spoil`
    // damages the record on purpose before it is sent.
    typedef std::vector<threading::Value*> Record;
    void Write(const Record& record, const std::function<void(Record&)>& spoil = nullptr);

    // Puts a record into the frontend's buffer. Takes it over.
    void Buffer(const Record& record);

    // How often the frontend's buffer was emptied.
    int Flushes() const { return frontend.TestHostFlushes(); }

    void Heartbeat(double network_time);
    void SetBuf(bool enabled);
    void Flush(double network_time);
    void Rotate(double now);
    void Finish();

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
    WriterFrontend frontend;
    WriterBackend* backend;
    bool finished = false;
};

} // namespace logging
THREADS_END
