//! `bro-zmq doctor` says whether the plugin will load in an installed host, whether its records will
//! arrive, and if not, why.

mod connection;
mod spool;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use bro_zeromq_writer::host::{FAMILIES, LAST_KNOWN, family_of_version};

use crate::elf::Elf;
use crate::{Fatal, INCOMPLETE};

/// `bro-zmq doctor`
#[derive(clap::Args)]
#[command(after_help = "\
Without --endpoint, --spool-dir and keys, or with a PATH: looks at the host's executable, at the
plugin directories that it searches and at the environment, and asks the host itself in the end.

With --endpoint: connects as the plugin would, without sending anything, and says who subscribes to
what. With --spool-dir: says whether records can wait there, and which do. Run it as the host's
user, who may see other files.

It changes nothing.

Exit status:
  0  the plugin will load, and can be used so
  1  it will not, or cannot; the lines that start with \"wrong\" say why
  2  wrong arguments, or there is no host at PATH

Examples:
  bro-zmq doctor
  bro-zmq doctor /opt/zeek
  bro-zmq doctor --endpoint tcp://collector.example.org:12345
  sudo -u zeek bro-zmq doctor --endpoint tcp://collector.example.org:12345 \\
      --curve-server-key /etc/zeek/keys/collector.key \\
      --curve-secret-key-file /etc/zeek/keys/sensor1.key_secret --spool-dir /var/spool/zeek-zmq
  ZEEK_PLUGIN_PATH=$PWD/build bro-zmq doctor /opt/zeek/bin/zeek")]
pub struct Args {
    /// An installed host: where it was installed, or its executable (default: the zeek or bro on PATH)
    path: Option<PathBuf>,
    #[command(flatten)]
    connection: connection::EndpointArgs,
    /// The directory where records are to wait, as LogZeroMQ::spool_dir
    #[arg(long, value_name = "DIR", help_heading = "Connections")]
    spool_dir: Option<PathBuf>,
}

const PLUGIN: &str = "NCSA::ZeroMQWriter";

/// How deep below a plugin directory a plugin may be.
const DEPTH: usize = 6;

/// How function names begin that a host has only if it was built with an instrumentation. The portable plugin
/// refuses such a host by the same names, in `bro-plugin/portable/facts.h`.
const INSTRUMENTATIONS: [(&str, &str); 10] = [
    ("__asan_init", "AddressSanitizer"),
    ("__hwasan_init", "HWAddressSanitizer"),
    ("__msan_init", "MemorySanitizer"),
    ("__tsan_init", "ThreadSanitizer"),
    ("__ubsan_handle_", "UndefinedBehaviorSanitizer"),
    ("__cfi_check", "control flow integrity"),
    ("__cfi_slowpath", "control flow integrity"),
    ("_Z24__VLTVerifyVtablePointer", "vtable verification"),
    ("_ZN11__gnu_debug", "the debug mode of the GNU C++ library"),
    ("_ZNK11__gnu_debug", "the debug mode of the GNU C++ library"),
];

/// Prints what is found, line by line.
struct Findings {
    wrong: usize,
}

impl Findings {
    fn line(kind: &str, what: impl Display) {
        // A closed pipe does not matter: the exit status says the rest.
        let _ = writeln!(io::stdout(), "{kind:<6} {what}");
    }

    fn good(what: impl Display) {
        Self::line("ok", what);
    }

    fn note(what: impl Display) {
        Self::line("note", what);
    }

    fn wrong(&mut self, what: impl Display) {
        Self::line("wrong", what);
        self.wrong += 1;
    }
}

/// What the executable says of itself.
struct Host {
    program: PathBuf,
    elf: Elf,
    version: (u32, u32),
    /// The name of the function that stands for its version, such as `zeek_version_8_0_10_plugin_7`; Bro 2.5 has
    /// none.
    function: Option<String>,
    /// Why the portable plugin refuses this host. A plugin that was built from its headers may load.
    unfit: Vec<String>,
}

