//! libzmq without anything around it: the one that is bundled, or the system's.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use zmq_sys::zmq_msg_t;

/// The functions of one libzmq.
pub struct Library {
    pub version: String,
    ctx_new: unsafe extern "C" fn() -> *mut c_void,
    ctx_term: unsafe extern "C" fn(*mut c_void) -> c_int,
    socket: unsafe extern "C" fn(*mut c_void, c_int) -> *mut c_void,
    close: unsafe extern "C" fn(*mut c_void) -> c_int,
    setsockopt: unsafe extern "C" fn(*mut c_void, c_int, *const c_void, usize) -> c_int,
    getsockopt: unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, *mut usize) -> c_int,
    bind: unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int,
    connect: unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int,
    send: unsafe extern "C" fn(*mut c_void, *const c_void, usize, c_int) -> c_int,
    recv: unsafe extern "C" fn(*mut c_void, *mut c_void, usize, c_int) -> c_int,
    msg_init: unsafe extern "C" fn(*mut zmq_msg_t) -> c_int,
    msg_init_size: unsafe extern "C" fn(*mut zmq_msg_t, usize) -> c_int,
    msg_data: unsafe extern "C" fn(*mut zmq_msg_t) -> *mut c_void,
    msg_size: unsafe extern "C" fn(*const zmq_msg_t) -> usize,
    msg_more: unsafe extern "C" fn(*const zmq_msg_t) -> c_int,
    msg_send: unsafe extern "C" fn(*mut zmq_msg_t, *mut c_void, c_int) -> c_int,
    msg_recv: unsafe extern "C" fn(*mut zmq_msg_t, *mut c_void, c_int) -> c_int,
    msg_close: unsafe extern "C" fn(*mut zmq_msg_t) -> c_int,
}

/// A version as text.
fn version(ask: unsafe extern "C" fn(*mut c_int, *mut c_int, *mut c_int)) -> String {
    let [mut major, mut minor, mut patch] = [0; 3];
    // SAFETY: valid pointers.
    unsafe { ask(&raw mut major, &raw mut minor, &raw mut patch) };
    format!("{major}.{minor}.{patch}")
}

impl Library {
    /// The libzmq that the writer has.
    #[must_use]
    pub fn bundled() -> &'static Self {
        static LIBRARY: OnceLock<Library> = OnceLock::new();
        LIBRARY.get_or_init(|| Self {
            version: version(zmq_sys::zmq_version),
            ctx_new: zmq_sys::zmq_ctx_new,
            ctx_term: zmq_sys::zmq_ctx_term,
            socket: zmq_sys::zmq_socket,
            close: zmq_sys::zmq_close,
            setsockopt: zmq_sys::zmq_setsockopt,
            getsockopt: zmq_sys::zmq_getsockopt,
            bind: zmq_sys::zmq_bind,
            connect: zmq_sys::zmq_connect,
            send: zmq_sys::zmq_send,
            recv: zmq_sys::zmq_recv,
            msg_init: zmq_sys::zmq_msg_init,
            msg_init_size: zmq_sys::zmq_msg_init_size,
            msg_data: zmq_sys::zmq_msg_data,
            msg_size: zmq_sys::zmq_msg_size,
            msg_more: zmq_sys::zmq_msg_more,
            msg_send: zmq_sys::zmq_msg_send,
            msg_recv: zmq_sys::zmq_msg_recv,
            msg_close: zmq_sys::zmq_msg_close,
        })
    }

    /// The libzmq that the system has installed, if it has one.
    #[must_use]
    pub fn installed() -> Option<&'static Self> {
        static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
        LIBRARY.get_or_init(|| Self::load(c"libzmq.so.5")).as_ref()
    }

    fn load(name: &CStr) -> Option<Self> {
        // SAFETY: a terminated string. The library stays for as long as the process.
        let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            return None;
        }
        macro_rules! function {
            ($name:literal) => {{
                // SAFETY: an open library and a terminated string.
                let address = unsafe { libc::dlsym(library, $name.as_ptr()) };
                assert!(!address.is_null(), "{name:?} has no {}", $name.to_string_lossy());
                // SAFETY: a pointer to a function of the type that zmq-sys declares it with.
                unsafe { std::mem::transmute_copy(&address) }
            }};
        }
        Some(Self {
            version: version(function!(c"zmq_version")),
            ctx_new: function!(c"zmq_ctx_new"),
            ctx_term: function!(c"zmq_ctx_term"),
            socket: function!(c"zmq_socket"),
            close: function!(c"zmq_close"),
            setsockopt: function!(c"zmq_setsockopt"),
            getsockopt: function!(c"zmq_getsockopt"),
            bind: function!(c"zmq_bind"),
            connect: function!(c"zmq_connect"),
            send: function!(c"zmq_send"),
            recv: function!(c"zmq_recv"),
            msg_init: function!(c"zmq_msg_init"),
            msg_init_size: function!(c"zmq_msg_init_size"),
            msg_data: function!(c"zmq_msg_data"),
            msg_size: function!(c"zmq_msg_size"),
            msg_more: function!(c"zmq_msg_more"),
            msg_send: function!(c"zmq_msg_send"),
            msg_recv: function!(c"zmq_msg_recv"),
            msg_close: function!(c"zmq_msg_close"),
        })
    }
}

