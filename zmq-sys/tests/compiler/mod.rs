//! The compilers that tests run.

use std::env;
use std::process::Command;

/// The compiler that an environment variable names, arguments included, or else `default`.
pub fn command(variable: &str, default: &str) -> Command {
    let words = env::var(variable).unwrap_or_else(|_| default.to_owned());
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().expect("a compiler"));
    command.args(words);
    command
}
