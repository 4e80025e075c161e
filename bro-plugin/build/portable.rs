//! The host's side that knows hosts without their headers (`bro-plugin/portable`), for every host.

use std::fmt::Write as _;

use crate::common::{Result, compile, out_dir, write};
use crate::layout::{FAMILIES, LAST_KNOWN};

/// The host's side for every host.
const PORTABLE: [&str; 6] = [
    "bro-plugin/flush.cc",
    "bro-plugin/portable/portable.cc",
    "bro-plugin/portable/host.cc",
    "bro-plugin/portable/check.cc",
    "bro-plugin/portable/values.cc",
    "bro-plugin/portable/image.cc",
];

/// Builds the host's side that needs no headers of a host.
pub fn build() -> Result<()> {
    println!("cargo::rerun-if-changed=bro-plugin/portable");
    println!("cargo::rerun-if-changed=bro-plugin/metrics.h");
    println!("cargo::rerun-if-changed=bro-plugin/flush.h");
    println!("cargo::rerun-if-changed=bro-plugin/messages.h");
    println!("cargo::rerun-if-changed=bro-plugin/flush.cc");
    println!("cargo::rerun-if-changed=include/bro_zeromq_writer.h");
    let out = out_dir()?;

    // Its own hosts' versions; the layouts themselves it asks the library for.
    let mut text = String::from("// From src/host/layout.rs.\nnamespace bzw {\nnamespace portable {\n");
    text +=
        "// The first host of each of bzw_layout_known()'s layouts, in their order.\nconstexpr Version families[] = {";
    for family in &FAMILIES {
        let _ = write!(text, "{{{}, {}}}, ", family.since.0, family.since.1);
    }
    let _ = writeln!(text, "}};\nconstexpr Version last_known = {{{}, {}}};\n}}\n}}", LAST_KNOWN.0, LAST_KNOWN.1);
    write(&out.join("bzw_families.h"), &text)?;

    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        .cargo_metadata(false)
        .pic(true)
        .include("include")
        .include(&out)
        .flag("-fvisibility=hidden");
    compile(build, &PORTABLE, &out)
        .map_err(|failure| failure.explain(|messages| format!("bro-plugin/portable does not compile:\n{messages}")))?;
    // A host that takes it for no plugin unloads it, and may then try again.
    println!("cargo::rustc-link-arg=-Wl,-z,nodelete");
    Ok(())
}