/// Runs `bro-zmq doctor`.
pub fn run(args: Args) -> Result<ExitCode, Fatal> {
    let mut findings = Findings { wrong: 0 };
    let other = args.connection.any() || args.spool_dir.is_some();
    if args.path.is_some() || !other {
        load(&mut findings, args.path)?;
    }
    if other {
        connection::look(&mut findings, &args.connection);
        if let Some(dir) = &args.spool_dir {
            spool::look(&mut findings, dir);
        }
    }
    Ok(if findings.wrong == 0 { ExitCode::SUCCESS } else { INCOMPLETE.into() })
}

/// Finds out whether the plugin will load.
fn load(findings: &mut Findings, path: Option<PathBuf>) -> Result<(), Fatal> {
    let program = find_program(path)?;
    let elf = Elf::open(&program).map_err(|error| Fatal::new(format!("{}: {error}", program.display())))?;

    if let Some(host) = look_at_host(findings, program, elf) {
        let found = look_for_plugins(findings, &host);
        for plugin in &found {
            look_at_plugin(findings, &host, plugin);
        }
        if found.len() > 1 {
            findings.wrong("the host takes only one of them and refuses the other: keep one");
        }
        if !found.is_empty() && findings.wrong == 0 {
            ask(findings, &host);
        }
    }

    if findings.wrong == 0 {
        Findings::good("the plugin will load");
    }
    Ok(())
}

fn find_program(path: Option<PathBuf>) -> Result<PathBuf, Fatal> {
    let Some(path) = path else {
        let dirs: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
        return ["zeek", "bro"]
            .iter()
            .flat_map(|name| dirs.iter().map(move |dir| dir.join(name)))
            .find(|file| file.is_file())
            .ok_or_else(|| Fatal::new("there is no zeek or bro on PATH; say where it is: bro-zmq doctor /opt/zeek"));
    };
    if path.is_file() {
        return Ok(path);
    }
    ["bin/zeek", "bin/bro", "build/src/zeek", "build/src/bro", "zeek", "bro"]
        .iter()
        .map(|name| path.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| Fatal::new(format!("{}: there is no host there, neither bin/zeek nor bin/bro", path.display())))
}

fn look_at_host(findings: &mut Findings, program: PathBuf, elf: Elf) -> Option<Host> {
    Findings::good(format!("the host is {}", program.display()));
    if elf.machine() != Elf::MACHINE {
        findings.wrong("it is for another processor than this tool and its plugin");
    }
    match elf.interpreter() {
        Some(loader) if loader.contains("musl") => {
            findings
                .wrong("it uses the C library musl; the plugin needs the GNU C library: build both for one of them");
        }
        Some(_) => {}
        None => findings.wrong("it is linked statically, and cannot load plugins"),
    }

    let names: BTreeSet<&str> = elf.defined().collect();
    let function = names.iter().find(|name| {
        (name.starts_with("zeek_version_") || name.starts_with("bro_version_")) && name.contains("_plugin_")
    });
    let version = match function {
        Some(name) => numbers(name.split("_version_").nth(1).unwrap_or_default(), '_'),
        None => elf.text("version").and_then(|text| numbers(&text, '.')).filter(|&version| version < (2, 6)),
    };
    let Some(version) = version else {
        findings.wrong("it is neither Bro nor Zeek, or it does not export its functions");
        return None;
    };
    let function = function.map(ToString::to_string);
    let mut host = Host { program, version, function, elf, unfit: Vec::new() };

    let name = format!("{} {}", if version < (3, 0) { "Bro" } else { "Zeek" }, host.version_text());
    match family_of_version(version.0, version.1) {
        Some(family) => {
            Findings::good(format!("it is {name}; its log records have the layout {}", family.name.to_string_lossy()));
        }
        None if version > LAST_KNOWN => {
            Findings::good(format!("it is {name}"));
            note_unknown(format!("it is newer than {}.{}, the last version known", LAST_KNOWN.0, LAST_KNOWN.1));
        }
        None => findings.wrong(format!(
            "it is {name}; the oldest that is supported is Bro {}.{}",
            FAMILIES[0].since.0, FAMILIES[0].since.1
        )),
    }

    let function = host.function.clone().unwrap_or_default();
    if function.contains("_debug") {
        host.unfit.push("it was built for debugging".to_owned());
    }
    let in_development = if function.is_empty() {
        host.version_text().contains('-')
    } else {
        function.contains("_dev") || function.contains("_git")
    };
    if in_development && version <= LAST_KNOWN {
        note_unknown("it is a version under development");
    }
    let mentioned: BTreeSet<&str> = host.elf.undefined().chain(host.elf.defined()).collect();
    let found: BTreeSet<&str> = INSTRUMENTATIONS
        .iter()
        .filter(|(start, _)| mentioned.iter().any(|name| name.starts_with(start)))
        .map(|&(_, what)| what)
        .collect();
    host.unfit.extend(found.iter().map(|what| format!("it was built with {what}")));

    match host.elf.defined().find(|name| name.contains("7logging9ComponentC1ERK")) {
        Some(name) if name.contains("NSt7__cxx1112basic_string") => {
            Findings::good("it uses the GNU C++ library and its C++11 string");
        }
        Some(name) if name.contains("NSt3__1") => host.unfit.push("it uses another C++ library, libc++".to_owned()),
        Some(_) => host.unfit.push("it uses the old string of the GNU C++ library".to_owned()),
        None => findings.wrong("it does not export its logging classes, so that no log writer can be a plugin"),
    }
    for reason in &host.unfit {
        Findings::note(format!("{reason}: only a plugin that was built from its headers can load"));
    }
    Some(host)
}

