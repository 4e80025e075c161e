// The queue of libzmq/ypipe.hpp next to a model, and between two threads. The queue has the place of
// libzmq's own, so that this file is compiled as a source of libzmq is.
#include <unistd.h>

#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <random>
#include <thread>

#include "ypipe.hpp"

// What err.hpp wants; the rest of libzmq is not here.
namespace zmq {
void zmq_abort(const char* message) {
    std::fprintf(stderr, "%s\n", message);
    std::abort();
}
} // namespace zmq

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            std::fprintf(stderr, "line %d: not %s\n", __LINE__, #condition);                                 \
            std::abort();                                                                                    \
        }                                                                                                    \
    } while (0)

namespace {

// Blocks of 4: their ends come often.
using Queue = zmq::ypipe_t<std::uint64_t, 4>;

bool is_even(const std::uint64_t& value) {
    return value % 2 == 0;
}

// One thread does everything, in random order, and each answer is the model's.
void as_the_model(unsigned seed) {
    std::mt19937 random(seed);
    Queue queue;
    std::deque<std::uint64_t> flushed, complete, incomplete;
    bool asleep = false;
    std::uint64_t next = 0;
    for (int step = 0; step < 20000; ++step) {
        std::uint64_t value = 0;
        switch (random() % 7) {
        case 0:
            queue.write(next, true);
            incomplete.push_back(next++);
            break;
        case 1:
            queue.write(next, false);
            incomplete.push_back(next++);
            complete.insert(complete.end(), incomplete.begin(), incomplete.end());
            incomplete.clear();
            break;
        case 2:
            CHECK(queue.unwrite(&value) == !incomplete.empty());
            if (!incomplete.empty()) {
                CHECK(value == incomplete.back());
                incomplete.pop_back();
            }
            break;
        case 3:
            CHECK(queue.flush() == (complete.empty() || !asleep));
            if (!complete.empty())
                asleep = false;
            flushed.insert(flushed.end(), complete.begin(), complete.end());
            complete.clear();
            break;
        case 4:
            CHECK(queue.check_read() == !flushed.empty());
            asleep = asleep || flushed.empty();
            break;
        case 5:
            if (!flushed.empty())
                CHECK(queue.probe(is_even) == (flushed.front() % 2 == 0));
            break;
        default:
            CHECK(queue.read(&value) == !flushed.empty());
            if (flushed.empty()) {
                asleep = true;
            } else {
                CHECK(value == flushed.front());
                flushed.pop_front();
            }
        }
    }
}

// A reader that sleeps when there is nothing, and is woken when flush() says so: none of the
// items is lost, changed or late.
void between_threads(unsigned seed) {
    const std::uint64_t items = 300000;
    Queue queue;
    std::mutex mutex;
    std::condition_variable woken;
    unsigned wakes = 0;
    std::thread reader([&] {
        std::uint64_t expected = 0, value = 0;
        while (expected < items) {
            if (queue.read(&value)) {
                CHECK(value == expected);
                ++expected;
                continue;
            }
            std::unique_lock<std::mutex> lock(mutex);
            woken.wait(lock, [&] { return wakes > 0; });
            --wakes;
        }
    });
    std::mt19937 random(seed);
    auto flush = [&] {
        if (!queue.flush()) {
            std::lock_guard<std::mutex> lock(mutex);
            ++wakes;
            woken.notify_one();
        }
    };
    for (std::uint64_t next = 0; next < items;) {
        if (random() % 8 == 0) {
            // What is taken back is never seen.
            const unsigned count = random() % 10;
            for (unsigned item = 0; item < count; ++item)
                queue.write(~std::uint64_t(item), true);
            std::uint64_t value = 0;
            for (unsigned item = count; item > 0; --item)
                CHECK(queue.unwrite(&value) && value == ~std::uint64_t(item - 1));
        }
        const bool incomplete = next + 1 < items && random() % 3 == 0;
        queue.write(next++, incomplete);
        if (random() % 4 != 0)
            flush();
        if (random() % 2000 == 0)
            usleep(100);
    }
    flush();
    reader.join();
}

} // namespace

int main() {
    // A wake-up that is lost ends the test, too.
    alarm(120);
    for (unsigned seed = 0; seed < 50; ++seed)
        as_the_model(seed);
    for (unsigned seed = 0; seed < 3; ++seed)
        between_threads(seed);
    std::puts("passed");
}
