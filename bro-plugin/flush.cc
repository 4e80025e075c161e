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

// Records a second, of all logs, that are very much; how many times as rarely the buffers are emptied
// now, which doubles whenever so much has come, and at most.
constexpr double very_much = 25000;
int rarely = 1;
constexpr int most_rarely = 4;

// That is looked at so often, as a writer tells of a record when the buffer has long been emptied; since
// when; and what has come since.
constexpr std::chrono::milliseconds look_at_rate{20};
Clock::time_point rate_since;
std::uint32_t came_since = 0;

// How soon a new writer is noticed while there is none to be flushed.
constexpr std::chrono::milliseconds look_again{10};

// When the clock was last looked at; how many calls need not look if that was right after the time before.
Clock::time_point looked;
constexpr std::chrono::microseconds right_after{20};
constexpr int when_busy = 3;
int to_skip = 0;

} // namespace

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
    to_skip = now - looked < right_after ? when_busy : 0;
    looked = now;
    if (now < due)
        // Something may have been written since the last time.
        return any ? std::chrono::duration<double>(due - now).count() : -1;
    std::uint32_t records = 0;
    std::int64_t shortest = 0;
    for (Frontend* one : frontends()) {
        // First: the writer may have what is flushed here before this is over.
        const std::uint32_t came = one->came.load(std::memory_order_relaxed);
        records += came - one->counted;
        one->counted = came;
        const std::int64_t interval = one->nanoseconds.load(std::memory_order_relaxed);
        if (interval <= 0)
            continue;
        flush(one->frontend);
        shortest = shortest > 0 ? std::min(shortest, interval) : interval;
    }
    came_since += records;
    if (now - rate_since >= look_at_rate) {
        const bool much = came_since > very_much * std::chrono::duration<double>(now - rate_since).count();
        rarely = much ? std::min(rarely * 2, most_rarely) : 1;
        rate_since = now;
        came_since = 0;
    }
    any = shortest > 0;
    due = now + (any ? nanoseconds{records == 0 ? shortest / when_quiet : shortest * rarely}
                     : nanoseconds{look_again});
    return -1;
}

void flush_frontends_often(void (*flush)(void* frontend)) {
    if (to_skip > 0)
        to_skip--;
    else
        flush_frontends(flush);
}

} // namespace bzw