/// Notes what makes a host unknown. The portable plugin refuses an unknown host only if it was told to.
fn note_unknown(what: impl Display) {
    Findings::note(format!(
        "{what}: the portable plugin finds out how it lays out its log records, and refuses it if \
         LogZeroMQ::only_known_hosts is set"
    ));
}

impl Host {
    /// The version as the host writes it, if it can be found.
    fn version_text(&self) -> String {
        self.elf.text("version").unwrap_or_else(|| format!("{}.{}", self.version.0, self.version.1))
    }

    /// The file that makes a directory a plugin for this host.
    fn marker(&self) -> &'static str {
        if self.version < (6, 1) { "__bro_plugin__" } else { "__zeek_plugin__" }
    }

    /// The environment variables that name plugin directories; this host reads the first that is set.
    fn variables(&self) -> &'static [&'static str] {
        match self.version {
            (..3, _) => &["BRO_PLUGIN_PATH"],
            (3, _) | (4, 0) => &["ZEEK_PLUGIN_PATH", "BRO_PLUGIN_PATH"],
            _ => &["ZEEK_PLUGIN_PATH"],
        }
    }

    /// The directories that this host searches, and why.
    fn directories(&self) -> (Vec<PathBuf>, String) {
        for name in self.variables() {
            if let Some(value) = env::var_os(name).filter(|value| !value.is_empty()) {
                return (env::split_paths(&value).collect(), (*name).to_owned());
            }
        }
        let bin = self.program.canonicalize().unwrap_or_else(|_| self.program.clone());
        let bin = bin.parent().map(Path::to_path_buf).unwrap_or_default();
        for config in ["zeek-config", "bro-config"] {
            let output = Command::new(bin.join(config)).arg("--plugin_dir").stderr(Stdio::null()).output();
            if let Ok(output) = output
                && output.status.success()
            {
                let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                return (vec![PathBuf::from(text)], config.to_owned());
            }
        }
        let prefix = bin.parent().map(Path::to_path_buf).unwrap_or_default();
        let dirs = ["lib/zeek/plugins", "lib64/zeek/plugins", "lib/bro/plugins", "lib64/bro/plugins"];
        (dirs.iter().map(|dir| prefix.join(dir)).filter(|dir| dir.is_dir()).collect(), "the host's prefix".to_owned())
    }
}

