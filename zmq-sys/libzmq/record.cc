// What record.rs declares: libzmq's classes can do more than its C interface offers.
#include "zmq.h"

// Needs what zmq.h declares.
#include "msg.hpp"

#include "socket_base.hpp"

#include <errno.h>

static_assert(sizeof(zmq::msg_t) == sizeof(zmq_msg_t), "a zmq_msg_t is a msg_t");
static_assert(sizeof(zmq::msg_t::content_t) <= 6 * sizeof(void*), "what record.rs has room for");
static_assert(alignof(zmq::msg_t::content_t) <= alignof(void*), "what record.rs is aligned to");

// What zmq_msg_init_data does, without an allocation: libzmq has a kind of message whose
// bookkeeping lies in memory of the caller's, which its decoder uses.
extern "C" int zmq_sys_msg_init_external(zmq_msg_t* msg, void* content, void* data, size_t size,
                                         zmq_free_fn* ffn, void* hint) {
    return reinterpret_cast<zmq::msg_t*>(msg)->init_external_storage(
        static_cast<zmq::msg_t::content_t*>(content), data, size, ffn, hint);
}

// The connection that a message was written to, once its storage was released: the number of its socket's
// inode. 0 is none.
extern "C" uint32_t zmq_sys_written_to(const void* content) {
    return static_cast<const zmq::msg_t::content_t*>(content)->written.get();
}

// What zmq_msg_send does with ZMQ_DONTWAIT, without reading what the I/O thread has told the socket.
extern "C" int zmq_sys_send_one(void* socket, zmq_msg_t* msg) {
    return static_cast<zmq::socket_base_t*>(socket)->send_now(reinterpret_cast<zmq::msg_t*>(msg)) == 0 ? 0
                                                                                                       : -1;
}

// What zmq_send and zmq_msg_send do with ZMQ_DONTWAIT, without reading what the I/O thread has told the
// socket: so a socket that has room for the first frame has it for the last.
extern "C" int zmq_sys_send_two(void* socket, const void* first, size_t size, zmq_msg_t* last) {
    zmq::socket_base_t* const base = static_cast<zmq::socket_base_t*>(socket);
    zmq::msg_t msg;
    if (msg.init_buffer(first, size) != 0)
        return -1;
    msg.set_flags(zmq::msg_t::more);
    if (base->send_now(&msg) != 0) {
        const int error = errno;
        msg.close();
        errno = error;
        return -1;
    }
    return base->send_now(reinterpret_cast<zmq::msg_t*>(last)) == 0 ? 0 : -1;
}
