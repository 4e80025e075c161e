//! Encodes every record of the committed logs once, for `ci/instructions`, which runs this
//! under callgrind and counts the instructions; once more with what every processor has, if
//! this one has more. Prints the logs in the order in which they are encoded, with their
//! numbers of records.

mod common;

use std::hint::black_box;
use std::mem::MaybeUninit;

use common::{MEMORY, Set, logs};

/// Between its start and its end instructions are counted, and with its end a new count
/// begins: the script names it to callgrind.
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
