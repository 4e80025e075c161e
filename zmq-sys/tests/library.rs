//! The library that is linked works as declared.

use std::ffi::{c_char, c_int, c_void, CStr};
use std::mem::size_of;

use zmq_sys::*;

fn check(result: c_int) -> c_int {
    assert_ne!(result, -1, "{}", last_error());
    result
}

fn last_error() -> String {
    // The string is static.
    unsafe { CStr::from_ptr(zmq_strerror(zmq_errno())) }.to_string_lossy().into_owned()
}

fn has(capability: &CStr) -> bool {
    unsafe { zmq_has(capability.as_ptr()) == 1 }
}

/// Public and secret key.
fn keypair() -> ([u8; 41], [u8; 41]) {
    let (mut public, mut secret) = ([0_u8; 41], [0_u8; 41]);
    unsafe {
        check(zmq_curve_keypair(public.as_mut_ptr().cast::<c_char>(), secret.as_mut_ptr().cast::<c_char>()));
    }
    (public, secret)
}

struct Context(*mut c_void);

impl Context {
    fn new() -> Context {
        let context = unsafe { zmq_ctx_new() };
        assert!(!context.is_null(), "{}", last_error());
        Context(context)
    }

    fn socket(&self, kind: c_int) -> Socket {
        let socket = unsafe { zmq_socket(self.0, kind) };
        assert!(!socket.is_null(), "{}", last_error());
        let socket = Socket(socket);
        // A failure is not to block the test.
        for option in [ZMQ_SNDTIMEO, ZMQ_RCVTIMEO] {
            socket.set_int(option, 10_000);
        }
        socket.set_int(ZMQ_LINGER, 0);
        socket
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        unsafe { zmq_ctx_term(self.0) };
    }
}

struct Socket(*mut c_void);

impl Socket {
    fn set(&self, option: c_int, value: &[u8]) {
        unsafe {
            let data = value.as_ptr().cast::<c_void>();
            check(zmq_setsockopt(self.0, option, data, value.len()));
        }
    }

    fn set_int(&self, option: c_int, value: c_int) {
        self.set(option, &value.to_ne_bytes());
    }

    fn get_int(&self, option: c_int) -> c_int {
        let mut value: c_int = -1;
        let mut size = size_of::<c_int>();
        unsafe {
            let data = (&raw mut value).cast::<c_void>();
            check(zmq_getsockopt(self.0, option, data, &mut size));
        }
        value
    }

    fn bind(&self, endpoint: &CStr) -> Vec<u8> {
        let mut last = vec![0_u8; 256];
        let mut size = last.len();
        unsafe {
            check(zmq_bind(self.0, endpoint.as_ptr()));
            let data = last.as_mut_ptr().cast::<c_void>();
            check(zmq_getsockopt(self.0, ZMQ_LAST_ENDPOINT, data, &mut size));
        }
        last.truncate(size);
        last
    }

    fn connect(&self, endpoint: &[u8]) {
        let endpoint = CStr::from_bytes_with_nul(endpoint).unwrap();
        check(unsafe { zmq_connect(self.0, endpoint.as_ptr()) });
    }

    fn send(&self, data: &[u8], flags: c_int) {
        unsafe {
            let data_pointer = data.as_ptr().cast::<c_void>();
            check(zmq_send(self.0, data_pointer, data.len(), flags));
        }
    }