/// A context.
pub struct RawContext {
    library: &'static Library,
    context: *mut c_void,
}

// SAFETY: libzmq's contexts may be used from any thread.
unsafe impl Sync for RawContext {}

impl RawContext {
    #[must_use]
    pub fn new(library: &'static Library) -> Self {
        // SAFETY: no arguments.
        let context = unsafe { (library.ctx_new)() };
        assert!(!context.is_null());
        Self { library, context }
    }
}

impl Drop for RawContext {
    fn drop(&mut self) {
        // SAFETY: valid, and not used after this; its sockets are dropped before it.
        unsafe { (self.library.ctx_term)(self.context) };
    }
}

/// A socket.
pub struct RawSocket {
    library: &'static Library,
    socket: *mut c_void,
}

impl RawSocket {
    #[must_use]
    pub fn new(context: &RawContext, kind: c_int) -> Self {
        // SAFETY: a valid context.
        let socket = unsafe { (context.library.socket)(context.context, kind) };
        assert!(!socket.is_null());
        Self { library: context.library, socket }
    }

    pub fn set(&self, option: c_int, value: c_int) {
        self.set_bytes(option, &value.to_ne_bytes());
    }

    pub fn set_bytes(&self, option: c_int, value: &[u8]) {
        // SAFETY: a valid socket, and a value of the size given.
        let done = unsafe { (self.library.setsockopt)(self.socket, option, value.as_ptr().cast(), value.len()) };
        assert_eq!(done, 0);
    }

    /// Binds to a port of the system's choice.
    #[must_use]
    pub fn bind(&self) -> String {
        let mut bound = [0_u8; 64];
        let mut len = bound.len();
        // SAFETY: a valid socket, a terminated string, and a buffer of the size given.
        unsafe {
            assert_eq!((self.library.bind)(self.socket, c"tcp://127.0.0.1:*".as_ptr()), 0);
            let (option, bound) = (zmq_sys::ZMQ_LAST_ENDPOINT, bound.as_mut_ptr().cast());
            assert_eq!((self.library.getsockopt)(self.socket, option, bound, &raw mut len), 0);
        }
        String::from_utf8_lossy(&bound[..len - 1]).into_owned()
    }

    /// Makes an XPUB socket, connects it and waits for the subscription.
    #[must_use]
    pub fn publisher(context: &RawContext, endpoint: &str, hwm: c_int) -> Self {
        let socket = Self::new(context, zmq_sys::ZMQ_XPUB);
        let endpoint = CString::new(endpoint).unwrap();
        socket.set(zmq_sys::ZMQ_SNDHWM, hwm);
        socket.set(zmq_sys::ZMQ_XPUB_NODROP, 1);
        socket.set(zmq_sys::ZMQ_LINGER, 0);
        let mut subscription = [0_u8; 64];
        // SAFETY: a valid socket, a terminated string, and a buffer of the size given.
        unsafe {
            assert_eq!((socket.library.connect)(socket.socket, endpoint.as_ptr()), 0);
            let size = subscription.len();
            assert!((socket.library.recv)(socket.socket, subscription.as_mut_ptr().cast(), size, 0) > 0);
        }
        socket
    }

    /// Publishes finished bytes with libzmq alone.
    #[inline]
    pub fn send(&self, path: &[u8], body: &[u8]) {
        let library = self.library;
        let mut raw = MaybeUninit::uninit();
        // SAFETY: a valid socket; the message is initialised with room for the body before
        // that is copied to it, and is libzmq's once sent.
        unsafe {
            let flags = zmq_sys::ZMQ_SNDMORE | zmq_sys::ZMQ_DONTWAIT;
            assert!((library.send)(self.socket, path.as_ptr().cast(), path.len(), flags) != -1);
            assert_eq!((library.msg_init_size)(raw.as_mut_ptr(), body.len()), 0);
            let data = (library.msg_data)(raw.as_mut_ptr()).cast::<u8>();
            data.copy_from_nonoverlapping(body.as_ptr(), body.len());
            assert!((library.msg_send)(raw.as_mut_ptr(), self.socket, zmq_sys::ZMQ_DONTWAIT) != -1);
        }
    }

    /// Gives the next frame's bytes, and whether more of the message follow, to `look`, unless
    /// the socket's time limit passes.
    #[inline]
    pub fn receive(&self, look: impl FnOnce(&[u8], bool)) {
        let library = self.library;
        let mut raw = MaybeUninit::uninit();
        // SAFETY: the message is initialised first and closed last; its bytes are read
        // in between.
        unsafe {
            (library.msg_init)(raw.as_mut_ptr());
            let raw = raw.as_mut_ptr();
            if (library.msg_recv)(raw, self.socket, 0) != -1 {
                let (data, size) = ((library.msg_data)(raw).cast::<u8>(), (library.msg_size)(raw));
                look(std::slice::from_raw_parts(data, size), (library.msg_more)(raw) != 0);
            }
            (library.msg_close)(raw);
        }
    }
}

impl Drop for RawSocket {
    fn drop(&mut self) {
        // SAFETY: valid, and not used after this.
        unsafe { (self.library.close)(self.socket) };
    }
}
