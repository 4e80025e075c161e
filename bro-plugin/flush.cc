#include "flush.h"

#include <algorithm>
#include <chrono>
#include <vector>

namespace bzw {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

// All frontends, for the main thread. The list is never deleted: the host may end threads after the
// destructors of statics.
std::vector<Frontend*>& frontends() {
    static auto* const all = new std::vector<Frontend*>;
    return *all;
}

// When the buffers are to be emptied again.
Clock::time_point due;

// True if there is a buffer to empty.
bool something_to_flush = false;

// How many times as often the buffers are emptied while nothing comes.
constexpr int when_quiet = 8;

// Records a second, of all logs, from which on the buffers are emptied more rarely; how many times as
// rarely they are emptied now, which doubles whenever so many have come; and how many times at most.
constexpr double very_much = 25000;
int slowdown = 1;
constexpr int most_slowdown = 4;

// How often the rate of records is looked at, which takes a while to show: a writer tells of a record
// long after the buffer was emptied. Since when records are counted; and how many have come since.
constexpr std::chrono::milliseconds look_at_rate{20};
Clock::time_point rate_since;
std::uint32_t came_since = 0;

// How soon a new writer is noticed while there is none to be flushed.
constexpr std::chrono::milliseconds look_again{10};

// When the clock was last looked at. If this is right after the look before, the next calls, as many as
// `when_busy`, need not look.
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
        return something_to_flush ? std::chrono::duration<double>(due - now).count() : -1;
    std::uint32_t records = 0;
    std::int64_t shortest = 0;
    for (Frontend* one : frontends()) {
        // Read before the flush: the writer may get the records that are flushed before this loop ends.
        const std::uint32_t total = one->records.load(std::memory_order_relaxed);
        records += total - one->counted;
        one->counted = total;
        const std::int64_t interval = one->nanoseconds.load(std::memory_order_relaxed);
        if (interval <= 0)
            continue;
        flush(one->frontend);
        shortest = shortest > 0 ? std::min(shortest, interval) : interval;
    }
    came_since += records;
    if (now - rate_since >= look_at_rate) {
        const bool much = came_since > very_much * std::chrono::duration<double>(now - rate_since).count();
        slowdown = much ? std::min(slowdown * 2, most_slowdown) : 1;
        rate_since = now;
        came_since = 0;
    }
    something_to_flush = shortest > 0;
    due = now + (something_to_flush ? nanoseconds{records == 0 ? shortest / when_quiet : shortest * slowdown}
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