    /// Returns a part, and true if more follow.
    fn receive(&self) -> (Vec<u8>, bool) {
        unsafe {
            let mut message = std::mem::zeroed::<zmq_msg_t>();
            check(zmq_msg_init(&mut message));
            check(zmq_msg_recv(&mut message, self.0, 0));
            let data = zmq_msg_data(&mut message).cast::<u8>();
            let data = std::slice::from_raw_parts(data, zmq_msg_size(&message)).to_vec();
            let more = zmq_msg_more(&message) == 1;
            check(zmq_msg_close(&mut message));
            (data, more)
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        unsafe { zmq_close(self.0) };
    }
}

#[test]
fn version_is_that_of_the_header() {
    let (mut major, mut minor, mut patch) = (0, 0, 0);
    unsafe { zmq_version(&mut major, &mut minor, &mut patch) };
    assert_eq!(format!("{major}.{minor}.{patch}"), env!("ZMQ_SYS_VERSION"));
}

#[test]
fn bundled_library_has_what_is_needed() {
    if env!("ZMQ_SYS_SOURCE") != "bundled" {
        return;
    }
    assert_eq!(env!("ZMQ_SYS_VERSION"), "4.3.5");
    assert!(has(c"curve"));
    assert!(has(c"ipc"));
    assert!(!has(c"gssapi"));
    assert!(!has(c"norm"));
    assert!(!has(c"pgm"));
    assert!(!has(c"draft"));
}

#[test]
fn curve_public_key_follows_from_secret_key() {
    if !has(c"curve") {
        return;
    }
    let (public, secret) = keypair();
    let mut computed = [0_u8; 41];
    let mut bytes = [0_u8; 32];
    let mut encoded = [0_u8; 41];
    unsafe {
        check(zmq_curve_public(computed.as_mut_ptr().cast::<c_char>(), secret.as_ptr().cast::<c_char>()));
        assert!(!zmq_z85_decode(bytes.as_mut_ptr(), public.as_ptr().cast::<c_char>()).is_null());
        assert!(!zmq_z85_encode(encoded.as_mut_ptr().cast::<c_char>(), bytes.as_ptr(), bytes.len()).is_null());
    }
    assert_eq!(computed, public);
    assert_eq!(encoded, public);
}

/// The keys of Alice in section 6.1 of RFC 7748.
#[test]
fn curve_agrees_with_the_standard() {
    if !has(c"curve") {
        return;
    }
    let z85 = |hex: &str| -> [u8; 41] {
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|index| u8::from_str_radix(&hex[index..index + 2], 16).unwrap()).collect();
        let mut text = [0_u8; 41];
        let dest = text.as_mut_ptr().cast::<c_char>();
        assert!(!unsafe { zmq_z85_encode(dest, bytes.as_ptr(), bytes.len()) }.is_null());
        text
    };
    let secret = z85("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    let public = z85("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    let mut computed = [0_u8; 41];
    unsafe {
        check(zmq_curve_public(computed.as_mut_ptr().cast::<c_char>(), secret.as_ptr().cast::<c_char>()));
    }
    assert_eq!(computed, public);
}

#[test]
fn publish_over_tcp_with_curve() {
    if !has(c"curve") {
        return;
    }
    let (server_public, server_secret) = keypair();
    let (client_public, client_secret) = keypair();
    let context = Context::new();

    let publisher = context.socket(ZMQ_XPUB);
    publisher.set_int(ZMQ_CURVE_SERVER, 1);
    publisher.set(ZMQ_CURVE_SECRETKEY, &server_secret);
    let endpoint = publisher.bind(c"tcp://127.0.0.1:*");

    let subscriber = context.socket(ZMQ_SUB);
    subscriber.set(ZMQ_CURVE_SERVERKEY, &server_public);
    subscriber.set(ZMQ_CURVE_PUBLICKEY, &client_public);
    subscriber.set(ZMQ_CURVE_SECRETKEY, &client_secret);
    subscriber.set(ZMQ_SUBSCRIBE, b"conn");
    assert_eq!(subscriber.get_int(ZMQ_MECHANISM), ZMQ_CURVE);
    subscriber.connect(&endpoint);

    // The subscription arrives after the handshake.
    assert_eq!(publisher.receive(), (b"\x01conn".to_vec(), false));

    // Larger than what libzmq keeps inside of a message.
    let record = vec![b'x'; 100_000];
    publisher.send(b"dns", ZMQ_SNDMORE);
    publisher.send(b"not subscribed", 0);
    publisher.send(b"conn", ZMQ_SNDMORE);
    publisher.send(&record, 0);
    assert_eq!(subscriber.receive(), (b"conn".to_vec(), true));
    assert_eq!(subscriber.receive(), (record, false));
}

#[test]
fn curve_refuses_the_wrong_server_key() {
    if !has(c"curve") {
        return;
    }
    let (_, server_secret) = keypair();
    let (other_public, _) = keypair();
    let (client_public, client_secret) = keypair();
    let context = Context::new();

    let publisher = context.socket(ZMQ_XPUB);
    publisher.set_int(ZMQ_CURVE_SERVER, 1);
    publisher.set(ZMQ_CURVE_SECRETKEY, &server_secret);
    publisher.set_int(ZMQ_RCVTIMEO, 300);
    let endpoint = publisher.bind(c"tcp://127.0.0.1:*");

    let subscriber = context.socket(ZMQ_SUB);
    subscriber.set(ZMQ_CURVE_SERVERKEY, &other_public);
    subscriber.set(ZMQ_CURVE_PUBLICKEY, &client_public);
    subscriber.set(ZMQ_CURVE_SECRETKEY, &client_secret);
    subscriber.set(ZMQ_SUBSCRIBE, b"");
    subscriber.connect(&endpoint);

    let mut byte = 0_u8;
    let received = unsafe { zmq_recv(publisher.0, (&raw mut byte).cast::<c_void>(), 1, 0) };
    assert_eq!(received, -1, "subscribed with the wrong key");
}

#[test]
fn publish_over_ipc() {
    if !has(c"ipc") {
        return;
    }
    let context = Context::new();
    let publisher = context.socket(ZMQ_XPUB);
    let endpoint = publisher.bind(c"ipc://*");
    let subscriber = context.socket(ZMQ_SUB);
    subscriber.set(ZMQ_SUBSCRIBE, b"");
    subscriber.connect(&endpoint);
    assert_eq!(publisher.receive().0, b"\x01");

    // As the plugin sends: without copying, and freed by libzmq.
    unsafe extern "C" fn free(data: *mut c_void, hint: *mut c_void) {
        unsafe { drop(Vec::from_raw_parts(data.cast::<u8>(), 0, hint as usize)) };
    }
    let mut record = std::mem::ManuallyDrop::new(b"record".to_vec());
    unsafe {
        let mut message = std::mem::zeroed::<zmq_msg_t>();
        check(zmq_msg_init_data(
            &mut message,
            record.as_mut_ptr().cast::<c_void>(),
            record.len(),
            Some(free),
            record.capacity() as *mut c_void,
        ));
        check(zmq_msg_send(&mut message, publisher.0, 0));
    }
    assert_eq!(subscriber.receive(), (b"record".to_vec(), false));
}

#[test]
fn poll_and_monitor() {
    let context = Context::new();
    let publisher = context.socket(ZMQ_PUB);
    let monitor = context.socket(ZMQ_PAIR);
    let endpoint = c"inproc://monitor";
    unsafe {
        check(zmq_socket_monitor(publisher.0, endpoint.as_ptr(), ZMQ_EVENT_ALL));
    }
    monitor.connect(endpoint.to_bytes_with_nul());
    publisher.bind(c"tcp://127.0.0.1:*");

    let mut item = zmq_pollitem_t { socket: monitor.0, fd: 0, events: ZMQ_POLLIN, revents: 0 };
    assert_eq!(check(unsafe { zmq_poll(&mut item, 1, 10_000) }), 1);
    assert_eq!(item.revents, ZMQ_POLLIN);
    let (event, more) = monitor.receive();
    assert!(more);
    let number = u16::from_ne_bytes([event[0], event[1]]);
    assert_eq!(c_int::from(number), ZMQ_EVENT_LISTENING);
}

/// The build of zeromq-src alone would have neither names of threads nor eventfd.
#[cfg(target_os = "linux")]
#[test]
fn bundled_library_knows_the_system() {
    if env!("ZMQ_SYS_SOURCE") != "bundled" {
        return;
    }
    let context = Context::new();
    let _socket = context.socket(ZMQ_PUB);

    // A thread names itself, some time after it was created.
    let named = || {
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        threads
            .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("comm")).ok())
            .any(|name| name.contains("ZMQbg"))
    };
    let start = std::time::Instant::now();
    while !named() {
        assert!(start.elapsed().as_secs() < 10, "no thread has the name");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }

    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let eventfd = descriptors
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .any(|target| target.to_string_lossy().contains("eventfd"));
    assert!(eventfd);
}

