//! The tests that run the tool, and those of hostile peers, which have it among their victims.

#[path = "../../../tests/common/mod.rs"]
mod common;
mod tool;
mod zmtp;

mod cli;
mod collector;
mod doctor;
mod keys;
mod peers;
