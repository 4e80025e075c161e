//! Encodes records that a real Zeek logged, from its TSV logs, and compares them byte for byte with
//! the JSON that the same Zeek wrote for them: every log in `tests/data/logs`.
//!
//! TSV rounds times, intervals and doubles to six decimals. So each of these numbers is first compared
//! with the JSON's number, and then encoded from the JSON's number. TSV also writes an empty set like a
//! set of one empty string; the JSON decides. RapidJSON does not always find the fewest digits: where
//! ours differ, they must be the same double in fewer characters.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

use bro_zeromq_writer::host::{AnyShape, Field, Record, family_of_version};
use bro_zeromq_writer::json::{FieldPlan, Out, Style, encode};
use fake_host::zeeklog::{Item, Reader};
use fake_host::{Cell, Columns, Synth, Type};
use serde_json::Value;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/logs")
}

/// Every log that exists in both forms: its name, its TSV file, its JSON file.
fn logs() -> Vec<(String, PathBuf, PathBuf)> {
    let mut logs = Vec::new();
    for run in fs::read_dir(data()).expect("tests/data/logs").map(|run| run.unwrap().path()).filter(|run| run.is_dir())
    {
        for tsv in fs::read_dir(run.join("tsv")).unwrap().map(|file| file.unwrap().path()) {
            let json = run.join("json").join(tsv.file_name().unwrap());
            assert!(json.is_file(), "{} has no JSON form", tsv.display());
            let name = format!("{}/{}", run.file_name().unwrap().display(), tsv.file_stem().unwrap().display());
            logs.push((name, tsv, json));
        }
    }
    logs.sort();
    logs
}

/// Gives each number in a cell its full digits from the JSON, once they agree with the rounded number.
fn refine(cell: &mut Cell, json: &Value) {
    let exact = |rounded: f64| {
        let exact = json.as_f64().unwrap_or_else(|| panic!("{rounded} is {json} in JSON"));
        assert!((exact - rounded).abs() <= 0.500_001e-6 + rounded.abs() * 1e-15, "{rounded} is {exact} in JSON");
        exact
    };
    match cell {
        Cell::Time(number) | Cell::Interval(number) | Cell::Double(number) => *number = exact(*number),
        Cell::List(_, cells) => {
            let elements = json.as_array().map_or(&[][..], Vec::as_slice);
            // TSV writes a set of one empty string like an empty set.
            if cells.is_empty() && elements == [Value::from("")] {
                cells.push(Cell::Text(Type::String, Vec::new()));
            }
            for (cell, json) in cells.iter_mut().zip(elements) {
                refine(cell, json);
            }
        }
        _ => {}
    }
}

/// The length of the number that the text begins with.
fn number_len(text: &[u8]) -> usize {
    text.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')).count()
}

/// Returns how many numbers are shorter in our text, or `None` if the texts differ in anything else.
fn equal_but_for_digits(ours: &[u8], theirs: &[u8]) -> Option<usize> {
    let (mut a, mut b, mut shorter) = (0, 0, 0);
    while a < ours.len() && b < theirs.len() {
        if ours[a] == theirs[b] {
            (a, b) = (a + 1, b + 1);
            continue;
        }
        // Go back to the start of the number in which the texts differ.
        let back = ours[..a].iter().rev().take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'.' | b'e')).count();
        let (start_a, start_b) = (a - back, b - back);
        let (len_a, len_b) = (number_len(&ours[start_a..]), number_len(&theirs[start_b..]));
        let parse = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<f64>().ok();
        let same = parse(&ours[start_a..start_a + len_a])? == parse(&theirs[start_b..start_b + len_b])?;
        if !same || len_a > len_b || start_a + len_a <= a && start_b + len_b <= b {
            return None;
        }
        shorter += 1;
        (a, b) = (start_a + len_a, start_b + len_b);
    }
    (a == ours.len() && b == theirs.len()).then_some(shorter)
}

