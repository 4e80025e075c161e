//! The scripts, the library, docs/options.md and the README have the same options, with the
//! same types and defaults.

use std::collections::BTreeMap;
use std::path::Path;

use bro_zeromq_writer::writer::{Config, Given, OPTIONS, Scope};

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// An option as a script declares it.
#[derive(Debug)]
struct Declared {
    kind: String,
    /// `None` for an empty table or set.
    default: Option<String>,
    comment: String,
}

/// The constants of a script, which are its options.
fn declared(script: &str) -> BTreeMap<String, Declared> {
    let mut options = BTreeMap::new();
    let mut comment = String::new();
    for line in read(script).lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("## ") {
            comment = comment + text + " ";
        } else if let Some(declaration) = line.strip_prefix("const ") {
            let declaration = declaration.strip_suffix("&redef;").unwrap_or_else(|| panic!("{line}: no &redef")).trim();
            let (named, default) = match declaration.split_once(" = ") {
                Some((named, default)) => (named, Some(default.trim().to_owned())),
                None => (declaration, None),
            };
            let (name, kind) = match (named.split_once(": "), default.as_deref()) {
                (Some((name, kind)), _) => (name, kind),
                (None, Some("T" | "F")) => (named, "bool"),
                (None, Some(text)) if text.starts_with('"') => (named, "string"),
                (None, Some(number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => (named, "count"),
                (None, _) => panic!("{script}: what is the type of {named}?"),
            };
            let option = Declared { kind: kind.to_owned(), default, comment: std::mem::take(&mut comment) };
            // Where hosts differ, the script has the form for newer hosts first.
            options.entry(name.to_owned()).or_insert(option);
        } else if !line.starts_with('@') {
            comment.clear();
        }
    }
    options
}

fn all_declared() -> BTreeMap<String, Declared> {
    let mut options = declared("scripts/init.zeek");
    options.append(&mut declared("scripts/NCSA/ZeroMQWriter/logs-to-zeromq.zeek"));
    options
}

/// The sections of docs/options.md: the options in the heading, the line below the heading, the rest.
fn sections() -> Vec<(Vec<String>, String, String)> {
    read("docs/options.md")
        .split("\n## ")
        .skip(1)
        .map(|section| {
            let mut lines = section.lines();
            let heading = lines.next().unwrap().split(',').map(|name| name.trim().to_owned()).collect();
            let summary = lines.next().unwrap_or_default().to_owned();
            (heading, summary, lines.collect::<Vec<_>>().join("\n").trim().to_owned())
        })
        .collect()
}

#[test]
fn every_option_of_the_library_is_in_the_scripts_and_commented() {
    let declared = all_declared();
    for option in OPTIONS {
        let name = option.name();
        let script = declared.get(name).unwrap_or_else(|| panic!("no script declares LogZeroMQ::{name}"));
        let default = script.default.as_deref().unwrap_or_default().trim_matches('"');
        assert_eq!((&*script.kind, default), (option.kind, option.default), "LogZeroMQ::{name}");
    }
    for (name, option) in &declared {
        assert!(!option.comment.is_empty(), "LogZeroMQ::{name} has no ## comment");
    }
    // The other script, which adds filters, has the options that do not concern the writer.
    for name in declared_in_init() {
        let is_of_the_glue = name == "only_known_hosts";
        assert!(is_of_the_glue || is_of_the_library(&name), "LogZeroMQ::{name} is not an option of the library");
    }
}

fn declared_in_init() -> Vec<String> {
    declared("scripts/init.zeek").into_keys().collect()
}

fn is_of_the_library(name: &str) -> bool {
    OPTIONS.iter().any(|option| option.name() == name)
}

#[test]
fn every_option_is_documented_with_its_type_and_default() {
    let mut declared = all_declared();
    for (names, summary, text) in sections() {
        assert!(!text.is_empty(), "docs/options.md says nothing about {names:?}");
        for name in names {
            let option = declared.remove(&name).unwrap_or_else(|| panic!("docs/options.md: there is no option {name}"));
            let default = option.default.map_or("default empty".to_owned(), |text| format!("default `{text}`"));
            for part in [format!("`{}`", option.kind), default] {
                assert!(summary.contains(&part), "docs/options.md, {name}: {summary:?} lacks {part}");
            }
            assert_eq!(
                summary.contains("per filter"),
                is_of_the_library(&name),
                "docs/options.md, {name}: only options of the library can be set per filter"
            );
        }
    }
    assert!(declared.is_empty(), "docs/options.md lacks {:?}", declared.keys());
}

#[test]
fn the_readmes_options_are_options_with_their_defaults() {
    let readme = read("README.md");
    let declared = all_declared();
    let table = readme.split("## Options").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<_> = table.lines().filter_map(|line| line.strip_prefix("| `")).collect();
    assert_eq!(rows.len(), 8);
    for row in rows {
        let mut cells = row.split('|').map(str::trim);
        let name = cells.next().unwrap().trim_end_matches('`');
        let option = declared.get(name).unwrap_or_else(|| panic!("README.md: there is no option {name}"));
        match cells.next().unwrap().strip_prefix('`') {
            Some(default) => {
                let declared = option.default.as_deref().unwrap_or_default();
                assert_eq!(default.trim_end_matches('`'), declared, "the README's default of {name}");
            }
            None => assert_eq!(option.default, None, "the README's default of {name}"),
        }
    }
}

#[test]
fn the_scripts_defaults_are_the_librarys() {
    let declared = all_declared();
    let endpoint = Given { scope: Scope::Filter, name: "endpoint", value: "tcp://127.0.0.1:1" };
    let given: Vec<_> = declared
        .iter()
        .filter(|(name, _)| is_of_the_library(name))
        .filter_map(|(name, option)| {
            let value = option.default.as_deref()?.trim_matches('"');
            Some(Given { scope: Scope::Global, name, value })
        })
        .chain([endpoint])
        .collect();
    assert!(given.len() > 6);
    assert_eq!(Config::parse(&given), Config::parse(&[endpoint]));
}

#[test]
fn the_oldest_system_is_the_one_that_packages_are_checked_for() {
    let check = read("packaging/glibc");
    for (library, name) in [("GLIBC ", "glibc "), ("GLIBCXX ", "GLIBCXX ")] {
        let stated = check.lines().find_map(|line| line.strip_prefix(library)).unwrap();
        for document in ["README.md", "docs/packages.md"] {
            assert!(read(document).contains(&format!("{name}{stated}")), "{document} does not state {name}{stated}");
        }
    }
}
