//! The C ABI from outside: C and C++ programs that compile against the header, link the
//! library and use it, and a comparison of header and Rust, item by item.

use std::collections::BTreeSet;
use std::ffi::{c_char, c_int, c_void};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::native::{compile, library, manifest, run, scratch};
use bro_zeromq_writer::abi::{self, Handle, NamedValue, OpenArgs, Stats};
use bro_zeromq_writer::host::{ABSENT, FAMILIES, Layout};
use bro_zeromq_writer::report::Level;

/// What a program needs besides the static library.
const STATIC_LIBS: [&str; 5] = ["-lstdc++", "-lm", "-lpthread", "-ldl", "-lrt"];

/// Builds and runs the program `tests/c/{source}`, linked with the static or the shared library.
fn use_abi(compiler: &str, source: &str, flags: &[&str], linked: &str) {
    let library = library(linked);
    let program =
        scratch().join(format!("{}-{}-{linked}", source.replace('.', "-"), flags[0].trim_start_matches("-std=")));
    let mut command = compile(compiler, flags);
    command.arg(manifest().join("tests/c").join(source)).arg("-o").arg(&program).arg(&library);
    if linked == "a" {
        command.args(STATIC_LIBS);
    } else if let Some(directory) = library.parent() {
        command.arg(format!("-Wl,-rpath,{}", directory.display()));
    }
    run(&mut command);
    run(&mut Command::new(&program));
}

#[test]
fn a_c99_program_uses_the_static_library() {
    use_abi("CC", "abi_use.c", &["-std=c99", "-pedantic"], "a");
}

#[test]
fn a_c99_program_uses_the_shared_library() {
    use_abi("CC", "abi_use.c", &["-std=c99", "-pedantic"], "so");
}

#[test]
fn a_cpp11_program_uses_the_static_library() {
    use_abi("CXX", "abi_use.cc", &["-std=c++11", "-pedantic"], "a");
}

#[test]
fn a_cpp11_program_uses_the_shared_library() {
    use_abi("CXX", "abi_use.cc", &["-std=c++11", "-pedantic"], "so");
}

#[test]
fn a_newer_standard_takes_the_header_too() {
    use_abi("CC", "abi_use.c", &["-std=c17", "-pedantic"], "a");
    use_abi("CXX", "abi_use.cc", &["-std=c++20", "-pedantic"], "a");
}

/// Lists Rust's items under the header's names. Rust's compiler checks that they exist with
/// these types; the C compiler checks what is made of them against the header.
macro_rules! rust_side {
    (
        constants { $($constant:ident = $value:expr;)* }
        structs { $($c_struct:ident = $rust_struct:ty { $($member:ident,)* })* }
        functions { $(fn $function:ident($($argument:ty),*) -> $result:ty;)* }
    ) => {
        /// The value of each constant.
        fn constants() -> Vec<(&'static str, i64)> {
            vec![$((stringify!($constant), i64::from($value)),)*]
        }

        /// Size and alignment of each struct, and of each member its name, offset and size.
        fn structs() -> Vec<Struct> {
            // All members of the layout are numbers of four bytes.
            let numbers = FAMILIES[0].layout.members().into_iter().enumerate();
            let members = numbers.map(|(index, (member, _))| (member, index * 4, 4)).collect();
            vec![Struct { name: "bzw_layout", size: size_of::<Layout>(), align: align_of::<Layout>(), members }, $(Struct {
                name: stringify!($c_struct),
                size: size_of::<$rust_struct>(),
                align: align_of::<$rust_struct>(),
                members: vec![$((
                    stringify!($member),
                    std::mem::offset_of!($rust_struct, $member),
                    size_of_member(|whole: &$rust_struct| &raw const whole.$member),
                ),)*],
            },)*]
        }

        /// The C prototype of each function, made of Rust's types.
        fn functions() -> Vec<(&'static str, String)> {
            vec![$((stringify!($function), {
                let _: unsafe extern "C" fn($($argument),*) -> $result = abi::$function;
                let arguments: Vec<String> = vec![$(c_type(stringify!($argument))),*];
                let arguments = if arguments.is_empty() { "void".to_string() } else { arguments.join(", ") };
                format!("{} {}({arguments});", c_type(stringify!($result)), stringify!($function))
            }),)*]
        }
    };
}

