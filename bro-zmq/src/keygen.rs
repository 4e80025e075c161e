//! `bro-zmq keygen`: makes a pair of CURVE keys.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use bro_zeromq_writer::keys::{KeyError, write_pair};
use bro_zeromq_writer::zmq::KeyPair;

use crate::Fatal;

/// `bro-zmq keygen`
#[derive(clap::Args)]
#[command(after_help = "\
NAME.key is the public key: give it to the other side, or put it into the directory of keys that
are authorized there. NAME.key_secret is the secret key, and stays where it is used. Both are files
in the format of ZeroMQ's certificates, which czmq and pyzmq (zmq.auth.load_certificate) read, too.
Everybody may read the public key (mode 0644), and only its owner the secret one (0600). Files that
are there already are not overwritten.

The public key goes to standard output, as LogZeroMQ::curve_server_key takes it.

Examples:
  bro-zmq keygen sensor1                        sensor1.key and sensor1.key_secret, here
  bro-zmq keygen /etc/zeek/keys/sensor1         the directory must be there

Exit status:
  0  the pair was made
  1  it could not be written, or a file is there already
  2  wrong arguments, or the libzmq in use has no CURVE")]
pub struct Args {
    /// The files' name, without .key and .key_secret
    #[arg(value_name = "NAME")]
    name: PathBuf,
}

/// Runs `bro-zmq keygen`.
pub fn run(args: &Args) -> Result<ExitCode, Fatal> {
    if args.name.file_name().is_none() {
        return Err(Fatal::new(format!("{} is no name for files; give one such as sensor1", args.name.display())));
    }
    let pair = KeyPair::generate().map_err(|_| Fatal::new(KeyError::NoCurve))?;
    let [public, secret] = write_pair(&args.name, &pair, "made by bro-zmq keygen").map_err(Fatal::incomplete)?;
    // The files are there, even if these lines cannot be written.
    let _ = writeln!(io::stderr(), "the public key is in {}, the secret key in {}", public.display(), secret.display());
    let _ = writeln!(io::stdout(), "{}", pair.public());
    Ok(ExitCode::SUCCESS)
}
