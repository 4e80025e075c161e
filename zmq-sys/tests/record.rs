//! What `record` adds to libzmq's C interface, with the library that is linked.

use std::ffi::{c_int, c_void, CStr};
use std::sync::atomic::{AtomicUsize, Ordering};

use zmq_sys::record::{msg_init_external, send_two, Content};
use zmq_sys::*;

/// A context with a socket that sends and is bound, and one that receives from it.
struct Pair {
    context: *mut c_void,
    sender: *mut c_void,
    receiver: *mut c_void,
}

impl Pair {
    /// Not connected yet. The sender's queue has room for `hwm` messages.
    fn new(sends: c_int, receives: c_int, hwm: c_int, endpoint: &CStr) -> Pair {
        unsafe {
            let context = zmq_ctx_new();
            let [sender, receiver] = [sends, receives].map(|kind| zmq_socket(context, kind));
            for socket in [sender, receiver] {
                set(socket, ZMQ_LINGER, 0);
                set(socket, ZMQ_RCVTIMEO, 10_000);
            }
            set(sender, ZMQ_SNDHWM, hwm);
            set(receiver, ZMQ_RCVHWM, 1);
            assert_eq!(zmq_bind(sender, endpoint.as_ptr()), 0);
            Pair { context, sender, receiver }
        }
    }

    fn connect(&self) {
        let mut endpoint = [0_u8; 256];
        let mut size = endpoint.len();
        unsafe {
            let last = endpoint.as_mut_ptr().cast();
            assert_eq!(zmq_getsockopt(self.sender, ZMQ_LAST_ENDPOINT, last, &mut size), 0);
            assert_eq!(zmq_connect(self.receiver, endpoint.as_ptr().cast()), 0);
        }
    }

    /// Sends a topic and `last`: 0, or the error.
    fn send(&self, last: &mut zmq_msg_t, look: bool) -> c_int {
        const TOPIC: &[u8] = b"a log path that does not fit into a message of the smallest kind";
        unsafe {
            let sent = send_two(self.sender, TOPIC.as_ptr().cast(), TOPIC.len(), last, look);
            if sent == 0 {
                0
            } else {
                zmq_errno()
            }
        }
    }

    /// The last frame of the next message, of two.
    fn receive(&self) -> Vec<u8> {
        let mut frames = [false, true].map(|last| unsafe {
            let mut message = std::mem::zeroed();
            assert_eq!(zmq_msg_init(&mut message), 0);
            assert_ne!(zmq_msg_recv(&mut message, self.receiver, 0), -1, "nothing received");
            assert_eq!(zmq_msg_more(&message) == 0, last);
            let bytes = bytes(&mut message).to_vec();
            zmq_msg_close(&mut message);
            bytes
        });
        assert!(frames[0].starts_with(b"a log path"));
        std::mem::take(&mut frames[1])
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        unsafe {
            zmq_close(self.sender);
            zmq_close(self.receiver);
            zmq_ctx_term(self.context);
        }
    }
}

fn set(socket: *mut c_void, option: c_int, value: c_int) {
    let bytes = value.to_ne_bytes();
    assert_eq!(unsafe { zmq_setsockopt(socket, option, bytes.as_ptr().cast(), bytes.len()) }, 0);
}

fn bytes(message: &mut zmq_msg_t) -> &[u8] {
    unsafe { std::slice::from_raw_parts(zmq_msg_data(message).cast(), zmq_msg_size(message)) }
}

unsafe extern "C" fn count(_data: *mut c_void, hint: *mut c_void) {
    (*hint.cast::<AtomicUsize>()).fetch_add(1, Ordering::SeqCst);
}

/// Memory that messages refer to, and how often it was released.
struct Memory {
    contents: Vec<Content>,
    data: Vec<u8>,
    released: AtomicUsize,
}

impl Memory {
    fn new(size: usize, messages: usize) -> Memory {
        let contents = (0..messages).map(|_| unsafe { std::mem::zeroed() }).collect();
        Memory { contents, data: (0..size).map(|index| index as u8).collect(), released: AtomicUsize::new(0) }
    }