struct Struct {
    name: &'static str,
    size: usize,
    align: usize,
    members: Vec<(&'static str, usize, usize)>,
}

fn size_of_member<T, M>(_: impl Fn(&T) -> *const M) -> usize {
    size_of::<M>()
}

rust_side! {
    constants {
        BZW_ABI_VERSION = abi::ABI_VERSION;
        BZW_OK = abi::OK;
        BZW_ERR_NULL = abi::ERR_NULL;
        BZW_ERR_VERSION = abi::ERR_VERSION;
        BZW_ERR_LAYOUT = abi::ERR_LAYOUT;
        BZW_ERR_CONFIG = abi::ERR_CONFIG;
        BZW_ERR_SOCKET = abi::ERR_SOCKET;
        BZW_ERR_ARGUMENT = abi::ERR_ARGUMENT;
        BZW_ERR_PANIC = abi::ERR_PANIC;
        BZW_REPORT_INFO = Level::Info as i32;
        BZW_REPORT_WARNING = Level::Warning as i32;
        BZW_REPORT_ERROR = Level::Error as i32;
        BZW_ABSENT = ABSENT;
    }
    structs {
        bzw_option = NamedValue { name, value, }
        bzw_open_args = OpenArgs {
            struct_size, abi_version, layout, path, filter_name, globals, num_globals,
            config, num_config, fields, num_fields, report, report_context,
        }
        bzw_stats = Stats {
            struct_size, subscribed, records_written, records_sent, dropped_no_subscriber,
            dropped_queue_full, dropped_encoding, dropped_closed, unknown_values, bytes_sent,
            records_queued, records_spooled, records_recovered, dropped_spool,
        }
    }
    functions {
        fn bzw_abi_version() -> u32;
        fn bzw_version() -> *const c_char;
        fn bzw_report_code() -> *const c_char;
        fn bzw_strerror(c_int) -> *const c_char;
        fn bzw_option_name(u32) -> *const c_char;
        fn bzw_layout_known(u32, *mut Layout) -> *const c_char;
        fn bzw_layout_check(*const Layout) -> c_int;
        fn bzw_writer_open(*const OpenArgs, *mut *mut Handle) -> c_int;
        fn bzw_writer_write(*mut Handle, c_int, *const *const c_void) -> c_int;
        fn bzw_writer_reject(*mut Handle, *const c_char) -> c_int;
        fn bzw_writer_heartbeat(*mut Handle, f64, f64) -> c_int;
        fn bzw_writer_host_ends(*mut Handle) -> c_int;
        fn bzw_writer_flush(*mut Handle) -> c_int;
        fn bzw_writer_flush_interval(*const Handle) -> f64;
        fn bzw_writer_endpoints(*const Handle) -> u32;
        fn bzw_writer_stats(*const Handle, u32, *mut Stats) -> c_int;
        fn bzw_log_stats(*const c_char, *mut Stats) -> c_int;
        fn bzw_writer_close(*mut Handle) -> c_int;
    }
}

/// The callback's type is in no prototype, so it has a test of its own.
#[test]
fn the_report_callback_has_the_type_of_the_header() {
    type Report = Option<unsafe extern "C" fn(*mut c_void, c_int, *const c_char)>;
    let _: fn(&OpenArgs) -> Report = |args| args.report;
    assert!(header().contains("typedef void (*bzw_report_fn)(void* context, int level, const char* message);"));
}

/// Returns a Rust type as C writes it.
fn c_type(rust: &str) -> String {
    let rust = rust.trim();
    if let Some(pointee) = rust.strip_prefix("*const ") {
        return format!("{} const*", c_type(pointee));
    }
    if let Some(pointee) = rust.strip_prefix("*mut ") {
        return format!("{}*", c_type(pointee));
    }
    match rust {
        "u32" => "uint32_t",
        "f64" => "double",
        "c_int" => "int",
        "c_char" => "char",
        "c_void" => "void",
        "Layout" => "bzw_layout",
        "NamedValue" => "bzw_option",
        "OpenArgs" => "bzw_open_args",
        "Stats" => "bzw_stats",
        "Handle" => "bzw_writer",
        other => panic!("no C type known for {other}"),
    }
    .to_string()
}

/// The header without its comments.
fn header() -> String {
    let text = fs::read_to_string(manifest().join("include/bro_zeromq_writer.h")).expect("the header is there");
    let mut code = String::new();
    let mut rest = text.as_str();
    while let Some((before, comment)) = rest.split_once("/*") {
        code += before;
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    code + rest
}

/// The header's constants.
fn header_constants() -> Vec<String> {
    header()
        .lines()
        .filter_map(|line| line.strip_prefix("#define BZW_"))
        .map(|rest| format!("BZW_{}", rest.split_whitespace().next().unwrap_or_default()))
        .collect()
}

/// The header's structs with their members.
fn header_structs() -> Vec<(String, Vec<String>)> {
    let header = header();
    header
        .split("typedef struct ")
        .skip(1)
        .filter_map(|text| {
            let (name, rest) = text.split_once(char::is_whitespace)?;
            let (body, _) = rest.trim_start().strip_prefix('{')?.split_once('}')?;
            let members = body.split(';').map(str::trim).filter(|member| !member.is_empty());
            Some((name.to_string(), members.map(|member| last_name(member).to_string()).collect()))
        })
        .collect()
}

/// The header's functions.
fn header_functions() -> BTreeSet<String> {
    header()
        .split(';')
        .filter(|statement| {
            !statement.contains("typedef") && !statement.contains('{') || statement.contains("extern \"C\"")
        })
        .filter_map(|statement| statement.split_once('('))
        .map(|(declared, _)| last_name(declared).to_string())
        .filter(|name| name.starts_with("bzw_"))
        .collect()
}

fn last_name(declaration: &str) -> &str {
    declaration.rsplit(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap_or_default()
}

#[test]
fn header_and_rust_have_the_same_constants() {
    let rust: Vec<_> = constants().into_iter().map(|(name, _)| name).collect();
    assert_eq!(header_constants(), rust);
}

#[test]
fn header_and_rust_have_the_same_structs_and_members() {
    let rust: Vec<_> = structs()
        .into_iter()
        .map(|one| {
            let members = one.members.into_iter().map(|(name, _, _)| name.to_string()).collect();
            (one.name.to_string(), members)
        })
        .collect();
    assert_eq!(header_structs(), rust);
}

#[test]
fn header_and_rust_have_the_same_functions() {
    let rust: BTreeSet<_> = functions().into_iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(header_functions(), rust);
}

/// Compiles a C file of assertions about values, sizes, offsets and prototypes, made of what Rust has.
#[test]
fn header_and_rust_have_the_same_numbers_and_prototypes() {
    let mut text = String::from(
        "#include \"bro_zeromq_writer.h\"\n#define SAME(c, rust) _Static_assert((c) == (rust), #c \" is \" #rust \" in Rust\")\n",
    );
    for (name, value) in constants() {
        let _ = writeln!(text, "SAME({name}, {value});");
    }
    for Struct { name, size, align, members } in structs() {
        let _ = writeln!(text, "SAME(sizeof({name}), {size});\nSAME(_Alignof({name}), {align});");
        for (member, offset, size) in members {
            let _ = writeln!(text, "SAME(offsetof({name}, {member}), {offset});");
            let _ = writeln!(text, "SAME(sizeof((({name}*)0)->{member}), {size});");
        }
    }
    for (_, prototype) in functions() {
        // The header has declared the function: another type here is an error.
        let _ = writeln!(text, "{prototype}");
    }
    let source = scratch().join("same.c");
    fs::write(&source, text).expect("the file can be written");
    run(compile("CC", &["-std=c11"]).arg("-fsyntax-only").arg(&source));
}

/// The names that a shared object exports.
fn exported(library: &Path) -> BTreeSet<String> {
    let output = run(Command::new("nm").args(["-D", "--defined-only", "--format=posix"]).arg(library));
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(|name| name.split('@').next().unwrap_or_default().to_string())
        .collect()
}

#[test]
fn the_shared_library_exports_the_functions_of_the_header_and_nothing_of_its_parts() {
    let names = exported(&library("so"));
    let own: BTreeSet<_> = names.iter().filter(|name| name.starts_with("bzw_")).cloned().collect();
    assert_eq!(own, header_functions());
    let foreign: Vec<_> = names
        .iter()
        .filter(|name| ["zmq_", "sodium_", "crypto_", "randombytes"].iter().any(|part| name.starts_with(part)))
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}
