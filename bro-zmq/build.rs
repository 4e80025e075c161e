//! The tool finds at run time the libzmq that it is linked with.

#[path = "../bro-plugin/build/libzmq.rs"]
mod libzmq;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../bro-plugin/build/libzmq.rs");
    libzmq::find_at_run_time();
}
