//! How fast text is encoded, next to a copy of it: clean ASCII, text with characters that
//! JSON escapes, UTF-8, and bytes that are neither, from 16 to 4,096 bytes long.
//!
//! `cargo bench --bench text -- [--quick] [KIND]...`

mod common;

use std::hint::black_box;
use std::mem::MaybeUninit;

use common::rapidjson::{RapidJson, same_but_for_digits};
use common::table::{self, number};
use common::{Arguments, MEMORY, Peer, RECORDS, Random, Set, compare};
use fake_host::{Cell, Type};

/// Text of a kind, of so many bytes.
type Make = fn(&mut Random, usize) -> Vec<u8>;

const KINDS: [(&str, &str, Make); 7] = [
    ("ascii", "printable ASCII, as in URIs and user agents", |random, len| {
        const BYTES: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/?#[]@!$&'()*+,;=% ";
        (0..len).map(|_| BYTES[random.below(BYTES.len())]).collect()
    }),
    ("one-quote", "ASCII with one quote somewhere", |random, len| {
        let mut text = vec![b'x'; len];
        text[random.below(len)] = b'"';
        text
    }),
    ("quotes", "ASCII, one byte in eight a quote, a backslash or a line end", |random, len| {
        (0..len).map(|_| if random.below(8) == 0 { b"\"\\\n\t"[random.below(4)] } else { b'x' }).collect()
    }),
    ("latin", "UTF-8, one letter in six of two bytes, as in German or French", |random, len| {
        utf8(random, len, |random| {
            if random.below(6) == 0 { "äéüß"[random.below(4) * 2..].chars().next() } else { Some('x') }
        })
    }),
    ("cjk", "UTF-8, letters of three bytes, as in Chinese", |random, len| {
        utf8(random, len, |random| char::from_u32(0x4e00 + random.below(5000) as u32))
    }),
    ("bad-end", "ASCII, the last byte not valid", |_, len| {
        let mut text = vec![b'x'; len];
        text[len - 1] = 0xff;
        text
    }),
    ("random", "random bytes", |random, len| (0..len).map(|_| random.next() as u8).collect()),
];

/// Letters until no other fits, and then ASCII.
fn utf8(random: &mut Random, len: usize, letter: fn(&mut Random) -> Option<char>) -> Vec<u8> {
    let mut text = String::with_capacity(len);
    while let Some(letter) = letter(random).filter(|letter| text.len() + letter.len_utf8() <= len) {
        text.push(letter);
    }
    text.extend(std::iter::repeat_n('x', len - text.len()));
    text.into_bytes()
}

fn main() {
    let arguments = Arguments::parse();
    let rapidjson = RapidJson::load();
    let mut saved = Vec::new();
    // Of clean text and of the slowest: bytes, GB/s, kind.
    let (mut clean, mut slowest) = (Vec::new(), Vec::<(usize, f64, &str)>::new());
    for (kind, description, make) in KINDS.iter().filter(|(kind, ..)| arguments.wants(kind)) {
        let mut lines = Vec::new();
        for len in [16, 32, 64, 128, 256, 1024, 4096] {
            let mut random = Random(len as u64);
            let texts: Vec<_> = (0..RECORDS).map(|_| make(&mut random, len)).collect();
            let cells = texts.iter().map(|text| vec![Cell::Text(Type::String, text.clone())]).collect();
            let set = Set::new("text", [("text", Type::String)].into_iter(), cells);
            let mut ours = vec![MaybeUninit::uninit(); MEMORY];
            let [mut host, mut copy] = [(); 2].map(|()| vec![0_u8; MEMORY]);
            if let Some(rapidjson) = rapidjson {
                for (index, json) in set.json().iter().enumerate() {
                    let theirs = rapidjson.format(&set, index, &mut host);
                    assert!(same_but_for_digits(json, &host[..theirs]), "RapidJSON differs for {kind}");
                }
            }
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
                        for text in &texts {
                            black_box(&mut copy)[..text.len()].copy_from_slice(text);
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
            let costs = compare(arguments.effort, RECORDS, &mut peers);
            let speed = |ns: f64| len as f64 / ns;
            let (ours, known) = (speed(costs[0].median), slowest.iter().position(|slowest| slowest.0 == len));
            if *kind == KINDS[0].0 {
                clean.push((len, ours));
            }
            match known {
                None => slowest.push((len, ours, kind)),
                Some(known) if ours < slowest[known].1 => slowest[known] = (len, ours, kind),
                Some(_) => {}
            }
            let mut line = vec![len.to_string(), number(costs[0].median), number(speed(costs[0].median))];
            line.push(number(speed(costs[1].median)));
            line.push(format!("{:.0} %", 100.0 * costs[1].ratio));
            line.push(costs.get(2).map_or("–".to_owned(), |cost| number(cost.ratio)));
            lines.push(line);
            for ((peer, _), cost) in peers.iter().zip(&costs) {
                let numbers = [cost.median, speed(cost.median), cost.ratio].map(|value| format!("{value:.3}"));
                let words = [(*kind).to_owned(), len.to_string(), (*peer).to_owned()];
                saved.push(words.into_iter().chain(numbers).collect());
            }
        }
        let head = ["bytes", "ns/record", "GB/s", "memcpy GB/s", "of memcpy", "RapidJSON / ours"];
        table::print(&format!("{kind}: {description}; a record with one column"), &head, &lines);
    }
    let lines: Vec<_> = clean
        .iter()
        .zip(&slowest)
        .map(|((len, clean), (_, speed, kind))| {
            vec![len.to_string(), number(*clean), number(*speed), (*kind).to_owned(), format!("1/{:.1}", clean / speed)]
        })
        .collect();
    if !lines.is_empty() {
        let head = ["bytes", "clean GB/s", "slowest GB/s", "which", "of clean"];
        table::print("The slowest of these texts next to clean text", &head, &lines);
    }
    table::save("text", &["kind", "bytes", "peer", "ns", "gbs", "ratio"], &saved);
}