#[test]
fn shutdown_ends_blocking_calls() {
    let context = Context::new();
    let subscriber = context.socket(ZMQ_SUB);
    unsafe { check(zmq_ctx_shutdown(context.0)) };
    let mut message = 0_u8;
    let data = (&raw mut message).cast::<c_void>();
    assert_eq!(unsafe { zmq_recv(subscriber.0, data, 1, 0) }, -1);
    assert_eq!(unsafe { zmq_errno() }, ETERM);
}

#[test]
fn limits_are_there_or_refused() {
    use zmq_sys::limits::*;
    let context = Context::new();
    let socket = context.socket(ZMQ_XPUB);
    let set = |option, value: &[u8]| unsafe { zmq_setsockopt(socket.0, option, value.as_ptr().cast(), value.len()) };
    for option in [ZMQ_RCVHWM_BYTES, ZMQ_XPUB_MAX_TOPICS, ZMQ_XPUB_MAX_BYTES, ZMQ_MAX_CONNECTIONS] {
        assert_eq!(set(option, &5_i32.to_ne_bytes()) == 0, ENFORCED, "{option}");
        assert_eq!(set(option, &(-1_i32).to_ne_bytes()), -1);
        assert_eq!(set(option, &[0; 8]), -1);
    }
    assert_eq!(set(ZMQ_MAX_LARGE_BYTES, &5_i64.to_ne_bytes()) == 0, ENFORCED);
}
