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
use crate::layout::{ABSENT, FAMILIES, Family, LAST_KNOWN, Layout, Type, family_of_version};

const GLUE: [&str; 4] =
    ["bro-plugin/Plugin.cc", "bro-plugin/ZeroMQ.cc", "bro-plugin/flush.cc", "bro-plugin/telemetry.cc"];

/// The host that the shared object is built for.
pub struct Host {
    major: u32,
    minor: u32,
    /// The version as the host writes it.
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

    /// The header that declares the host's log records.
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

/// The members of a layout that a host has: their names, the numbers, and the host's words for them.
fn facts(layout: &Layout) -> impl Iterator<Item = (&'static str, u32, String)> {
    let words = Layout::WHAT.iter().map(|&what| what.to_owned());
    let types = Type::ALL.iter().map(|kind| format!("TYPE_{}", kind.name().to_uppercase()));
    layout.members().into_iter().zip(words.chain(types)).map(|((member, number), what)| (member, number, what)).skip(1)
}

/// Writes what the C++ compiler has to find in the host's headers, and how it finds that there.
fn write_family(out: &Path, family: &Family) -> Result<()> {
    let mut text = format!("// From src/host/layout.rs.\n#define BZW_FAMILY {:?}\n", family.name.to_string_lossy());
    text += "// X(member of bzw_layout, its value, the family's, what it is in the host)\n#define BZW_LAYOUT(X)";
    for (member, expected, what) in facts(&family.layout) {
        let found = if expected == ABSENT {
            "BZW_ABSENT".to_owned()
        } else if let Some(path) = what.strip_prefix("threading::Value::val.") {
            format!("offsetof(threading::Value::_val, {path})")
        } else if let Some((class, member)) = what.rsplit_once("::") {
            if what.starts_with("sizeof") { what.clone() } else { format!("offsetof({class}, {member})") }
        } else if what.starts_with("TYPE_") {
            format!("BZW_HOST_TYPES::{what}")
        } else {
            what.clone()
        };
        let _ = write!(text, " \\\n    X({member}, {found}, {expected}u, \"{what}\")");
    }
    write(&out.join("bzw_family.h"), &(text + "\n"))
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
    for (member, expected, what) in facts(&family.layout) {
        let number = measure(&what, &prefix, &tags);
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

/// An expression for what the generated types have of a host's fact.
#[cfg(feature = "host")]
fn measure(what: &str, threading: &str, tags: &str) -> String {
    let class = |name: &str| match name {
        "TypeTag" => format!("types::{tags}TypeTag"),
        _ => format!("types::{}", name.replace("threading::", &format!("{threading}_"))),
    };
    // Names that are words of Rust's have something behind them.
    let offset = |of: &str, path: &str| {
        let path: Vec<_> = path
            .split('.')
            .map(|name| format!("{name}{}", if ["type", "in"].contains(&name) { "_" } else { "" }))
            .collect();
        format!("::core::mem::offset_of!({}, {})", class(of), path.join("."))
    };
    if let Some(name) = what.strip_prefix("sizeof(").and_then(|rest| rest.strip_suffix(')')) {
        format!("::core::mem::size_of::<{}>()", class(name))
    } else if let Some((of, path)) = what.rsplit_once("::") {
        let whole = if path.contains('.') { format!(" - {}", offset(of, "val")) } else { String::new() };
        offset(of, path) + &whole
    } else {
        format!("{}_{what} as u32", class(if what.starts_with("TYPE_") { "TypeTag" } else { "IPFamily" }))
    }
}
