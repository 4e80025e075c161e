// The bytes that a trie of subscriptions says it takes, next to those that it has asked for.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <new>
#include <random>
#include <string>

#include <malloc.h>

#include "generic_mtrie_impl.hpp"

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

using Trie = zmq::generic_mtrie_t<int>;

const unsigned char* bytes(const std::string& text) {
    return reinterpret_cast<const unsigned char*>(text.data());
}

void ignore(const unsigned char*, size_t, void*) {}

size_t allocated() {
    return mallinfo2().uordblks;
}

// A topic of few letters, far apart, so that tables grow and shrink.
std::string topic(std::mt19937& random) {
    const char letters[] = {0, 'a', 'b', 'z', char(255)};
    std::string text;
    for (unsigned left = random() % 6; left > 0; --left)
        text += letters[random() % sizeof letters];
    return text;
}

void as_the_model(unsigned seed) {
    std::mt19937 random(seed);
    Trie trie;
    int peers[4];
    std::map<std::pair<std::string, int*>, bool> model;
    const size_t before = trie.memory();
    CHECK(before == 0);
    for (int step = 0; step < 20000; ++step) {
        int* const peer = &peers[random() % 4];
        const std::string text = topic(random);
        switch (random() % 16) {
        case 0:
            trie.rm(peer, ignore, static_cast<void*>(nullptr), random() % 2 == 0);
            for (auto it = model.begin(); it != model.end();)
                it = it->first.second == peer ? model.erase(it) : std::next(it);
            break;
        case 1:
        case 2:
        case 3:
        case 4:
        case 5: {
            const bool was = model.erase({text, peer}) > 0;
            CHECK((trie.rm(bytes(text), text.size(), peer) != Trie::not_found) == was);
            break;
        }
        default: {
            bool inserted = false;
            trie.add(bytes(text), text.size(), peer, &inserted);
            CHECK(inserted == model.insert({{text, peer}, true}).second);
        }
        }
        CHECK(model.empty() == (trie.memory() == 0));
    }
    for (int& peer : peers)
        trie.rm(&peer, ignore, static_cast<void*>(nullptr), true);
    CHECK(trie.memory() == 0);
}

// The trie counts no less than the allocator has given, and not much more.
void as_the_allocator(const char* what, unsigned topics, std::string (*name)(unsigned)) {
    int peer = 0;
    Trie* const trie = new Trie;
    const size_t before = allocated();
    for (unsigned n = 0; n < topics; ++n) {
        const std::string text = name(n);
        trie->add(bytes(text), text.size(), &peer);
    }
    const size_t taken = allocated() - before;
    std::fprintf(stderr, "%s: %zu bytes taken, %zu counted\n", what, taken, trie->memory());
    CHECK(trie->memory() >= taken && trie->memory() <= taken + taken / 2);
    delete trie;
}

} // namespace

int main() {
    for (unsigned seed = 0; seed < 20; ++seed)
        as_the_model(seed);
    as_the_allocator("numbers", 10000, [](unsigned n) { return "log-" + std::to_string(n); });
    as_the_allocator("long", 100, [](unsigned n) { return std::to_string(n) + std::string(1000, 'x'); });
    as_the_allocator("branching", 20000, [](unsigned n) {
        return std::string{char(n >> 9), char(n >> 1), char(n % 2 == 0 ? 0 : 255)};
    });
    std::puts("passed");
}
