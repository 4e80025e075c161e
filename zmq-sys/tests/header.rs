//! Compares every declaration in `src/lib.rs` with the `zmq.h` that is linked.
//!
//! The declarations are read from the source, translated to C and compiled
//! together with `zmq.h`, which fails if they differ.

use std::fmt::Write as _;
use std::io::Write as _;
use std::mem::{align_of, offset_of, size_of};
use std::process::Stdio;

use zmq_sys::{zmq_msg_t, zmq_pollitem_t};

mod compiler;

const SOURCE: &str = include_str!("../src/lib.rs");

/// A public item, with the libzmq version its description asks for.
struct Item {
    text: String,
    since: Option<(u32, u32)>,
}

impl Item {
    /// Code for this item, if the header is new enough to have it.
    fn guard(&self, code: &str) -> String {
        match self.since {
            None => format!("{code}\n"),
            Some((major, minor)) => {
                format!("#if ZMQ_VERSION >= ZMQ_MAKE_VERSION ({major}, {minor}, 0)\n{code}\n#endif\n")
            }
        }
    }
}

/// The public items of the crate's root, each on one line. Its modules have what `zmq.h` has not.
fn items(source: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut description = String::new();
    let mut lines = source.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if let Some(text) = line.strip_prefix("///") {
            description.push_str(text);
            continue;
        }
        if line.starts_with("pub ") && !line.starts_with("pub struct ") && !line.starts_with("pub mod ") {
            let mut text = line.to_owned();
            while !text.ends_with(';') {
                text.push(' ');
                text.push_str(lines.next().expect("end of the item"));
            }
            items.push(Item { text, since: since(&description) });
        } else if line.starts_with("pub struct ") {
            let mut text = line.to_owned();
            while !text.ends_with('}') {
                let line = lines.next().expect("end of the item");
                if !line.starts_with("//") {
                    text.push(' ');
                    text.push_str(line);
                }
            }
            items.push(Item { text, since: since(&description) });
        }
        if !line.starts_with("#[") {
            description.clear();
        }
    }
    items
}

fn since(description: &str) -> Option<(u32, u32)> {
    let (_, version) = description.split_once("since libzmq ")?;
    let (major, minor) = version.trim_end_matches('.').split_once('.')?;
    Some((major.parse().unwrap(), minor.parse().unwrap()))
}

/// The C type, without a space behind pointers.
fn c_type(rust: &str) -> String {
    let rust = rust.trim();
    if let Some(target) = rust.strip_prefix("*mut ") {
        return format!("{} *", c_type(target));
    }
    if let Some(target) = rust.strip_prefix("*const ") {
        let qualifier = match target {
            // Before 4.2, zmq.h had no const there.
            "zmq_msg_t" => "CONST_MSG",
            _ => "const",
        };
        return format!("{qualifier} {} *", c_type(target));
    }
    match rust {
        "c_char" => "char",
        "c_int" => "int",
        "c_long" => "long",
        "c_short" => "short",
        "c_void" => "void",
        "u8" => "uint8_t",
        "usize" => "size_t",
        "zmq_msg_t" => "zmq_msg_t",
        "zmq_pollitem_t" => "zmq_pollitem_t",
        "Option<zmq_free_fn>" => "zmq_free_fn *",
        _ => panic!("no C type is known for {rust:?}"),
    }
    .to_owned()
}

/// Return type and parameters of `(name: type, ...) -> type`.
fn c_signature(rust: &str) -> (String, String) {
    let (parameters, result) =
        rust.strip_prefix('(').and_then(|text| text.split_once(')')).expect("a list of parameters");
    let parameters: Vec<_> = parameters
        .split(',')
        .map(str::trim)
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| c_type(parameter.split_once(':').expect("a type").1))
        .collect();
    let parameters = match parameters.is_empty() {
        true => "void".to_owned(),
        false => parameters.join(", "),
    };
    let result = match result.trim().strip_prefix("->") {
        Some(result) => c_type(result),
        None => "void".to_owned(),
    };
    (result, parameters)
}

/// A C file that compiles only if the header agrees with the Rust source.
fn translate(source: &str) -> String {
    let mut c = String::from(
        "#include <zmq.h>\n\
         #include <stddef.h>\n\
         #include <stdint.h>\n\
         #if ZMQ_VERSION >= ZMQ_MAKE_VERSION (4, 2, 0)\n\
         #define CONST_MSG const\n\
         #else\n\
         #define CONST_MSG\n\
         #endif\n",
    );
    for item in items(source) {
        let text = item.text.strip_prefix("pub ").unwrap();
        let code = if let Some(constant) = text.strip_prefix("const ") {
            let (name, rest) = constant.split_once(": ").expect("a type");
            let (kind, value) = rest.split_once(" = ").expect("a value");
            let kind = c_type(kind);
            let value = value.trim_end_matches(';');
            format!(
                "_Static_assert ({name} == ({value}), \"{name}\");\n\
                 _Static_assert (({kind}) {name} == {name}, \"{name}\");"
            )
        } else if let Some(function) = text.strip_prefix("fn ") {
            let (name, rest) = function.split_at(function.find('(').expect("parameters"));
            let (result, parameters) = c_signature(rest.trim_end_matches(';'));
            // Without the first line, a function that is not in zmq.h would do.
            format!(
                "void use_{name} (void) {{ (void) &{name}; }}\n\
                 {result} {name} ({parameters});"
            )
        } else if let Some(alias) = text.strip_prefix("type ") {
            let (name, rest) = alias.split_once(" = unsafe extern \"C\" fn").expect("a function");
            let (result, parameters) = c_signature(rest.trim_end_matches(';'));
            format!("typedef {result} ({name}) ({parameters});")
        } else if let Some(structure) = text.strip_prefix("struct ") {
            layout(structure)
        } else {
            panic!("no C is known for {text:?}");
        };
        c.push_str(&item.guard(&code));
    }
    c
}

