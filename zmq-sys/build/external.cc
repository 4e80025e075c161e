// What zmq_msg_init_data does, without an allocation: libzmq has a kind of message whose
// bookkeeping lies in memory of the caller's, which its decoder uses and its C interface
// does not offer.
#include "zmq.h"

// Needs what zmq.h declares.
#include "msg.hpp"

static_assert(sizeof(zmq::msg_t) == sizeof(zmq_msg_t), "a zmq_msg_t is a msg_t");
static_assert(sizeof(zmq::msg_t::content_t) <= 5 * sizeof(void*), "what external.rs has room for");
static_assert(alignof(zmq::msg_t::content_t) <= alignof(void*), "what external.rs is aligned to");

extern "C" int zmq_sys_msg_init_external(zmq_msg_t* msg, void* content, void* data, size_t size,
                                         zmq_free_fn* ffn, void* hint) {
    return reinterpret_cast<zmq::msg_t*>(msg)->init_external_storage(
        static_cast<zmq::msg_t::content_t*>(content), data, size, ffn, hint);
}
