//! What `record` adds to libzmq's C interface, with the library that is linked.

use std::ffi::{c_int, c_void, CStr, CString};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use zmq_sys::record::{msg_init_external, send_one, send_two, was_written, Content, TELLS};
use zmq_sys::*;

const TOPIC: &[u8] = b"a log path that does not fit into a message of the smallest kind";

/// A context with a socket that sends and is bound, and one that receives from it.
struct Pair {
    context: *mut c_void,
    sender: *mut c_void,
    receiver: *mut c_void,
}

impl Pair {
    /// The sockets are not connected yet. The sender's queue has room for `hwm` messages.
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

    /// Sends a topic and `last`, with `look` after the socket has looked at what its I/O thread has told
    /// it: 0, or the error.
    fn send(&self, last: &mut zmq_msg_t, look: bool) -> c_int {
        Self::send_at(self.sender, last, look)
    }

    fn send_from(&self, socket: *mut c_void, last: &mut zmq_msg_t) -> c_int {
        Self::send_at(socket, last, true)
    }

    fn send_at(socket: *mut c_void, last: &mut zmq_msg_t, look: bool) -> c_int {
        if look {
            let mut events: c_int = 0;
            let mut size = std::mem::size_of::<c_int>();
            let to: *mut c_int = &mut events;
            assert_eq!(unsafe { zmq_getsockopt(socket, ZMQ_EVENTS, to.cast(), &mut size) }, 0);
        }
        unsafe {
            let sent = send_two(socket, TOPIC.as_ptr().cast(), TOPIC.len(), last);
            if sent == 0 {
                0
            } else {
                zmq_errno()
            }
        }
    }

    /// The last frame of the next message, which has two.
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

unsafe extern "C" fn count(data: *mut c_void, hint: *mut c_void) {
    let [released, written] = &*hint.cast::<[AtomicUsize; 2]>();
    written.fetch_add(was_written(data).into(), Ordering::SeqCst);
    released.fetch_add(1, Ordering::SeqCst);
}

/// Memory that messages refer to, how often it was released, and how often as written.
struct Memory {
    contents: Vec<Content>,
    data: Vec<u8>,
    counts: Box<[AtomicUsize; 2]>,
}

impl Memory {
    fn new(size: usize, messages: usize) -> Memory {
        let contents = (0..messages).map(|_| unsafe { std::mem::zeroed() }).collect();
        Memory { contents, data: (0..size).map(|index| index as u8).collect(), counts: Box::default() }
    }

    fn message(&mut self, index: usize) -> zmq_msg_t {
        unsafe {
            let mut message = std::mem::zeroed();
            assert_eq!(zmq_msg_init(&mut message), 0);
            let hint = (&raw const *self.counts).cast_mut().cast();
            let (content, data) = (&raw mut self.contents[index], self.data.as_mut_ptr().cast());
            assert_eq!(msg_init_external(&mut message, content, data, self.data.len(), count, hint), 0);
            message
        }
    }

    fn released(&self) -> usize {
        self.counts[0].load(Ordering::SeqCst)
    }

    fn written(&self) -> usize {
        self.counts[1].load(Ordering::SeqCst)
    }

