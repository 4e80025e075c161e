//! `bro-zmq completions` and `bro-zmq man`: made from the same definitions as `--help`.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::Fatal;

/// `bro-zmq completions`
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  bro-zmq completions bash > /usr/share/bash-completion/completions/bro-zmq
  bro-zmq completions zsh > /usr/local/share/zsh/site-functions/_bro-zmq
  bro-zmq completions fish > ~/.config/fish/completions/bro-zmq.fish
  source <(bro-zmq completions bash)          for this shell only

Exit status:
  0  the script was written
  1  it could not be written
  2  wrong arguments")]
pub struct CompletionsArgs {
    /// Which shell completes commands by it
    #[arg(value_enum)]
    shell: Shell,
}

/// `bro-zmq man`
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  bro-zmq man subscribe | man -l -
  bro-zmq man --output-dir /usr/local/share/man/man1

Exit status:
  0  the pages were written
  1  they could not be written
  2  wrong arguments")]
pub struct ManArgs {
    /// Write all pages, bro-zmq.1 and one for each command, into this directory
    #[arg(short, long, value_name = "DIR", conflicts_with = "command")]
    output_dir: Option<PathBuf>,
    /// Write the page of this command to standard output, instead of that of bro-zmq
    command: Option<String>,
}

/// Runs `bro-zmq completions`.
pub fn completions(args: &CompletionsArgs, mut command: Command) -> Result<ExitCode, Fatal> {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    print(&script)
}

/// Runs `bro-zmq man`.
pub fn man(args: &ManArgs, mut command: Command) -> Result<ExitCode, Fatal> {
    // Gives the commands their full names.
    command.build();
    let pages: Vec<&Command> = std::iter::once(&command)
        .chain(command.get_subcommands().filter(|command| command.get_name() != "help" && !command.is_hide_set()))
        .collect();
    if let Some(directory) = &args.output_dir {
        for page in pages {
            let path = directory.join(format!("{}.1", full_name(page)));
            write(directory, &path, &render(page))
                .map_err(|error| Fatal::incomplete(format!("cannot write {}: {error}", path.display())))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = args.command.as_deref().unwrap_or(command.get_name());
    match pages.iter().find(|page| page.get_name() == wanted) {
        Some(page) => print(&render(page)),
        None => {
            let names: Vec<_> = pages.iter().skip(1).map(|page| page.get_name()).collect();
            Err(Fatal::new(format!("there is no command {wanted}; there are {}", names.join(", "))))
        }
    }
}

fn full_name(command: &Command) -> String {
    command.get_display_name().unwrap_or(command.get_name()).to_owned()
}

fn write(directory: &Path, path: &Path, page: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(path, page)
}

/// Prints text. It is no error if nobody reads it.
fn print(text: &[u8]) -> Result<ExitCode, Fatal> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Fatal::incomplete(error.to_string())),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn render(command: &Command) -> Vec<u8> {
    let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    // The notes are rendered apart, because their text would be filled into paragraphs here.
    let name = full_name(command);
    let command = command.clone().after_help("");
    let man = Man::new(command).title(name).section("1");
    let mut page = Vec::new();
    // Writing to memory does not fail.
    let _ = man.render_title(&mut page);
    let _ = man.render_name_section(&mut page);
    let _ = man.render_synopsis_section(&mut page);
    let _ = man.render_description_section(&mut page);
    let _ = man.render_options_section(&mut page);
    let _ = man.render_subcommands_section(&mut page);
    page.extend_from_slice(b".SH NOTES\n.nf\n");
    for line in notes.lines() {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        page.extend_from_slice(format!("{guard}{line}\n").as_bytes());
    }
    page.extend_from_slice(b".fi\n");
    page
}
