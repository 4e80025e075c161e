//! The host's log records in memory: how they are laid out, and reading them.

pub mod layout;
#[allow(unsafe_code, reason = "it reads values where the host has them in memory")]
mod value;

pub use layout::{ABSENT, FAMILIES, Family, Kind, LAST_KNOWN, Layout, Type, family_of_version};
pub use value::{
    Address, AnyShape, Data, Dynamic, Field, Fixed, KindsOf, List, Malformed, Record, Shape, Tags, Text, Value,
};

/// Bindings that `build.rs` generated from the headers of the host given to the build,
/// with compile-time checks against the family chosen for that host.
#[cfg(bzw_host)]
#[allow(
    unsafe_code,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    dead_code,
    unreachable_pub,
    clippy::all,
    clippy::pedantic
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/host_bindings.rs"));
}