/// Compares one log; returns how many records it has and how many numbers are shorter in our text.
fn compare(name: &str, tsv: &Path, json: &Path) -> (usize, usize) {
    let layout = &family_of_version(8, 0).unwrap().layout;
    let AnyShape::Zeek80(shape) = AnyShape::new(layout).unwrap() else { unreachable!() };
    let mut lines = BufReader::new(File::open(json).unwrap()).lines();
    let (mut plans, mut header, mut synth) = (Vec::new(), None, Synth::new(layout));
    let mut memory = vec![MaybeUninit::uninit(); 1 << 20];
    let (mut records, mut shorter) = (0, 0);
    for item in Reader::new(BufReader::new(File::open(tsv).unwrap())) {
        match item.unwrap_or_else(|error| panic!("{name}: {error}")) {
            Item::Header(new) => {
                let columns =
                    Columns::new(layout, new.columns.iter().map(|column| (column.name.as_str(), column.kind)));
                // SAFETY: `columns` was made for this layout and lives on.
                let fields = unsafe { Field::read_all(columns.as_ptr().cast(), columns.len(), layout) }.unwrap();
                // One plan uses this processor's instructions, the other those that every processor has.
                plans = vec![FieldPlan::new(&fields, layout, Style::default())];
                let mut baseline = FieldPlan::new(&fields, layout, Style::default());
                if baseline.use_baseline() {
                    plans.push(baseline);
                }
                header = Some(new);
            }
            Item::Json(_) => panic!("{name}: a line of JSON"),
            Item::Record(mut cells) => {
                records += 1;
                let line = lines.next().unwrap_or_else(|| panic!("{name}: fewer JSON lines than records")).unwrap();
                let value: Value = serde_json::from_str(&line).unwrap();
                for (cell, column) in cells.iter_mut().zip(&header.as_ref().unwrap().columns) {
                    if let Some(json) = value.get(&column.name) {
                        refine(cell, json);
                    }
                }
                let values = synth.record(&cells).as_ptr().cast();
                let mut counts = Vec::new();
                for plan in &plans {
                    let mut out = Out::new(&mut memory);
                    // SAFETY: `values` was made for this layout, one for each column, and lives on.
                    unsafe { encode(plan, Record::new(values, shape), &mut out) }.unwrap();
                    match equal_but_for_digits(out.written(), line.as_bytes()) {
                        Some(count) => counts.push(count),
                        None => panic!(
                            "{name}, record {records}:\n  ours {}\n  host {line}",
                            String::from_utf8_lossy(out.written())
                        ),
                    }
                }
                shorter += counts[0];
            }
        }
    }
    assert!(lines.next().is_none(), "{name}: more JSON lines than records");
    (records, shorter)
}

#[test]
fn every_record_of_a_real_host_byte_for_byte() {
    let mut total = 0;
    for (name, tsv, json) in logs() {
        let (records, shorter) = compare(&name, &tsv, &json);
        println!("{name}: {records} records, {shorter} numbers in fewer digits than RapidJSON's");
        total += records;
    }
    assert!(total > 500, "only {total} records");
}

#[test]
fn at_least_the_logs_that_matter() {
    let names: Vec<_> = logs().into_iter().map(|(name, ..)| name).collect();
    for wanted in [
        "conn", "dns", "http", "files", "ssl", "x509", "ssh", "smtp", "ftp", "weird", "notice", "software", "dhcp",
        "ntp",
    ] {
        assert!(names.iter().any(|name| name.ends_with(&format!("/{wanted}"))), "there is no {wanted} log");
    }
}

#[test]
fn the_comparison_finds_differences() {
    assert_eq!(equal_but_for_digits(br#"{"a":1.5,"b":"x"}"#, br#"{"a":1.5,"b":"x"}"#), Some(0));
    assert_eq!(equal_but_for_digits(br#"{"a":0.3,"b":1}"#, br#"{"a":0.30000000000000000,"b":1}"#), Some(1));
    for other in [r#"{"a":1.6,"b":"x"}"#, r#"{"a":1.5,"b":"y"}"#, r#"{"a":1.5,"b":"x"} "#, r#"{"a":1.5}"#, ""] {
        assert_eq!(equal_but_for_digits(br#"{"a":1.5,"b":"x"}"#, other.as_bytes()), None, "{other}");
    }
}
