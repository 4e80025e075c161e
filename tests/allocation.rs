//! Publishing a record costs no heap allocation, neither of ours nor of libzmq's. The test counts `malloc`
//! in the whole process, from the C ABI to the socket, with a subscriber that reads.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell as Counter;
use std::ffi::c_void;

use bro_zeromq_writer::host::Address;
use fake_host::{Cell, Type};

mod common;

struct Counting;

thread_local! {
    /// Allocations of Rust code.
    static RUST_ALLOCATIONS: Counter<u64> = const { Counter::new(0) };
    /// Calls of `malloc` by all code, Rust's included.
    static MALLOC_CALLS: Counter<u64> = const { Counter::new(0) };
}

unsafe extern "C" {
    /// glibc's own `malloc`.
    fn __libc_malloc(size: usize) -> *mut c_void;
}

/// Takes the place of the C library's `malloc` for the whole program, libzmq included.
///
/// # Safety
///
/// There is nothing to promise: any size may be asked for. The C library declares it so.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    MALLOC_CALLS.set(MALLOC_CALLS.get() + 1);
    // SAFETY: glibc's `malloc` takes any size.
    unsafe { __libc_malloc(size) }
}

// SAFETY: every call goes on to the system's allocator, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        RUST_ALLOCATIONS.set(RUST_ALLOCATIONS.get() + 1);
        // SAFETY: the caller promises a layout whose size is not zero.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller promises memory of `alloc`, which is the system's, and its layout.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn no_allocation_per_record() {
    let layout = common::zeek_80();
    let subscriber = common::Subscriber::bind(&[b""]);
    let columns = ["ts", "uid", "id.orig_h", "id.orig_p", "proto", "service", "duration", "tags", "note"];
    let mut writer = common::Writer::open(layout, "conn", &subscriber.endpoint, &[("zmq_hwm", "0")], &columns);
    let cells = [
        Cell::Time(1_699_999_999.123456),
        Cell::Text(Type::String, b"CHhAvVGS1DHFjwGM9".to_vec()),
        Cell::Addr(Address::V4([192, 0, 2, 1])),
        Cell::Port(443, 1),
        Cell::Text(Type::Enum, b"tcp".to_vec()),
        Cell::Unset(Type::String),
        Cell::Interval(1.0 / 3.0),
        Cell::List(
            Type::Set,
            vec![Cell::Text(Type::String, b"a".to_vec()), Cell::Text(Type::String, b"b\xff".to_vec())],
        ),
        Cell::Text(Type::String, "Grüße \"…\"".as_bytes().to_vec()),
    ];
    const RECORDS: u64 = 20_000;
    writer.write(&cells);
    let (before, blocks_before) = (RUST_ALLOCATIONS.get(), MALLOC_CALLS.get());
    // The values are laid out once: what the host allocates is not counted here.
    writer.repeat(&cells, RECORDS);
    let (made, blocks) = (RUST_ALLOCATIONS.get() - before, MALLOC_CALLS.get() - blocks_before);
    // Chunks of 64 KiB are allocated until enough of them circulate.
    let chunks = RECORDS * 300 / 60_000 + 2;
    assert!(made <= chunks, "{made} allocations for {RECORDS} records");
    // libzmq allocates now and then, for its queue and for waking its I/O thread. A libzmq installed on the
    // system also allocates a `content_t` for each `zmq_msg_init_data`.
    let each = if zmq_sys::record::ALLOCATES { RECORDS } else { 0 };
    let of_libzmq = each..=each + RECORDS / 20;
    assert!(of_libzmq.contains(&blocks), "{blocks} blocks from malloc for {RECORDS} records");
    assert_eq!(subscriber.take(RECORDS as usize + 1).len(), RECORDS as usize + 1);
    assert_eq!(writer.settled(0).records_sent, RECORDS + 1);
}
