//! The host's side for the host whose headers are given to the build, and for no other.
//!
//! `configure` finds the host and `make` passes it on in `BZW_HOST_*`. Three views of the host's
//! log records have to agree, or the build ends with an error that names the member: the
//! hand-written family of the host's version (`src/host/layout.rs`), the C++ compiler's (static
//! assertions in `bro-plugin/layout.h`), and bindgen's (constant assertions in the generated
//! `host_bindings.rs`).

use std::env;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::common::{Result, compile, out_dir, tool, var, write};
#[cfg(feature = "host")]
use crate::layout::ABSENT;
use crate::layout::{FAMILIES, Family, LAST_KNOWN, family_of_version};

const GLUE: [&str; 4] =
    ["bro-plugin/Plugin.cc", "bro-plugin/ZeroMQ.cc", "bro-plugin/flush.cc", "bro-plugin/telemetry.cc"];
const HEADERS: [&str; 8] = [
    "bro-plugin/ZeroMQ.h",
    "bro-plugin/compat.h",
    "bro-plugin/flush.h",
    "bro-plugin/layout.h",
    "bro-plugin/messages.h",
    "bro-plugin/telemetry.h",
    "bro-plugin/metrics.h",
    "include/bro_zeromq_writer.h",
];

/// The host that the shared object is built for.
pub struct Host {
    major: u32,
    minor: u32,
    /// As the host writes it.
    version: String,
    includes: Vec<PathBuf>,
    /// Debug builds of a host compile other members into its classes.
    debug: bool,
}

impl Host {
    /// The host that is given to the build, if one is.
    pub fn from_env() -> Result<Option<Self>> {
        let Some(version) = var("BZW_HOST_VERSION") else {
            return Ok(None);
        };
        let includes =
            var("BZW_HOST_INCLUDES").ok_or("BZW_HOST_VERSION needs BZW_HOST_INCLUDES; ./configure sets both")?;
        let mut numbers = version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        let (Some(major), Some(minor)) = (numbers.next(), numbers.next()) else {
            return Err(format!("BZW_HOST_VERSION: \"{version}\" is not a version such as 8.0.10"));
        };
        Ok(Some(Self {
            major,
            minor,
            version,
            // Hosts name the system's directories too; as an -isystem they would hide the
            // C++ library's headers that wrap the system's.
            includes: env::split_paths(&includes)
                .filter(|dir| *dir != Path::new("/usr/include") && *dir != Path::new("/usr/local/include"))
                .collect(),
            debug: var("BZW_HOST_DEBUG").is_some(),
        }))
    }

    /// The C++ standard that the host's own build asks for.
    fn standard(&self) -> &'static str {
        match (self.major, self.minor) {
            (8.., _) => "c++20",
            (4.., _) | (3, 1..) => "c++17",
            _ => "c++11",
        }
    }

    /// Where the host's headers are found under `zeek/`, and its classes in `zeek::`.
    fn serial_types(&self) -> &'static str {
        if self.major >= 4 { "zeek/threading/SerialTypes.h" } else { "threading/SerialTypes.h" }
    }

    /// For the glue: one number to compare with.
    fn number(&self) -> String {
        (self.major * 100 + self.minor).to_string()
    }

    /// What a failed compilation means to the one who builds.
    fn explain(&self, messages: &str) -> String {
        let differences = differences(messages);
        if differences.is_empty() {
            return format!(
                "the C++ glue does not compile with the headers of host version {}:\n{messages}",
                self.version
            );
        }
        format!(
            "unsupported host version {}: its threading/SerialTypes.h does not lay out log records as known here\n\
             {}\n\
             known are Bro {}.{} to Zeek {}.{}: build for one of these, or add a family to src/host/layout.rs",
            self.version,
            differences.join("\n"),
            FAMILIES[0].since.0,
            FAMILIES[0].since.1,
            LAST_KNOWN.0,
            LAST_KNOWN.1
        )
    }

    fn compiler(&self, out: &Path) -> cc::Build {
        let mut build = cc::Build::new();
        build
            .cpp(true)
            .std(self.standard())
            .cargo_metadata(false)
            .pic(true)
            .include("include")
            .include(out)
            .define("BZW_HOST_VERSION", self.number().as_str())
            .flag("-fvisibility=hidden")
            // The host's records have private members, which makes offsetof only
            // conditionally supported; the compilers that can build a host do support it.
            .flag("-Wno-invalid-offsetof")
            // Zeek 4.0 marks an enumerator as deprecated that its records still have.
            .flag("-Wno-deprecated-declarations");
        for include in &self.includes {
            // Not -I: the host's warnings are not ours.
            build.flag("-isystem").flag(include);
        }
        if self.debug {
            build.define("DEBUG", None);
        }
        build
    }
}

