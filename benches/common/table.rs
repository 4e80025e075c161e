//! Results as tables for people, and as tab-separated values for `benches/plot.py`.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

/// Prints rows under a head, the first column to the left, the others to the right.
pub fn print(title: &str, head: &[&str], rows: &[Vec<String>]) {
    let widths: Vec<_> = (0..head.len())
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([head[column].chars().count()]).max().unwrap_or_default()
        })
        .collect();
    let line = |cells: &[&str]| {
        let mut line = String::new();
        for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            if column == 0 {
                let _ = write!(line, "{cell:<width$}");
            } else {
                let _ = write!(line, "  {cell:>width$}");
            }
        }
        line
    };
    println!("\n{title}\n");
    println!("  {}", line(head));
    for row in rows {
        println!("  {}", line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
    }
}

/// Writes `bench/NAME.tsv` in cargo's target directory.
pub fn save(name: &str, head: &[&str], rows: &[Vec<String>]) {
    let directory = directory();
    fs::create_dir_all(&directory).unwrap();
    let mut text = head.join("\t") + "\n";
    for row in rows {
        text += &(row.join("\t") + "\n");
    }
    fs::write(directory.join(name).with_extension("tsv"), text).unwrap();
}

/// Where results go.
#[must_use]
pub fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench")
}

/// A number with as many decimals as it deserves.
#[must_use]
pub fn number(value: f64) -> String {
    match value {
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
