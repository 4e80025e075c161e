#include "subscriber.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

Subscriber::Subscriber(const std::string& program, const std::string& endpoint, long count, long timeout_ms,
                       const std::string& topic) {
    const std::string count_text = std::to_string(count);
    const std::string timeout_text = std::to_string(timeout_ms);
    const char* const arguments[] = {
        program.c_str(),      "bind",        endpoint.c_str(), count_text.c_str(),
        timeout_text.c_str(), topic.c_str(), nullptr};
    int out[2];
    int err[2];
    if (pipe(out) != 0 || pipe(err) != 0) {
        perror("pipe");
        exit(1);
    }
    pid = fork();
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        close(out[0]);
        close(out[1]);
        close(err[0]);
        close(err[1]);
        execv(arguments[0], const_cast<char* const*>(arguments));
        _exit(127);
    }
    close(out[1]);
    close(err[1]);
    // The program's first line on stderr says that it is ready (or what is wrong).
    std::string said;
    char letter = 0;
    while (read(err[0], &letter, 1) == 1 && letter != '\n')
        said += letter;
    if (said != "ready") {
        fprintf(stderr, "%s: %s\n", program.c_str(), said.empty() ? "does not run" : said.c_str());
        exit(1);
    }
    close(err[0]);
    output = out[0];
    reader = std::thread([this] { Read(); });
}

Subscriber::~Subscriber() {
    Kill();
    Wait();
}

void Subscriber::Read() {
    std::string line;
    char buffer[65536];
    ssize_t size = 0;
    while ((size = read(output, buffer, sizeof buffer)) > 0) {
        for (ssize_t i = 0; i < size; i++) {
            if (buffer[i] != '\n') {
                line += buffer[i];
                continue;
            }
            const size_t tab = line.find('\t');
            messages.emplace_back(line.substr(0, tab), tab == std::string::npos ? "" : line.substr(tab + 1));
            line.clear();
        }
    }
}

int Subscriber::Wait() {
    if (reader.joinable())
        reader.join();
    if (pid <= 0)
        return -1;
    int status = 0;
    waitpid(pid, &status, 0);
    pid = -1;
    close(output);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void Subscriber::Stop() {
    kill(pid, SIGSTOP);
}

void Subscriber::Kill() {
    if (pid > 0)
        kill(pid, SIGKILL);
}