/// Compiles the glue, and lets the views of the host's records be compared.
pub fn build(host: &Host) -> Result<()> {
    for file in GLUE.iter().chain(&HEADERS) {
        println!("cargo::rerun-if-changed={file}");
    }
    for include in &host.includes {
        let header = include.join(host.serial_types());
        if header.exists() {
            println!("cargo::rerun-if-changed={}", header.display());
        }
    }

    let out = out_dir()?;
    let family = match family_of_version(host.major, host.minor) {
        Some(family) => family,
        None if (host.major, host.minor) > LAST_KNOWN => probe(host, &out)?,
        None => {
            return Err(format!(
                "unsupported host version {}: the oldest supported one is {}.{}",
                host.version, FAMILIES[0].since.0, FAMILIES[0].since.1
            ));
        }
    };

    write_family(&out, family)?;
    write_bindings(host, &out, family)?;

    compile(host.compiler(&out), &GLUE, &out).map_err(|failure| failure.explain(|messages| host.explain(messages)))?;
    println!("cargo::rustc-cfg=bzw_host");
    Ok(())
}

/// Finds the family of a host that is newer than this source: the one, if any, that the
/// host's own headers have.
fn probe(host: &Host, out: &Path) -> Result<&'static Family> {
    let source = out.join("probe.cc");
    write(&source, "#include \"layout.h\"\n")?;
    let mut build = host.compiler(out);
    build.include("bro-plugin");
    let compiler = tool(&build)?;
    let mut newest = None;
    for family in FAMILIES.iter().rev() {
        write_family(out, family)?;
        let output = compiler
            .to_command()
            .arg("-fsyntax-only")
            .arg(&source)
            .output()
            .map_err(|error| format!("cannot run {}: {error}", compiler.path().display()))?;
        if output.status.success() {
            println!(
                "cargo::warning=host version {} is newer than {}.{}, the last one known here; \
                 its headers have the layout of {}, which is used",
                host.version,
                LAST_KNOWN.0,
                LAST_KNOWN.1,
                family.name.to_string_lossy()
            );
            return Ok(family);
        }
        let messages = String::from_utf8_lossy(&output.stderr).into_owned();
        if differences(&messages).is_empty() {
            return Err(host.explain(&messages)); // it is not the layout that is wrong
        }
        newest.get_or_insert(messages);
    }
    Err(host.explain(&newest.unwrap_or_default()))
}

/// The static assertions of `bro-plugin/layout.h` among a compiler's messages.
fn differences(messages: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in messages.lines().filter(|line| line.contains("differs from layout family")) {
        // "FILE:LINE:COLUMN: error: static assertion failed: WHAT": what the compiler says
        // around it differs, and it may quote the source too.
        let text = line.split_once("assertion failed").map_or("", |(_, text)| text);
        let text = text.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).trim_end_matches('"');
        if !text.is_empty() && !found.contains(&text) {
            found.push(text);
        }
    }
    found
}

/// Writes the numbers that the C++ compiler has to find in the host's headers.
fn write_family(out: &Path, family: &Family) -> Result<()> {
    let mut text = String::from("// From src/host/layout.rs.\n#include <cstdint>\n");
    let _ = writeln!(text, "#define BZW_FAMILY \"{}\"", family.name.to_string_lossy());
    text += "namespace bzw {\nnamespace family {\n";
    for (member, value) in family.layout.members() {
        let _ = writeln!(text, "constexpr std::uint32_t {member} = {value}u;");
    }
    text += "}\n}\n";
    write(&out.join("bzw_family.h"), &text)
}

/// Without bindgen there is one view too few to build for a host.
#[cfg(not(feature = "host"))]
fn write_bindings(_: &Host, _: &Path, _: &Family) -> Result<()> {
    Err("building for a host needs the feature \"host\"; make turns it on".into())
}

