//! Writes to standard error: messages, and a progress line if it is a terminal.

use std::cell::Cell;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::terminal;

/// How often the progress line is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// Writes to standard error. A message that cannot be written is lost; this is no error.
pub struct Console {
    quiet: bool,
    verbose: bool,
    /// True if progress is shown.
    progress: bool,
    /// True if a progress line stands where the next message will.
    drawn: Cell<bool>,
    last: Cell<Option<Instant>>,
    /// Lines of the table that stands on standard output where the next message will.
    table: Cell<usize>,
}

/// How far a replay has come.
pub struct Progress {
    /// Bytes read.
    pub read: u64,
    /// Bytes there are to read, if that is known.
    pub total: Option<u64>,
    /// Records published.
    pub records: u64,
    /// Since the start.
    pub elapsed: Duration,
    /// A note to go with it.
    pub note: &'static str,
}

impl Console {
    /// `quiet`: errors and warnings only; `verbose`: whatever the writers report, too.
    pub fn new(quiet: bool, verbose: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let progress = !quiet && !dumb && io::stderr().is_terminal();
        Self { quiet, verbose, progress, drawn: Cell::new(false), last: Cell::new(None), table: Cell::new(0) }
    }

    /// Returns true if the writers' reports of what went well are wanted.
    pub fn verbose(&self) -> bool {
        self.verbose
    }

    /// Says a warning or an error.
    pub fn problem(&self, message: impl AsRef<str>) {
        self.line(message.as_ref());
    }

    /// Says what is good to know.
    pub fn info(&self, message: impl AsRef<str>) {
        if !self.quiet {
            self.line(message.as_ref());
        }
    }

    fn line(&self, message: &str) {
        // Standard output is not locked without need: the printer of records holds the lock.
        if self.table.get() > 0 {
            let _ = self.clear_table(&mut io::stdout().lock());
        }
        let clear = if self.drawn.take() { "\r\x1b[K" } else { "" };
        let _ = writeln!(io::stderr().lock(), "{clear}{message}");
    }

    /// Draws a table on the terminal that standard output is, in the place of the table before.
    /// Later messages go above the table, unless it is the `last`.
    pub fn table(&self, lines: &[String], last: bool) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        self.clear_table(&mut stdout)?;
        for line in lines {
            writeln!(stdout, "{line}")?;
        }
        self.table.set(if last { 0 } else { lines.len() });
        stdout.flush()
    }

    fn clear_table(&self, stdout: &mut impl Write) -> io::Result<()> {
        match self.table.take() {
            0 => Ok(()),
            // From the first column on: a terminal shows ^C where the cursor is.
            lines => write!(stdout, "\r\x1b[{lines}A\x1b[J").and_then(|()| stdout.flush()),
        }
    }

    /// Writes lines to standard output.
    pub fn lines(&self, lines: &[String]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all((lines.join("\n") + "\n").as_bytes())?;
        stdout.flush()
    }

    /// Draws the progress line, if there is one and it is time for that.
    pub fn progress(&self, progress: impl FnOnce() -> Progress) {
        if !self.progress {
            return;
        }
        let now = Instant::now();
        if self.last.get().is_some_and(|last| now - last < REDRAW) {
            return;
        }
        self.last.set(Some(now));
        let mut line = progress().to_string();
        let width = terminal::width(&io::stderr()).unwrap_or(80).saturating_sub(1);
        if let Some((end, _)) = line.char_indices().nth(width) {
            line.truncate(end);
        }
        self.drawn.set(true);
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "\r{line}\x1b[K");
        let _ = stderr.flush();
    }

    /// Removes the progress line.
    pub fn end_progress(&self) {
        if self.drawn.take() {
            let mut stderr = io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K");
            let _ = stderr.flush();
        }
    }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const WIDTH: u64 = 24;
        match self.total.filter(|&total| total > 0) {
            Some(total) => {
                let read = self.read.min(total);
                let filled = (u128::from(read) * u128::from(WIDTH) / u128::from(total)) as usize;
                let percent = u128::from(read) * 100 / u128::from(total);
                let bar = format!("{:<width$}", "=".repeat(filled), width = WIDTH as usize);
                write!(f, "[{bar}] {percent:>3}%  {} of {}", bytes(read), bytes(total))?;
            }
            None => write!(f, "{} read", bytes(self.read))?,
        }
        write!(f, "  {} records", thousands(self.records))?;
        if self.elapsed >= Duration::from_millis(200) {
            write!(f, "  {}/s", thousands(per_second(self.records, self.elapsed)))?;
        }
        if !self.note.is_empty() {
            write!(f, "  {}", self.note)?;
        }
        Ok(())
    }
}

/// How many in a second.
pub fn per_second(count: u64, elapsed: Duration) -> u64 {
    (count as f64 / elapsed.as_secs_f64().max(1e-6)) as u64
}

/// A number with its thousands set apart: 1,234,567.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes, in the unit that suits it.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if number < 1000 {
        return format!("{number} bytes");
    }
    let mut value = number as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A time that something took: `4.5 ms`, `12.34 s`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}

/// "1 record", "2 records".
pub fn counted(number: u64, noun: &str) -> String {
    let mut text = thousands(number);
    let _ = write!(text, " {noun}{}", if number == 1 { "" } else { "s" });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(1_000), "1.0 kB");
        assert_eq!(bytes(999_949), "999.9 kB");
        assert_eq!(bytes(999_999), "1.0 MB");
        assert_eq!(bytes(28_600_000), "28.6 MB");
        assert_eq!(duration(Duration::from_micros(4_520)), "4.5 ms");
        assert_eq!(duration(Duration::from_millis(12_340)), "12.34 s");
        assert_eq!(counted(1, "record"), "1 record");
        assert_eq!(counted(2_000, "record"), "2,000 records");
    }

    #[test]
    fn the_progress_line() {
        let mut progress =
            Progress { read: 500, total: Some(1_000), records: 12_000, elapsed: Duration::from_secs(2), note: "" };
        assert_eq!(
            progress.to_string(),
            "[============            ]  50%  500 bytes of 1.0 kB  12,000 records  6,000/s"
        );
        progress.total = None;
        progress.elapsed = Duration::ZERO;
        progress.note = "waiting for the subscriber";
        assert_eq!(progress.to_string(), "500 bytes read  12,000 records  waiting for the subscriber");
        // A file can grow while it is read.
        progress.total = Some(400);
        assert!(progress.to_string().starts_with("[========================] 100%"));
    }
}
