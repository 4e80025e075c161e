//! Publishes the records of one log path: values as a host hands them over, or JSON.

use std::rc::Rc;

use bro_zeromq_writer::abi::Stats;
use bro_zeromq_writer::host::{AnyShape, Field, Layout};
use bro_zeromq_writer::report::{Incident, Level, Report, Why};
use bro_zeromq_writer::writer::{self, Config, Writer};
use fake_host::zeeklog::Header;
use fake_host::{Cell, Synth};

use crate::console::Console;
use crate::print::shown;

/// A writer of the plugin's.
pub struct Publisher {
    /// The writer; `None` only once the publisher is dropped.
    writer: Option<Box<Writer>>,
    /// Lays out values; without it, records are JSON.
    synth: Option<Synth>,
}

/// The parts that a writer is made of.
pub struct Setup<'a> {
    /// The log path.
    pub path: &'a [u8],
    /// How values are laid out.
    pub layout: &'a Layout,
    /// The options.
    pub config: &'a Config,
    /// True if a full queue is waited for, so that it is no loss.
    pub retries: bool,
    /// Where reports go.
    pub console: &'a Rc<Console>,
}

/// A record.
pub enum Record {
    /// Its values.
    Values(Vec<Cell>),
    /// Its JSON.
    Json(Vec<u8>),
}

/// Where the writer's reports go.
struct Reports {
    path: String,
    console: Rc<Console>,
    /// True if a full queue is waited for, so that it is no loss.
    retries: bool,
}

impl Publisher {
    /// Opens a writer, for values if there is a header.
    pub fn open(setup: &Setup<'_>, header: Option<&Header>) -> Result<Self, String> {
        let Setup { path, layout, config, retries, console } = *setup;
        if path.contains(&0) {
            return Err("a log path cannot contain a NUL byte".to_owned());
        }
        let columns = header.map_or(&[][..], |header| &header.columns);
        // A host's names end with a NUL byte.
        let name = |name: &str| name.split('\0').next().unwrap_or_default().as_bytes().to_vec();
        let fields: Vec<_> = columns.iter().map(|column| Field { name: name(&column.name) }).collect();
        let reports = Reports { path: shown(path), console: Rc::clone(console), retries };
        let shape = AnyShape::new(layout).map_err(|(member, value)| format!("{member} cannot be {value}"))?;
        let reporter = Box::new(move |report: &Report| reports.tell(report));
        let setup = writer::Setup { path, fields: &fields, layout, shape, config: config.clone(), reporter };
        let writer = Writer::open(setup).map_err(|error| error.to_string())?;
        Ok(Self { writer: Some(Box::new(writer)), synth: header.map(|_| Synth::new(layout)) })
    }

    /// Publishes a record.
    pub fn write(&mut self, record: &Record) -> Result<(), String> {
        match (&mut self.writer, &mut self.synth, record) {
            (Some(writer), Some(synth), Record::Values(cells)) if cells.len() == writer.columns() => {
                let values = synth.record(cells);
                // SAFETY: `synth` has laid out a value for each column as the writer was told. They live until the
                // next record.
                unsafe { writer.write(values.as_ptr().cast()) };
                Ok(())
            }
            (Some(writer), None, Record::Json(object)) => {
                writer.write_json(object);
                Ok(())
            }
            _ => Err("a record of another form; this is a bug".to_owned()),
        }
    }

    /// Notices subscriptions; to be called about once a second.
    pub fn heartbeat(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.heartbeat(0.0);
        }
    }

    /// How many endpoints there are.
    pub fn endpoints(&self) -> u32 {
        self.writer.as_ref().map_or(0, |writer| writer.connections().len() as u32)
    }

    /// The counters of an endpoint.
    pub fn stats(&self, endpoint: u32) -> Stats {
        let of = |writer: &Writer| {
            let subscribed = writer.connections().get(endpoint as usize)?.subscribed().into();
            Some(Stats { subscribed, ..Stats::from(writer.counters(endpoint as usize)?) })
        };
        self.writer.as_deref().and_then(of).unwrap_or_default()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.close();
        }
    }
}

impl Reports {
    fn tell(&self, report: &Report) {
        let again = match report {
            Report::At { incident, .. } if self.retries => match incident {
                Incident::Dropping { why: Why::QueueFull { .. }, .. }
                | Incident::StillDropping { why: Why::QueueFull { .. }, .. } => return,
                // The writer counts each record that met a full queue; each was written again.
                Incident::Totals { queue_full, .. } => *queue_full > 0,
                _ => false,
            },
            _ => false,
        };
        if report.level() == Level::Info && !self.console.verbose() {
            return;
        }
        let note = if again { "; what met a full queue was written again" } else { "" };
        // A report is one line.
        let text = report.to_string().replace(|c: char| c.is_ascii_control(), " ");
        self.console.problem(format!("{}: {text}{note}", self.path));
    }
}
