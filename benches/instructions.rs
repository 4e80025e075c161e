//! Encodes every record of the committed logs once, for `ci/instructions`, which runs this
//! under callgrind and counts the instructions; once more with what every processor has, if
//! this one has more. Prints the logs in the order in which they are encoded, with their
//! numbers of records.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::mem::MaybeUninit;

use common::{MEMORY, Set, logs};

/// An allocator whose large blocks begin with a page. A text near the end of a page is encoded in
/// another way than others. So its place must not depend on what was allocated before, such as the
/// name of this directory.
struct Paged;

impl Paged {
    fn layout(layout: Layout) -> Layout {
        let align = if layout.size() < 4096 { layout.align() } else { layout.align().max(4096) };
        Layout::from_size_align(layout.size(), align).unwrap_or(layout)
    }
}

// SAFETY: the system's allocator gets the same layout when a block ends as when it began, and
// the one asked for is no larger and no more aligned.
unsafe impl GlobalAlloc for Paged {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller promises that the size is not zero; it is the same here.
        unsafe { System.alloc(Self::layout(layout)) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller promises a block of `alloc` and its layout, from which this is the one that the
        // system got.
        unsafe { System.dealloc(block, Self::layout(layout)) }
    }
}

#[global_allocator]
static ALLOCATOR: Paged = Paged;

/// The function whose instructions are counted; a new count begins when it returns. The script names it
/// to callgrind.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn count_instructions(set: &Set, memory: &mut [MaybeUninit<u8>; MEMORY]) {
    for index in 0..set.len() {
        black_box(set.encode(index, memory));
    }
}

fn main() {
    let mut memory = Box::new([MaybeUninit::uninit(); MEMORY]);
    for log in logs() {
        let mut set = Set::all_of(&log);
        count_instructions(&set, &mut memory);
        println!("{} {} best", log.path, set.len());
        if set.use_baseline() {
            count_instructions(&set, &mut memory);
            println!("{} {} baseline", log.path, set.len());
        }
    }
}
