#include "flush.h"

#include <algorithm>
#include <chrono>
#include <vector>

namespace bzw {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

// For the main thread. Never deleted: the host may end threads after the destructors of statics.
std::vector<Frontend*>& frontends() {
    static auto* const all = new std::vector<Frontend*>;
    return *all;
}

// When the buffers are to be emptied again.
Clock::time_point due;

// Whether there is any to empty.
bool any = false;

// How many times as often the buffers are emptied while nothing comes.
constexpr int when_quiet = 8;

// How soon a new writer is noticed while there is none to be flushed.
constexpr std::chrono::milliseconds look_again{10};

} // namespace

std::atomic<bool> Frontend::came{false};

Frontend::Frontend(void* arg_frontend) : frontend(arg_frontend) {
    frontends().push_back(this);
}

void Frontend::Leave() {
    auto& all = frontends();
    all.erase(std::remove(all.begin(), all.end(), this), all.end());
}

void Frontend::FlushEvery(double seconds) {
    nanoseconds.store(static_cast<std::int64_t>(seconds * 1e9), std::memory_order_relaxed);
}

double flush_frontends(void (*flush)(void* frontend)) {
    if (frontends().empty())
        return -1;
    const auto now = Clock::now();
    if (now < due)
        // Something may have been written since the last time.
        return any ? std::chrono::duration<double>(due - now).count() : -1;
    // First: a writer may have what is flushed here before this is over.
    const bool quiet = !Frontend::came.exchange(false, std::memory_order_relaxed);
    std::int64_t shortest = 0;
    for (const Frontend* one : frontends()) {
        const std::int64_t interval = one->nanoseconds.load(std::memory_order_relaxed);
        if (interval <= 0)
            continue;
        flush(one->frontend);
        shortest = shortest > 0 ? std::min(shortest, interval) : interval;
    }
    any = shortest > 0;
    due = now + (any ? nanoseconds{quiet ? shortest / when_quiet : shortest} : nanoseconds{look_again});
    return -1;
}

} // namespace bzw
