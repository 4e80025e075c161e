//! The tests that use the library from outside: one program, which is linked once. Tests that count the
//! blocks, the descriptors or the threads of their process are beside this directory; the tool has tests
//! of its own.

#[path = "../common/mod.rs"]
mod common;
mod native;

mod abi;
mod delivery;
mod docs;
mod encoder;
mod frames;
mod fuzz;
mod golden;
mod install;
mod interop;
mod messages;
mod publisher;
mod security;