/// The first two numbers of a version.
fn numbers(text: &str, separator: char) -> Option<(u32, u32)> {
    let mut numbers = text.split([separator, '-']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn look_for_plugins(findings: &mut Findings, host: &Host) -> Vec<PathBuf> {
    let (directories, source) = host.directories();
    for other in ["BRO_PLUGIN_PATH", "ZEEK_PLUGIN_PATH"] {
        if env::var_os(other).is_some() && !host.variables().contains(&other) {
            Findings::note(format!("{other} is set, but this host does not look at it"));
        }
    }
    let mut found = Vec::new();
    for directory in &directories {
        if directory.is_dir() {
            Findings::good(format!("it looks for plugins in {} ({source})", directory.display()));
            search(directory, DEPTH, &mut found);
        } else {
            Findings::note(format!("it looks for plugins in {} ({source}), which is not there", directory.display()));
        }
    }
    found.sort();
    found.dedup();
    if found.is_empty() {
        findings.wrong(format!(
            "{PLUGIN} is in none of these directories; copy NCSA_ZeroMQWriter there, or name the directory \
             that it is in: {}=DIR",
            host.variables()[0]
        ));
    }
    found
}

/// Finds the plugin by its marker files, of either name.
fn search(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    for marker in ["__zeek_plugin__", "__bro_plugin__"] {
        if let Ok(name) = fs::read_to_string(directory.join(marker)) {
            if name.trim().eq_ignore_ascii_case(PLUGIN) {
                found.push(directory.to_path_buf());
            }
            return;
        }
    }
    if depth == 0 {
        return;
    }
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            search(&entry.path(), depth - 1, found);
        }
    }
}

fn look_at_plugin(findings: &mut Findings, host: &Host, plugin: &Path) {
    Findings::good(format!("{PLUGIN} is in {}", plugin.display()));
    if !plugin.join(host.marker()).is_file() {
        findings.wrong(format!("it lacks the file {}, by which this host knows a plugin", host.marker()));
    }
    if !["zeek", "bro"].iter().any(|suffix| plugin.join("scripts").join("__load__").with_extension(suffix).is_file()) {
        findings.wrong("it lacks its scripts: copy the whole directory");
    }

    let ending = format!(".{}-{}.so", env::consts::OS, env::consts::ARCH);
    let libraries: Vec<OsString> = fs::read_dir(plugin.join("lib"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().ends_with(&ending))
        .collect();
    if libraries.is_empty() {
        findings.wrong(format!("it has no shared object for this machine: lib/*{ending}"));
    }
    for name in libraries {
        let file = plugin.join("lib").join(name);
        let elf = match Elf::open(&file) {
            Ok(elf) => elf,
            Err(error) => {
                findings.wrong(format!("{}: {error}", file.display()));
                continue;
            }
        };
        let wanted =
            elf.undefined().find(|name| name.contains("_version_") && name.contains("_plugin_")).map(ToOwned::to_owned);
        match (wanted, &host.function) {
            (None, _) if host.unfit.is_empty() => Findings::good("it is the portable plugin"),
            (None, _) => findings.wrong(format!(
                "it is the portable plugin, which refuses this host ({}); build the plugin from the host's \
                 headers: ./configure --zeek-dist=DIR && make",
                host.unfit.join("; ")
            )),
            (Some(wanted), Some(function)) if wanted == *function => {
                Findings::good("it was built from the headers of this host's version");
            }
            (Some(wanted), _) => findings.wrong(format!(
                "it was built for another host, the one that has {wanted}; rebuild it for this one, \
                 or use the portable plugin: make portable"
            )),
        }
    }
}

/// Has the host itself list the plugin, which loads it.
fn ask(findings: &mut Findings, host: &Host) {
    let output = Command::new(&host.program).args(["-N", PLUGIN]).stdin(Stdio::null()).output();
    match output {
        Err(error) => Findings::note(format!("the host cannot be run here: {error}")),
        Ok(output) => {
            let listed = String::from_utf8_lossy(&output.stdout);
            let said = String::from_utf8_lossy(&output.stderr);
            match listed.lines().find(|line| line.starts_with(PLUGIN)) {
                Some(line) if output.status.success() => {
                    // What the plugin has found of a host that it did not know.
                    for line in said.lines().filter(|line| line.starts_with(PLUGIN)) {
                        Findings::note(format!("the plugin says: {line}"));
                    }
                    Findings::good(format!("the host lists it: {line}"));
                }
                _ => {
                    findings.wrong(format!("the host does not load it ({})", output.status));
                    for line in said.lines().filter(|line| !line.is_empty()) {
                        Findings::line("", format!("the host says: {line}"));
                    }
                }
            }
        }
    }
}
