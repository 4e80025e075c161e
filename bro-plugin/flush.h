// Records leave the host without waiting for its buffers to fill.
//
// A host collects the records of each log, and hands them to the log's writer when there are
// 1,000, or when a second is over. Here the main thread empties the buffers of this plugin's
// logs as often as LogZeroMQ::flush_interval says. The host calls for this in each round of its main
// loop. A host does not tell whether there is anything in a buffer; but writers tell what has come.
// While no records come, the buffers are emptied eight times as often, so that a record that comes
// alone leaves at once. While very many come, the buffers are emptied more and more rarely, down to
// a quarter: the main thread pays for waking a writer, however many records the writer gets.
#ifndef BZW_FLUSH_H
#define BZW_FLUSH_H

#include <atomic>
#include <cstdint>

namespace bzw {

// A log's frontend, of which the host has one for each writer: it has the buffer.
class Frontend {
public:
    // Main thread. `frontend` is a logging::WriterFrontend.
    explicit Frontend(void* frontend);
    Frontend(const Frontend&) = delete;
    Frontend& operator=(const Frontend&) = delete;
    ~Frontend() { Leave(); }

    // Main thread. To be called before the host deletes the frontend; from then on it is not
    // touched.
    void Leave();

    // Any thread. Seconds that a record may be in the buffer; 0: as long as the host likes. Until
    // the writer has opened and calls this, a record may be there for a hundredth of a second:
    // records that leave the buffer meanwhile wait in the writer's queue. A writer that fails sets
    // 0, since the host may delete the frontend of such a writer at any time.
    void FlushEvery(double seconds);

    // The writer's thread. Counts a record that has come out of the buffer.
    void CountRecord() {
        records.store(records.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }

private:
    friend double flush_frontends(void (*flush)(void* frontend));

    void* const frontend;
    std::atomic<std::int64_t> nanoseconds{10000000};
    std::atomic<std::uint32_t> records{0};
    std::uint32_t counted = 0; // the value of `records` when the buffers were last emptied
};

// Main thread, once in each round of the host's loop. Empties the buffers, by `flush`, if the
// shortest interval is over. Returns after how many seconds it is to be called again at the
// latest, or -1 if there is no need: nothing can have been written since.
double flush_frontends(void (*flush)(void* frontend));

// Main thread. Calls flush_frontends() in a host that calls this twice for each packet: while the host
// is busy, three of four calls do not even look at the clock, which is most of what the fourth costs.
void flush_frontends_often(void (*flush)(void* frontend));

} // namespace bzw

#endif