    fn message(&mut self, index: usize) -> zmq_msg_t {
        unsafe {
            let mut message = std::mem::zeroed();
            assert_eq!(zmq_msg_init(&mut message), 0);
            let hint = (&raw const self.released).cast_mut().cast();
            let (content, data) = (&raw mut self.contents[index], self.data.as_mut_ptr().cast());
            assert_eq!(msg_init_external(&mut message, content, data, self.data.len(), count, hint), 0);
            message
        }
    }

    /// Waits until so many messages have been released.
    fn wait(&self, count: usize) {
        for _ in 0..10_000 {
            if self.released.load(Ordering::SeqCst) == count {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("{} of {count} were released", self.released.load(Ordering::SeqCst));
    }
}

#[test]
fn messages_arrive_whole_and_are_released() {
    // Smaller and larger than the writes of the I/O thread.
    for size in [0, 1, 200, 5000, 8191, 8192, 100_000] {
        let mut memory = Memory::new(size, 50);
        let pair = Pair::new(ZMQ_XPUB, ZMQ_SUB, 0, c"tcp://127.0.0.1:*");
        assert_eq!(unsafe { zmq_setsockopt(pair.receiver, ZMQ_SUBSCRIBE, b"a".as_ptr().cast(), 1) }, 0);
        pair.connect();
        let mut subscription = [0_u8; 16];
        assert_eq!(unsafe { zmq_recv(pair.sender, subscription.as_mut_ptr().cast(), 16, 0) }, 2);
        for index in 0..50 {
            let mut message = memory.message(index);
            assert_eq!(pair.send(&mut message, index % 10 == 0), 0);
            assert_eq!(bytes(&mut message), b"");
        }
        for _ in 0..50 {
            assert_eq!(pair.receive(), memory.data);
        }
        memory.wait(50);
    }
}

#[test]
fn a_message_that_is_not_taken_stays_as_it_is() {
    let mut memory = Memory::new(1000, 1);
    let again = eagain();
    let pair = Pair::new(ZMQ_PUSH, ZMQ_PULL, 2, c"tcp://127.0.0.1:*");
    let mut message = memory.message(0);
    for look in [false, true] {
        assert_eq!(pair.send(&mut message, look), again, "nobody is there");
        assert_eq!(bytes(&mut message).len(), 1000);
    }
    pair.connect();
    let mut sent = pair.send(&mut message, true);
    for _ in 0..10_000 {
        if sent == 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
        // Only this one sees that somebody has come.
        sent = pair.send(&mut message, true);
    }
    assert_eq!(sent, 0);
    assert_eq!(pair.receive(), memory.data);
    memory.wait(1);
}

#[test]
fn room_in_the_queue_is_that_of_whole_messages() {
    let again = eagain();
    // In a process there is only the queue: the sender's room, and the receiver's.
    let pair = Pair::new(ZMQ_PUSH, ZMQ_PULL, 2, c"inproc://queue");
    pair.connect();
    let mut memory = Memory::new(100, 4);
    for index in 0..3 {
        assert_eq!(pair.send(&mut memory.message(index), true), 0, "message {index}");
    }
    let mut message = memory.message(3);
    assert_eq!(pair.send(&mut message, true), again);
    for _ in 0..3 {
        assert_eq!(pair.receive(), memory.data);
    }
    // What the receiver has told is seen now, and then there is room.
    let mut events = [0_u8; 4];
    let mut size = events.len();
    assert_eq!(unsafe { zmq_getsockopt(pair.sender, ZMQ_EVENTS, events.as_mut_ptr().cast(), &mut size) }, 0);
    assert_eq!(pair.send(&mut message, false), 0);
    assert_eq!(pair.receive(), memory.data);
    memory.wait(4);
}

/// `EAGAIN`, by what libzmq itself says when there is nothing to receive.
fn eagain() -> c_int {
    let pair = Pair::new(ZMQ_PUSH, ZMQ_PULL, 1, c"inproc://nothing");
    let mut byte = 0_u8;
    unsafe {
        assert_eq!(zmq_recv(pair.receiver, (&raw mut byte).cast(), 1, ZMQ_DONTWAIT), -1);
        zmq_errno()
    }
}