/// Generates the host's types from its headers, with an assertion for each number.
#[cfg(feature = "host")]
fn write_bindings(host: &Host, out: &Path, family: &Family) -> Result<()> {
    let header = out.join("host.h");
    write(&header, &format!("#include <{}>\n", host.serial_types()))?;

    let (threading, tags) = match (host.major, host.minor) {
        (4.., _) => ("zeek::threading", "zeek::"),
        (3, 2..) => ("threading", "zeek::"),
        _ => ("threading", ""),
    };
    let mut bindings = bindgen::Builder::default()
        .header(header.display().to_string())
        .clang_args(["-x", "c++", "-fvisibility=hidden"])
        .clang_arg(format!("-std={}", host.standard()))
        .clang_args(host.includes.iter().map(|dir| format!("-isystem{}", dir.display())))
        .allowlist_type(format!("{threading}::(Field|Value)"))
        .allowlist_type(format!("{tags}TypeTag"))
        .allowlist_type("IPFamily")
        .with_codegen_config(bindgen::CodegenConfig::TYPES)
        .opaque_type("std::.*")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .layout_tests(true)
        .generate_comments(false)
        .merge_extern_blocks(true)
        .formatter(bindgen::Formatter::None);
    if host.debug {
        bindings = bindings.clang_arg("-DDEBUG");
    }
    let bindings = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bindings.generate()))
        .map_err(|_| {
            "libclang cannot be used, and the build needs it to read the host's headers: install it \
             (Debian: libclang-dev) or set LIBCLANG_PATH to the directory that has libclang.so"
                .to_string()
        })?
        .map_err(|error| format!("bindgen cannot read the headers of host version {}:\n{error}", host.version))?;

    let types = bindings.to_string();
    let prefix = threading.replace("::", "_");
    let tags = tags.replace("::", "_");

    let mut text = String::from("#[allow(clippy::all, clippy::pedantic, improper_ctypes, unused)]\n");
    let _ = writeln!(text, "pub mod types {{\n{types}\n}}");
    for (member, expected) in family.layout.members() {
        let (what, number) = match measure(member, &prefix, &tags) {
            Some(found) => found,
            None => continue,
        };
        let message = format!(
            "{what}: bindgen found another number than layout family {} has ({member})",
            family.name.to_string_lossy()
        );
        if expected == ABSENT {
            // What the family lacks must be lacking in the host too.
            if let Some(name) = number.strip_prefix("types::").and_then(|rest| rest.split(' ').next())
                && types.contains(&format!("pub const {name}:"))
            {
                let _ = writeln!(text, "::core::compile_error!({message:?});");
            }
            continue;
        }
        let _ = writeln!(text, "const _: () = ::core::assert!({number} == {expected}, {message:?});");
    }
    write(&out.join("host_bindings.rs"), &text)
}

/// Where the generated types have what a member of the layout stands for: the host's
/// name of it, and an expression. `None` for what is no part of the host.
#[cfg(feature = "host")]
fn measure(member: &str, threading: &str, tags: &str) -> Option<(String, String)> {
    let offset = |of: &str, path: &str| format!("::core::mem::offset_of!(types::{threading}_{of}, {path})");
    let within = |path: &str| {
        let name = path.replace(".in_", ".in");
        (
            format!("threading::Value::val.{name}"),
            format!("{} - {}", offset("Value", &format!("val.{path}")), offset("Value", "val")),
        )
    };
    let size = |of: &str| format!("::core::mem::size_of::<types::{of}>()");
    let field = |name: &str, rust: &str| (format!("threading::Field::{name}"), offset("Field", rust));
    let value = |name: &str, rust: &str| (format!("threading::Value::{name}"), offset("Value", rust));

    Some(match member {
        "struct_size" => return None,
        "tag_size" => ("sizeof(TypeTag)".into(), size(&format!("{tags}TypeTag"))),
        "ip_family_size" => ("sizeof(IPFamily)".into(), size("IPFamily")),
        "ip_family_v4" => ("IPv4".into(), "types::IPFamily_IPv4 as u32".into()),
        "ip_family_v6" => ("IPv6".into(), "types::IPFamily_IPv6 as u32".into()),
        "field_size" => ("sizeof(threading::Field)".into(), size(&format!("{threading}_Field"))),
        "field_name" => field("name", "name"),
        "field_type" => field("type", "type_"),
        "field_subtype" => field("subtype", "subtype"),
        "field_optional" => field("optional", "optional"),
        "value_size" => ("sizeof(threading::Value)".into(), size(&format!("{threading}_Value"))),
        "value_type" => value("type", "type_"),
        "value_subtype" => value("subtype", "subtype"),
        "value_present" => value("present", "present"),
        "value_val" => value("val", "val"),
        "val_port_port" => within("port_val.port"),
        "val_set_size" => within("set_val.size"),
        "val_set_vals" => within("set_val.vals"),
        "val_addr_family" => within("addr_val.family"),
        "val_addr_in" => within("addr_val.in_"),
        "val_subnet_prefix" => within("subnet_val.prefix"),
        "val_subnet_length" => within("subnet_val.length"),
        "val_string_data" => within("string_val.data"),
        "val_string_length" => within("string_val.length"),
        tag => {
            let name = format!("TYPE_{}", tag.strip_prefix("tag_")?.to_uppercase());
            let expression = format!("types::{tags}TypeTag_{name} as u32");
            (name, expression)
        }
    })
}
