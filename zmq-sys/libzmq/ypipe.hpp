/* libzmq's queue between two threads, in the place of its own ypipe.hpp.
 *
 * libzmq's own has the writer's and the reader's variables in the same two cache lines, so that
 * nearly each call of one side takes a line away from the other while both are at work. Here
 * each side has lines of its own; they share one, which the writer changes with each flush and
 * the reader looks at when it has read all that it knows of.
 *
 * Positions are counts of all items so far. Only one thread writes at a time, and only one
 * reads.
 */
#ifndef __ZMQ_YPIPE_HPP_INCLUDED__
#define __ZMQ_YPIPE_HPP_INCLUDED__

#include "ypipe_base.hpp"

#include "err.hpp"

#include <stdlib.h>

#include <atomic>
#include <cstdint>
#include <new>

namespace zmq {

/* An item is what malloc'ed memory can hold, and is copied by assignment; N of them are in a
 * block of memory. */
template <typename T, int N> class ypipe_t final : public ypipe_base_t<T> {
public:
    ypipe_t() : _published(0), _spare(nullptr) {
        _writer.block = next_block();
        _reader.block = _writer.block;
    }

    ~ypipe_t() {
        for (block_t* block = _reader.block; block != nullptr;) {
            block_t* next = block->next;
            free(block);
            block = next;
        }
        free(_spare.load(std::memory_order_relaxed));
    }

    ypipe_t(const ypipe_t&) = delete;
    ypipe_t& operator=(const ypipe_t&) = delete;

    /* Appends an item. An `incomplete` item is not flushed before a complete one follows. */
    void write(const T& value, bool incomplete) override {
        if (_writer.used == N) {
            _writer.block->next = next_block();
            _writer.block = _writer.block->next;
            _writer.used = 0;
        }
        _writer.block->items[_writer.used++] = value;
        ++_writer.written;
        if (!incomplete)
            _writer.complete = _writer.written;
    }

    /* Takes back the last item, if it is incomplete. */
    bool unwrite(T* value) override {
        if (_writer.written == _writer.complete)
            return false;
        if (_writer.used == 0) {
            // The reader has not come to the last item, and so not to the block that it is in.
            block_t* empty = _writer.block;
            _writer.block = empty->previous;
            _writer.block->next = nullptr;
            _writer.used = N;
            free(empty);
        }
        *value = _writer.block->items[--_writer.used];
        --_writer.written;
        return true;
    }

    /* Gives the reader all complete items. Returns false if the reader sleeps and is to be woken. */
    bool flush() override {
        if (_writer.flushed == _writer.complete)
            return true;
        _writer.flushed = _writer.complete;
        return (_published.exchange(_writer.flushed << 1, std::memory_order_acq_rel) & ASLEEP) == 0;
    }

    /* Returns true if there is an item. If not, the reader is asleep from now on. */
    bool check_read() override {
        if (_reader.read != _reader.known)
            return true;
        std::uint64_t published = _published.load(std::memory_order_acquire);
        while ((published >> 1) == _reader.read) {
            if ((published & ASLEEP) != 0 ||
                _published.compare_exchange_weak(published, published | ASLEEP, std::memory_order_acq_rel,
                                                 std::memory_order_acquire))
                return false;
        }
        _reader.known = published >> 1;
        return true;
    }

    /* Takes the first item, if there is one. */
    bool read(T* value) override {
        if (!check_read())
            return false;
        *value = front();
        ++_reader.used;
        ++_reader.read;
        return true;
    }

    /* Returns what `predicate` says of the first item; there has to be one. */
    bool probe(bool (*predicate)(const T&)) override {
        const bool any = check_read();
        zmq_assert(any);
        return predicate(front());
    }

private:
    static const std::uint64_t ASLEEP = 1;

    struct block_t {
        /* In front, so that of a block with few items only its first page is touched. */
        block_t* next;
        /* Valid for the writer only, and only as long as the reader has not come here. */
        block_t* previous;
        /* With this, an item of the size of a cache line lies in one line. */
        char padding[ZMQ_CACHELINE_SIZE - 2 * sizeof(block_t*)];
        T items[N];
    };

    /* What comes behind the writer's block: the spare one, or a new one. */
    block_t* next_block() {
        void* memory = _spare.exchange(nullptr, std::memory_order_acquire);
        if (memory == nullptr && posix_memalign(&memory, ZMQ_CACHELINE_SIZE, sizeof(block_t)) != 0)
            memory = nullptr;
        alloc_assert(memory);
        block_t* block = static_cast<block_t*>(memory);
        block->next = nullptr;
        block->previous = _writer.block;
        return block;
    }

    /* The first item; the caller has seen that there is one. Leaves a block that is read. */
    const T& front() {
        if (_reader.used == N) {
            block_t* empty = _reader.block;
            _reader.block = empty->next;
            _reader.used = 0;
            // One block goes round; it is likely to be in the cache still.
            free(_spare.exchange(empty, std::memory_order_acq_rel));
        }
        return _reader.block->items[_reader.used];
    }

    /* Two lines: processors fetch them in pairs. */
    struct padding_t {
        char bytes[2 * ZMQ_CACHELINE_SIZE];
    };

    padding_t _before_writer;
    struct {
        block_t* block = nullptr;
        int used = 0;
        std::uint64_t written = 0;
        /* Up to where items are complete, and flushed. */
        std::uint64_t complete = 0;
        std::uint64_t flushed = 0;
    } _writer;
    padding_t _before_reader;
    struct {
        block_t* block;
        int used = 0;
        std::uint64_t read = 0;
        /* Up to where items are known to be flushed. */
        std::uint64_t known = 0;
    } _reader;
    padding_t _before_published;
    /* Up to where items are flushed, times two, plus ASLEEP if the reader is asleep. */
    std::atomic<std::uint64_t> _published;
    padding_t _before_spare;
    std::atomic<block_t*> _spare;
};
} // namespace zmq

#endif
