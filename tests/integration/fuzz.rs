//! A short run of the fuzz targets in `fuzz/`, without libFuzzer: each target gets its seeds, first as they
//! are, then with bytes changed at random, equally on every machine. BZW_FUZZ=N makes the run N times as long.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;

/// Random numbers (xorshift64*), which depend on the seed alone.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }

    /// Changes some bytes.
    fn mutate(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        const NOTABLE: [u8; 10] = [0, 1, 0x7f, 0x80, 0xff, b'\n', b'\t', b'"', b'\\', b','];
        for _ in 0..=self.below(8) {
            let at = self.below(bytes.len() + 1);
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] = NOTABLE[self.below(NOTABLE.len())],
                1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                2 => bytes.truncate(at),
                3 => {
                    let new: Vec<u8> = (0..self.below(40)).map(|_| self.below(256) as u8).collect();
                    bytes.splice(at..at, new);
                }
                4 if !other.is_empty() => {
                    let from = self.below(other.len());
                    let part = &other[from..(from + self.below(60)).min(other.len())];
                    bytes.splice(at..at, part.iter().copied());
                }
                _ if at < bytes.len() => drop(bytes.remove(at)),
                _ => {}
            }
        }
    }
}

fn run(name: &str, rounds: usize, target: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let seeds: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert!(seeds.len() >= 3, "{name} has too few seeds");
    for (seed, file) in seeds.iter().zip(&files) {
        println!("{}", file.display());
        target(seed);
    }
    target(&[]);
    let times = std::env::var("BZW_FUZZ").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..rounds * times {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        let other = &seeds[random.below(seeds.len())];
        random.mutate(&mut bytes, other);
        // The harness shows this if the target fails.
        println!("{name} {round}: {bytes:02x?}");
        target(&bytes);
    }
}

#[test]
fn values_in_a_hosts_memory() {
    run("record", 6000, targets::record);
}

#[test]
fn calls_of_the_c_abi() {
    run("abi", 1000, targets::abi);
}

#[test]
fn files_of_a_spool() {
    run("spool", 6000, targets::spool);
}

#[test]
fn logs_to_be_replayed() {
    run("replay", 6000, targets::replay);
}

#[test]
fn options_and_key_files() {
    run("config", 30_000, targets::config);
}
