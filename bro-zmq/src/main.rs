//! `bro-zmq`: the plugin's other end, and a host without a network, on the command line.

#![deny(unsafe_code)]

mod collector;
mod compressed;
mod console;
mod demo;
mod doctor;
mod elf;
mod input;
mod json;
mod keygen;
mod manual;
mod paths;
mod print;
mod probe;
#[allow(unsafe_code, reason = "it hands values to a writer as a host has them in memory")]
mod publisher;
mod replay;
mod security;
mod service;
mod stats;
mod stop;
mod subscribe;
mod subscriber;
#[allow(unsafe_code, reason = "the standard library tells neither a size nor what a poll finds")]
mod terminal;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::{CommandFactory as _, Parser, Subcommand};

/// Where `subscribe` listens and `replay` sends to unless told otherwise.
const DEFAULT_ENDPOINT: &str = "tcp://127.0.0.1:12345";

/// Exit status: something was not as it should be, and the rest was done.
const INCOMPLETE: u8 = 1;
/// Exit status: wrong arguments, or something that cannot be used.
const FAILED: u8 = 2;

/// Receives and replays Zeek's logs over ZeroMQ
///
/// The ZeroMQ log writer, a plugin for Zeek and Bro, publishes every log record as a message of
/// two frames: the log path ("conn") and the record as JSON. The plugin connects; the
/// subscriber listens.
#[derive(Parser)]
#[command(name = "bro-zmq", version = version(), propagate_version = true, max_term_width = 100, after_help = "\
See it work:
  bro-zmq demo

Watch what a Zeek with LogZeroMQ::endpoint = \"tcp://127.0.0.1:12345\" publishes:
  bro-zmq subscribe --pretty

Without a Zeek, in two terminals:
  bro-zmq subscribe
  bro-zmq replay conn.log dns.log.gz

bro-zmq COMMAND --help says more, with examples.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Publish the records of log files, as Zeek with the plugin would
    Replay(replay::Args),
    /// Print the records that arrive, or write them to files
    Subscribe(subscribe::Args),
    /// Run both ends over sample logs and show what a subscriber sees
    Demo(demo::Args),
    /// Make a pair of keys for encrypted connections
    Keygen(keygen::Args),
    /// Say whether the plugin will load in a host and its records arrive, and if not, why
    Doctor(doctor::Args),
    /// Print a script with which a shell completes bro-zmq's arguments
    Completions(manual::CompletionsArgs),
    /// Print a manual page, or write them all
    Man(manual::ManArgs),
}

/// Why a command ends at once, and with which exit status.
#[derive(Debug)]
struct Fatal {
    message: String,
    code: u8,
}

impl Fatal {
    /// Something cannot be used.
    fn new(message: impl ToString) -> Self {
        Self { message: message.to_string(), code: FAILED }
    }

    /// Nothing, or not everything, could be done.
    fn incomplete(message: impl ToString) -> Self {
        Self { message: message.to_string(), code: INCOMPLETE }
    }
}

fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let (major, minor, patch) = bro_zeromq_writer::zmq::version();
        format!("{} (libzmq {major}.{minor}.{patch})", env!("CARGO_PKG_VERSION"))
    })
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Replay(args) => replay::run(args),
        Command::Subscribe(args) => subscribe::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Keygen(args) => keygen::run(&args),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions(args) => manual::completions(&args, Cli::command()),
        Command::Man(args) => manual::man(&args, Cli::command()),
    };
    result.unwrap_or_else(|fatal| {
        let _ = writeln!(io::stderr(), "bro-zmq: {}", fatal.message);
        fatal.code.into()
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_does_not_contradict_itself() {
        super::Cli::command().debug_assert();
    }
}
