// A subscriber in a process of its own: the program of tests/interop, built with the
// system's libzmq.
#pragma once

#include <sys/types.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

class Subscriber {
public:
    // One message: log path and JSON.
    typedef std::pair<std::string, std::string> Message;

    // Runs `program bind ENDPOINT COUNT TIMEOUT_MS TOPIC` and waits until it is ready.
    Subscriber(const std::string& program, const std::string& endpoint, long count, long timeout_ms,
               const std::string& topic = "");
    ~Subscriber();
    Subscriber(const Subscriber&) = delete;
    Subscriber& operator=(const Subscriber&) = delete;

    // Waits for the program's end; returns its exit status (-1 if it was killed). Messages() are all then.
    int Wait();
    const std::vector<Message>& Messages() const { return messages; }

    // Makes the program a dead subscriber: still connected, but it takes nothing any more.
    void Stop();
    void Kill();

private:
    void Read();

    pid_t pid;
    int output;
    std::thread reader;
    std::vector<Message> messages;
};