    /// Waits until so many messages have been released.
    fn wait(&self, count: usize) {
        for _ in 0..10_000 {
            if self.released() == count {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("{} of {count} were released", self.released());
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
        // Only this call sees that somebody has come.
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

#[test]
fn a_message_of_one_frame_is_sent_or_stays_as_it_is() {
    let mut memory = Memory::new(1000, 20);
    let pair = Pair::new(ZMQ_PUSH, ZMQ_PULL, 2, c"tcp://127.0.0.1:*");
    let mut message = memory.message(0);
    assert_eq!(unsafe { send_one(pair.sender, &mut message) }, -1, "nobody is there");
    assert_eq!((unsafe { zmq_errno() }, bytes(&mut message).len()), (eagain(), 1000));
    pair.connect();
    for index in 0..20 {
        if index > 0 {
            message = memory.message(index);
        }
        for _ in 0..10_000 {
            if unsafe { send_one(pair.sender, &mut message) } == 0 {
                break;
            }
            assert_eq!(bytes(&mut message).len(), 1000);
            std::thread::sleep(Duration::from_millis(1));
            // Only this call sees that somebody has come, or taken something.
            let (mut events, mut size) = ([0_u8; 4], 4);
            assert_eq!(unsafe { zmq_getsockopt(pair.sender, ZMQ_EVENTS, events.as_mut_ptr().cast(), &mut size) }, 0);
        }
        assert_eq!(bytes(&mut message), b"");
        unsafe {
            let mut received = std::mem::zeroed();
            assert_eq!(zmq_msg_init(&mut received), 0);
            assert_ne!(zmq_msg_recv(&mut received, pair.receiver, 0), -1, "nothing received");
            assert_eq!((zmq_msg_more(&received), bytes(&mut received)), (0, &memory.data[..]));
            zmq_msg_close(&mut received);
        }
    }
    memory.wait(20);
}

/// The channels by which a message that is released tells so, and waits: libzmq's I/O thread with it.
struct Pause {
    released: Sender<bool>,
    go_on: Receiver<()>,
}

unsafe extern "C" fn pause(data: *mut c_void, hint: *mut c_void) {
    let pause = &*hint.cast::<Pause>();
    let _ = pause.released.send(was_written(data));
    // An error: the test has failed or ended.
    let _ = pause.go_on.recv();
}

/// Passes on what there is, and counts it.
fn pass_on(from: &mut TcpStream, to: &mut TcpStream, count: &mut usize) {
    let mut buffer = [0; 65_536];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => {
                *count += read;
                to.set_nonblocking(false).unwrap();
                to.write_all(&buffer[..read]).unwrap();
                to.set_nonblocking(true).unwrap();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// An I/O thread may stand still at any time, for as long as it likes, as one that gets no processor. What
/// has been released by then is with the system.
#[test]
fn what_is_released_as_written_is_written() {
    if !TELLS {
        return;
    }
    const MESSAGES: usize = 60;
    for (size, curve) in
        [(34, false), (200, false), (3000, false), (8183, false), (100_000, false), (200, true), (9000, true)]
    {
        let (released, news) = channel();
        let (go, go_on) = channel();
        let mut memory = Memory::new(size, MESSAGES);
        let hint = Box::new(Pause { released, go_on });
        let front = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp://{}", front.local_addr().unwrap());
        let pair = Pair::new(ZMQ_PULL, ZMQ_PUSH, 0, c"tcp://127.0.0.1:*");
        // Here the socket that is bound receives.
        let (receiver, sender) = (pair.sender, pair.receiver);
        set(receiver, ZMQ_RCVHWM, 0);
        if curve {
            let (mut public, mut secret) = ([0_u8; 41], [0_u8; 41]);
            let key = |socket, option, key: &[u8; 41]| unsafe {
                assert_eq!(zmq_setsockopt(socket, option, key.as_ptr().cast(), 41), 0);
            };
            assert_eq!(unsafe { zmq_curve_keypair(public.as_mut_ptr().cast(), secret.as_mut_ptr().cast()) }, 0);
            set(receiver, ZMQ_CURVE_SERVER, 1);
            key(receiver, ZMQ_CURVE_SECRETKEY, &secret);
            key(sender, ZMQ_CURVE_SERVERKEY, &public);
            key(sender, ZMQ_CURVE_PUBLICKEY, &public);
            key(sender, ZMQ_CURVE_SECRETKEY, &secret);
        }
        // Options hold for what is bound after they were set.
        let mut bound = [0_u8; 256];
        let mut len = bound.len();
        unsafe {
            let last = bound.as_mut_ptr().cast();
            assert_eq!(zmq_getsockopt(receiver, ZMQ_LAST_ENDPOINT, last, &mut len), 0);
            assert_eq!(zmq_unbind(receiver, bound.as_ptr().cast()), 0);
            assert_eq!(zmq_bind(receiver, c"tcp://127.0.0.1:*".as_ptr()), 0);
            len = bound.len();
            assert_eq!(zmq_getsockopt(receiver, ZMQ_LAST_ENDPOINT, bound.as_mut_ptr().cast(), &mut len), 0);
            let connected = CString::new(address).unwrap();
            assert_eq!(zmq_connect(sender, connected.as_ptr()), 0);
        }
        let back = std::str::from_utf8(&bound[..len - 1]).unwrap().trim_start_matches("tcp://");
        let (mut near, mut far) = (front.accept().unwrap().0, TcpStream::connect(back).unwrap());
        near.set_nonblocking(true).unwrap();
        far.set_nonblocking(true).unwrap();
        let (mut there, mut others) = (0, 0);
        // The handshake, to its end.
        let mut last = (Instant::now(), 0);
        while last.0.elapsed() < Duration::from_millis(300) || there == 0 {
            pass_on(&mut near, &mut far, &mut there);
            pass_on(&mut far, &mut near, &mut others);
            if there + others != last.1 {
                last = (Instant::now(), there + others);
            }
            std::thread::sleep(Duration::from_millis(1));
        }

        // With the headers of both frames.
        let box_size = if curve { 33 } else { 0 };
        let header = if size + box_size > 255 { 9 } else { 2 };
        let one = 2 + box_size + TOPIC.len() + header + box_size + size;
        let begun = there;
        for index in 0..MESSAGES {
            unsafe {
                let mut message = std::mem::zeroed();
                assert_eq!(zmq_msg_init(&mut message), 0);
                let (content, data) = (&raw mut memory.contents[index], memory.data.as_mut_ptr().cast());
                let hint = (&raw const *hint).cast_mut().cast();
                assert_eq!(msg_init_external(&mut message, content, data, size, pause, hint), 0);
                assert_eq!(pair.send_from(sender, &mut message), 0);
            }
        }
        let mut missing = Vec::new();
        for count in 1..=MESSAGES {
            loop {
                match news.recv_timeout(Duration::from_millis(1)) {
                    Ok(written) => {
                        assert!(written);
                        break;
                    }
                    Err(RecvTimeoutError::Timeout) => pass_on(&mut near, &mut far, &mut there),
                    Err(RecvTimeoutError::Disconnected) => panic!(),
                }
            }
            // The I/O thread stands still now.
            let began = Instant::now();
            while there - begun < count * one && missing.is_empty() && began.elapsed() < Duration::from_secs(1) {
                pass_on(&mut near, &mut far, &mut there);
            }
            // A failure is told at the end, which waits for the I/O thread to have gone on.
            if there - begun < count * one {
                missing.push((count, (there - begun) / one));
            }
            go.send(()).unwrap();
        }
        assert!(missing.is_empty(), "{size} bytes, CURVE {curve}: released, and written: {missing:?}");
        drop((near, far));
    }
}

#[test]
fn what_is_not_written_is_given_up() {
    if !TELLS {
        return;
    }
    let mut memory = Memory::new(1000, 500);
    {
        // Nobody is there.
        let pair = Pair::new(ZMQ_XPUB, ZMQ_SUB, 0, c"tcp://127.0.0.1:*");
        assert_eq!(pair.send(&mut memory.message(0), true), 0);
        memory.wait(1);
        assert_eq!(memory.written(), 0);
    }
    // A peer that says nothing, and goes.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = CString::new(format!("tcp://{}", silent.local_addr().unwrap())).unwrap();
    let pair = Pair::new(ZMQ_PULL, ZMQ_PUSH, 0, c"tcp://127.0.0.1:*");
    unsafe {
        assert_eq!(zmq_connect(pair.receiver, endpoint.as_ptr()), 0);
    }
    for index in 1..500 {
        assert_eq!(pair.send_from(pair.receiver, &mut memory.message(index)), 0);
    }
    drop(silent.accept().unwrap());
    drop(pair);
    memory.wait(500);
    assert_eq!(memory.written(), 0);
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
