//! Plays the host of the ZeroMQ log writer, for what runs without one: `bro-zmq`, the tests,
//! the benchmarks and what is fuzzed. The plugin knows nothing of this crate.
//!
//! - [`Cell`] is a value, [`Synth`] lays records of them out in memory as a host does, and
//!   [`Columns`] the columns that they belong to.
//! - [`zeeklog`] reads a host's logs back into such values.
//! - [`Writer`] is a log writer, used through the C ABI as the host's glue does.

#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "it makes values as a host has them in memory")]
mod record;
#[allow(unsafe_code, reason = "it calls the C ABI")]
mod writer;
pub mod zeeklog;

pub use record::{Cell, Columns, Synth, Type, fits};
pub use writer::{PATIENCE, Refused, Report, Writer, log_stats};
