//! What encoding a record costs, for every log that is committed, next to its peers:
//!
//! - serde_json, given the same values as native Rust types;
//! - RapidJSON used as hosts use it, reading the very same memory;
//! - a copy of the finished bytes, which nothing can be faster than.
//!
//! `cargo bench --bench encoder -- [--quick] [LOG]...`

mod common;

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bro_zeromq_writer::host::Address;
use common::rapidjson::{RapidJson, same_but_for_digits};
use common::table::{self, number};
use common::{Arguments, MEMORY, Peer, Set, compare, logs};
use fake_host::Cell;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// A value as a Rust program that uses serde_json would have it.
enum Native {
    Bool(bool),
    Int(i64),
    Count(u64),
    Double(f64),
    Addr(IpAddr),
    Subnet(IpAddr, u8),
    Text(String),
    List(Vec<Option<Native>>),
}

/// The columns of a record that are set, under their names. They are not known when the
/// program is compiled, so that a derived struct is not an option for a log writer.
struct Row<'a> {
    names: &'a [String],
    values: Vec<Option<Native>>,
}

impl Serialize for Native {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Count(value) => serializer.serialize_u64(*value),
            Self::Double(value) => serializer.serialize_f64(*value),
            Self::Addr(address) => address.serialize(serializer),
            Self::Subnet(address, length) => serializer.collect_str(&format_args!("{address}/{length}")),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(values) => {
                let mut sequence = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    sequence.serialize_element(value)?;
                }
                sequence.end()
            }
        }
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.names.iter().zip(&self.values) {
            if let Some(value) = value {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

/// A cell as a native value. `text` is what a JSON reader makes of it, for text that had to be escaped.
fn native(cell: &Cell, text: Option<&serde_json::Value>) -> Option<Native> {
    let address = |address: &Address| match address {
        Address::V4(octets) => IpAddr::from(Ipv4Addr::from(*octets)),
        Address::V6(octets) => IpAddr::from(Ipv6Addr::from(*octets)),
    };
    Some(match cell {
        Cell::Unset(_) => return None,
        Cell::Bool(value) => Native::Bool(*value),
        Cell::Int(value) => Native::Int(*value),
        Cell::Count(value) | Cell::Port(value, _) => Native::Count(*value),
        Cell::Double(value) | Cell::Interval(value) | Cell::Time(value) => Native::Double(*value),
        Cell::Addr(value) => Native::Addr(address(value)),
        Cell::Subnet(prefix @ Address::V4(_), length) => Native::Subnet(address(prefix), length - 96),
        Cell::Subnet(prefix, length) => Native::Subnet(address(prefix), *length),
        Cell::Text(_, bytes) => Native::Text(match text {
            Some(serde_json::Value::String(text)) => text.clone(),
            _ => String::from_utf8(bytes.clone()).unwrap(),
        }),
        Cell::List(_, cells) => {
            Native::List(cells.iter().enumerate().map(|(at, cell)| native(cell, text.map(|list| &list[at]))).collect())
        }
        Cell::Raw(..) => unreachable!("logs have none"),
    })
}

/// Makes sure that everybody writes the same, and returns the records for serde_json.
fn check<'a>(set: &'a Set, json: &[Vec<u8>], rapidjson: Option<RapidJson>) -> Vec<Row<'a>> {
    let mut other = vec![0; MEMORY];
    let mut rows = Vec::new();
    for (index, ours) in json.iter().enumerate() {
        let text = String::from_utf8_lossy(ours);
        let parsed: serde_json::Value = serde_json::from_slice(ours).unwrap_or_else(|error| panic!("{error}: {text}"));
        let values = set.names.iter().zip(&set.cells[index]).map(|(name, cell)| native(cell, parsed.get(name)));
        let row = Row { names: &set.names, values: values.collect() };
        let theirs = serde_json::to_vec(&row).unwrap();
        let theirs: serde_json::Value = serde_json::from_slice(&theirs).unwrap();
        assert_eq!(parsed, theirs, "serde_json differs in {}", set.path);
        rows.push(row);
        if let Some(rapidjson) = rapidjson {
            let len = rapidjson.format(set, index, &mut other);
            let theirs = &other[..len];
            assert!(
                same_but_for_digits(ours, theirs),
                "RapidJSON differs in {}:\n{text}\n{}",
                set.path,
                String::from_utf8_lossy(theirs)
            );
        }
    }
    rows
}

fn main() {
    let arguments = Arguments::parse();
    let rapidjson = RapidJson::load();
    let mut summary = Vec::new();
    let mut saved = Vec::new();
    for log in logs().iter().filter(|log| arguments.wants(&log.path)) {
        let set = Set::of(log);
        let json = set.json();
        let rows = check(&set, &json, rapidjson);
        let bytes = json.iter().map(Vec::len).sum::<usize>() as f64 / json.len() as f64;

        let mut ours = vec![MaybeUninit::uninit(); MEMORY];
        let mut serde = Vec::with_capacity(MEMORY);
        let [mut host, mut copy] = [(); 2].map(|()| vec![0_u8; MEMORY]);
        let mut peers: Vec<Peer<'_>> = vec![
            (
                "ours",
                Box::new(|| {
                    for index in 0..set.len() {
                        black_box(set.encode(index, black_box(&mut ours)));
                    }
                }),
            ),
            (
                "memcpy",
                Box::new(|| {
                    for record in &json {
                        black_box(&mut copy)[..record.len()].copy_from_slice(record);
                    }
                }),
            ),
            (
                "serde_json",
                Box::new(|| {
                    for row in &rows {
                        serde.clear();
                        serde_json::to_writer(black_box(&mut serde), row).unwrap();
                    }
                }),
            ),
        ];
        if let Some(rapidjson) = rapidjson {
            let set = &set;
            peers.push((
                "RapidJSON",
                Box::new(move || {
                    for index in 0..set.len() {
                        black_box(rapidjson.format(set, index, black_box(&mut host)));
                    }
                }),
            ));
        }
        let costs = compare(arguments.effort, json.len(), &mut peers);

        let lines: Vec<_> = peers
            .iter()
            .zip(&costs)
            .map(|((name, _), cost)| {
                let spread = format!("{} – {}", number(cost.low), number(cost.high));
                let speed = bytes / cost.median * 1000.0;
                vec![(*name).to_owned(), number(cost.median), spread, number(speed), number(cost.ratio)]
            })
            .collect();
        let distinct = log.records.len();
        let title = format!("{}: {bytes:.0} bytes a record on average, from {distinct} records", log.path);
        table::print(&title, &["", "ns/record", "10 % – 90 %", "MB/s", "ours is faster by"], &lines);
        for ((name, _), cost) in peers.iter().zip(&costs) {
            let numbers = [bytes, cost.median, cost.low, cost.high, cost.ratio].map(|value| format!("{value:.3}"));
            saved.push([log.path.clone(), (*name).to_owned()].into_iter().chain(numbers).collect());
        }
        let mut line = vec![log.path.clone(), format!("{bytes:.0}"), number(costs[0].median)];
        line.extend(costs[1..].iter().map(|cost| number(cost.ratio)));
        line.resize(6, "–".to_owned());
        summary.push(line);
    }
    let head = ["log", "bytes", "ns/record", "memcpy", "serde_json", "RapidJSON"];
    table::print("All logs: our cost, and the peers' as a multiple of it", &head, &summary);
    table::save("encoder", &["log", "peer", "bytes", "ns", "low", "high", "ratio"], &saved);
}
