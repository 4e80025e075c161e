//! The tests that use the library and the tool from outside: one program, which is linked once.
//! What counts the blocks, the descriptors or the threads of its process is beside this directory.

#[path = "../common/mod.rs"]
mod common;
mod native;
mod peer;
mod python;
#[cfg(feature = "cli")]
mod tool;

mod abi;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "cli")]
mod collector;
mod delivery;
mod docs;
#[cfg(feature = "cli")]
mod doctor;
mod encoder;
mod frames;
mod fuzz;
mod golden;
mod install;
mod interop;
#[cfg(feature = "cli")]
mod keys;
mod messages;
mod publisher;
mod security;
