//! The host's side that knows hosts without their headers (`bro-plugin/portable`), for every host.

use std::fmt::Write as _;

use crate::common::{Result, compile, out_dir, write};
use crate::layout::{FAMILIES, Kind, LAST_KNOWN, Type};

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
    let out = out_dir()?;

    // The hosts' versions. The plugin asks the library for the layouts.
    let mut text = String::from("// From src/host/layout.rs.\nnamespace bzw {\nnamespace portable {\n");
    text +=
        "// The first host of each of bzw_layout_known()'s layouts, in their order.\nconstexpr Version families[] = {";
    for family in &FAMILIES {
        let _ = write!(text, "{{{}, {}}}, ", family.since.0, family.since.1);
    }
    let _ = writeln!(text, "}};\nconstexpr Version last_known = {{{}, {}}};", LAST_KNOWN.0, LAST_KNOWN.1);
    text += "constexpr TypeName type_names[] = {";
    for kind in Type::ALL {
        // A host may lack all other types: records are sent without them.
        let always = kind.kind() != Kind::Unknown && FAMILIES.iter().all(|family| kind.tag(&family.layout).is_some());
        let _ = write!(text, "{{{:?}, &bzw_layout::{}, {always}}}, ", kind.name(), kind.member());
    }
    text += "};\n}\n}\n";
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
    // A host that finds no plugin in the shared object unloads it, and may then try again.
    println!("cargo::rustc-link-arg=-Wl,-z,nodelete");
    Ok(())
}