/// Size, alignment and fields as they are in Rust, asserted in C.
fn layout(structure: &str) -> String {
    let (name, fields) = structure.split_once(" {").expect("fields");
    let fields: Vec<_> = fields
        .trim_end_matches('}')
        .split(',')
        .filter_map(|field| field.trim().strip_prefix("pub ")?.split_once(": "))
        .collect();
    let (size, align, offsets) = match name {
        "zmq_msg_t" => (size_of::<zmq_msg_t>(), align_of::<zmq_msg_t>(), vec![]),
        "zmq_pollitem_t" => (
            size_of::<zmq_pollitem_t>(),
            align_of::<zmq_pollitem_t>(),
            vec![
                ("socket", offset_of!(zmq_pollitem_t, socket)),
                ("fd", offset_of!(zmq_pollitem_t, fd)),
                ("events", offset_of!(zmq_pollitem_t, events)),
                ("revents", offset_of!(zmq_pollitem_t, revents)),
            ],
        ),
        _ => panic!("the layout of {name} is not known"),
    };
    let names: Vec<_> = fields.iter().map(|&(field, _)| field).collect();
    let known: Vec<_> = offsets.iter().map(|&(field, _)| field).collect();
    assert_eq!(names, known, "fields of {name}");

    let mut c = format!("_Static_assert (sizeof ({name}) == {size}, \"size of {name}\");\n");
    // Before 4.2, zmq.h did not align messages, though the library relied on it.
    writeln!(
        c,
        "_Static_assert (_Alignof ({name}) == {align} || \
         ZMQ_VERSION < ZMQ_MAKE_VERSION (4, 2, 0), \"alignment of {name}\");"
    )
    .unwrap();
    for ((field, kind), (_, offset)) in fields.iter().zip(offsets) {
        writeln!(
            c,
            "_Static_assert (offsetof ({name}, {field}) == {offset}, \"{name}.{field}\");\n\
             _Static_assert (_Generic ((({name} *) 0)->{field}, {}: 1, default: 0), \"{name}.{field}\");",
            c_type(kind)
        )
        .unwrap();
    }
    c
}

/// Compiles with the header that is linked, and returns the messages on failure.
fn compile(code: &str) -> Result<(), String> {
    let mut child = compiler::command("CC", "cc")
        .args(["-std=gnu11", "-fsyntax-only", "-x", "c", "-I"])
        .arg(env!("ZMQ_SYS_INCLUDE"))
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run the C compiler");
    // The statement drops this end of the pipe, which closes it.
    child.stdin.take().unwrap().write_all(code.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[test]
fn declarations_agree_with_header() {
    if let Err(messages) = compile(&translate(SOURCE)) {
        panic!("{messages}");
    }
}

/// Counts in a way that has little in common with `items`.
#[test]
fn nothing_is_left_out() {
    let items = items(SOURCE);
    for kind in ["pub const ", "pub fn ", "pub type ", "pub struct "] {
        let parsed = items.iter().filter(|item| item.text.starts_with(kind));
        assert_eq!(parsed.count(), SOURCE.matches(kind).count(), "{kind}");
    }
    let recent = items.iter().filter(|item| item.since.is_some());
    let described = SOURCE.replace("\n/// ", " ").matches("since libzmq 4").count();
    assert_eq!(recent.count(), described);
}

#[test]
fn differences_are_found() {
    for (from, to) in [
        // A value.
        ("ZMQ_SNDHWM: c_int = 23", "ZMQ_SNDHWM: c_int = 24"),
        ("ZMQ_HAUSNUMERO + 53", "ZMQ_HAUSNUMERO + 54"),
        ("ZMQ_HEARTBEAT_IVL: c_int = 75", "ZMQ_HEARTBEAT_IVL: c_int = 76"),
        // A name.
        ("const ZMQ_LINGER:", "const ZMQ_LINGERS:"),
        ("fn zmq_has(", "fn zmq_had("),
        // A result, a parameter, their number, and const.
        ("fn zmq_errno() -> c_int", "fn zmq_errno() -> c_long"),
        ("nitems: c_int", "nitems: c_long"),
        ("capability: *const c_char", "capability: *mut c_char"),
        ("errnum: c_int", "errnum: c_int, more: c_int"),
        ("zmq_free_fn = unsafe extern \"C\" fn(data: *mut", "zmq_free_fn = unsafe extern \"C\" fn(data: *const"),
        // A field.
        ("pub events: c_short", "pub events: c_int"),
    ] {
        assert_eq!(SOURCE.matches(from).count(), 1, "{from}");
        if from.contains("HEARTBEAT") && env!("ZMQ_SYS_VERSION").starts_with("4.1.") {
            continue;
        }
        let changed = SOURCE.replace(from, to);
        assert!(compile(&translate(&changed)).is_err(), "{to}");
    }
}
