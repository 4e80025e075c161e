//! A log writer for Bro and Zeek: publishes every log record over ZeroMQ as two frames,
//! the log path and the record as JSON.
//!
//! The modules, in the order a record passes them:
//!
//! - [`abi`]: the C boundary that the host's glue calls; `include/bro_zeromq_writer.h` is its manual.
//! - [`writer`]: one log path: options in, records in, frames out, everything counted.
//! - [`host`]: the host's `threading::Value` and `threading::Field` as it lays them out in memory.
//! - [`json`]: turns a record into the JSON that the host's own log would have.
//! - [`keys`]: files of CURVE keys, and directories of those that are let in.
//! - [`report`]: what operators are told, as values, and how often.
//! - [`spool`]: records that cannot be sent now, on disk.
//! - [`transport`]: one endpoint of the process: its socket, its peers, what is on the way to them.
//! - [`zmq`]: context, sockets and messages over libzmq.
//!
//! `unsafe` is denied; a module that is allowed it says why, where it is declared.

#![deny(unsafe_code)]
#![warn(unreachable_pub)]

#[allow(unsafe_code, reason = "C calls it, and hands pointers over")]
pub mod abi;
#[allow(unsafe_code, reason = "the standard library does not have the coarse clock")]
pub mod clock;
pub mod host;
pub mod json;
pub mod keys;
mod lock;
pub mod report;
pub mod spool;
mod texts;
pub mod transport;
pub mod writer;
pub mod zmq;
