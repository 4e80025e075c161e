//! Prints records to standard output.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use bro_zeromq_writer::writer::readable;

use crate::{json, terminal};

/// A log path, or the start of one, in messages: readable, without control characters.
pub fn shown(path: &[u8]) -> String {
    let mut shown = String::new();
    for c in readable(path).chars() {
        if c.is_control() {
            shown.extend(c.escape_debug());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// How a record is printed.
#[derive(Clone, Copy)]
pub enum Format {
    /// Log path, tab, JSON.
    Line,
    /// JSON with the log path in it.
    Json,
    /// The log path, then the JSON with a member on each line.
    Pretty,
}

/// Prints records.
pub struct Printer {
    format: Format,
    out: BufWriter<StdoutLock<'static>>,
    terminal: bool,
}

impl Printer {
    /// Takes over standard output.
    pub fn new(format: Format) -> Self {
        let stdout = io::stdout().lock();
        let terminal = stdout.is_terminal();
        Self { format, out: BufWriter::with_capacity(64 * 1024, stdout), terminal }
    }

    /// Prints a record. Returns false if it cannot be printed in this format.
    pub fn print(&mut self, path: &[u8], body: &[u8]) -> io::Result<bool> {
        let (shown_path, shown_body) = match self.terminal {
            true => (json::harmless(path), json::harmless(body)),
            false => (path.into(), body.into()),
        };
        let out = &mut self.out;
        match self.format {
            Format::Line => {
                json::write_line(out, &shown_path)?;
                out.write_all(b"\t")?;
                json::write_line(out, &shown_body)?;
            }
            Format::Json => {
                // A record without a topic may have its log path in its JSON.
                if path.is_empty() && shown_body.starts_with(b"{") && shown_body.ends_with(b"}") {
                    json::write_line(out, &shown_body)?;
                } else if !json::write_with_path(out, path, &shown_body)? {
                    return Ok(false);
                }
            }
            Format::Pretty => {
                json::write_line(out, &shown_path)?;
                out.write_all(b"\n")?;
                json::write_pretty(out, &shown_body)?;
            }
        }
        out.write_all(b"\n")?;
        Ok(true)
    }

    /// Writes out everything that was printed.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Returns true if nobody reads the output any more.
    pub fn reader_has_gone(&self) -> bool {
        terminal::reader_has_gone(self.out.get_ref())
    }
}
