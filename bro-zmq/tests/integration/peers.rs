//! Peers that mean harm, against a writer and the collector: whatever they send, and however many
//! they are, the process that they talk to stays as small as SECURITY.md says, and goes on.
//!
//! The victim is a process of its own, so that its memory can be looked at; for a writer, it is this
//! test program once more. BZW_PEERS_TABLE=1 prints what was sent and gained.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use bro_zeromq_writer::zmq::limits::ENFORCED;
use bro_zeromq_writer::zmq::{Context, Socket, SocketType};
use fake_host::Cell;

use crate::common::peer::{Scratch, text};
use crate::common::{PATIENCE, Writer, free_endpoint, zeek_80};
use crate::zmtp::{COMMAND, MORE, Secrets, Zmtp};

/// What peers may make a host's memory grow by, in kilobytes.
const HOST: u64 = 8 * 1024;

/// The environment variables that make this program a [`host`].
const ENDPOINT: &str = "BZW_PEERS_ENDPOINT";
const OPTIONS: &str = "BZW_PEERS_OPTIONS";

/// The process that is attacked: writes a record every 20 milliseconds until its standard input
/// ends, and prints what the writer reports.
#[test]
#[ignore = "for the other tests, which start it"]
fn host() {
    let Ok(endpoint) = env::var(ENDPOINT) else { return };
    let options = env::var(OPTIONS).unwrap_or_default();
    let options: Vec<_> = options.lines().map(|line| line.split_once('=').unwrap()).collect();
    let mut writer = Writer::open(zeek_80(), "conn", &endpoint, &options, &["n"]);
    let end = thread::spawn(|| io::stdin().lines().count());
    println!("OPEN");
    let mut second = Instant::now();
    while !end.is_finished() {
        writer.write(&[Cell::Count(1)]);
        thread::sleep(Duration::from_millis(20));
        if second.elapsed() >= Duration::from_secs(1) {
            second = Instant::now();
            writer.heartbeat();
        }
        for (_, text) in writer.take_reports() {
            println!("REPORT {text}");
        }
    }
    writer.close();
}

/// Returns true if the libzmq that is linked has the limits for peers.
fn has_limits() -> bool {
    if !ENFORCED {
        println!("SKIPPED: this libzmq has no limits for peers");
    }
    ENFORCED
}

/// A process under attack.
struct Victim {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    /// Kilobytes before the attack.
    before: u64,
}

impl Victim {
    fn start(command: &mut Command, ready: &str) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let outputs: [Box<dyn io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let lines = Arc::clone(&lines);
            thread::spawn(move || {
                for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                    let start = String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned();
                    lines.lock().unwrap().push(start);
                }
            });
        }
        let victim = Self { child, lines, before: 0 };
        victim.wait_for(ready);
        victim
    }

    fn host(endpoint: &str, options: &[(&str, &str)]) -> Self {
        let options: Vec<_> = options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Self::start(
            Command::new(env::current_exe().unwrap())
                .args(["--exact", "peers::host", "--ignored", "--nocapture"])
                .env(ENDPOINT, endpoint)
                .env(OPTIONS, options.join("\n")),
            "OPEN",
        )
    }

    fn count(&self, part: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(part)).count()
    }

    fn wait_for(&self, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.count(part) == 0 {
            assert!(Instant::now() < deadline, "no {part:?} in {:#?}", self.lines.lock().unwrap());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn memory(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("it has not ended");
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Begins to measure the peak of the process's memory.
    fn begin(&mut self) {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
        self.before = self.memory("VmRSS");
    }

    /// By how many kilobytes the process's memory has grown at most since [`Victim::begin`].
    fn gained(&self) -> u64 {
        self.memory("VmHWM").saturating_sub(self.before)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a peer does on a connection that stands. The attack ends with an error when it is disconnected.
type Attack = fn(&mut Zmtp) -> io::Result<()>;

/// Sends frames, many at a time, until there are no more.
fn flood(peer: &mut Zmtp, mut frames: impl Iterator<Item = (u8, Vec<u8>)>) -> io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        while bytes.len() < 64 * 1024
            && let Some((flags, body)) = frames.next()
        {
            peer.encode(&mut bytes, flags, &body);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        peer.raw(&bytes)?;
    }
}

fn subscription(topic: &[u8]) -> (u8, Vec<u8>) {
    (0, [b"\x01", topic].concat())
}

/// A megabyte.
const MB: usize = 1 << 20;

fn endless_message(peer: &mut Zmtp, size: usize) -> io::Result<()> {
    flood(peer, (0..64 * MB / (size + 64)).map(|_| (MORE, vec![1; size])))
}

fn endless_large(peer: &mut Zmtp) -> io::Result<()> {
    endless_message(peer, 60_000)
}

fn endless_small(peer: &mut Zmtp) -> io::Result<()> {
    endless_message(peer, 100)
}

fn endless_empty(peer: &mut Zmtp) -> io::Result<()> {
    endless_message(peer, 0)
}

fn huge_topics(peer: &mut Zmtp) -> io::Result<()> {
    flood(peer, (0..300_u32).map(|n| subscription(&[&n.to_be_bytes()[..], &[b'x'; 65_000]].concat())))
}

fn long_topics(peer: &mut Zmtp) -> io::Result<()> {
    flood(peer, (0..20_000_u32).map(|n| subscription(&[&n.to_be_bytes()[..], &[b'x'; 1000]].concat())))
}

fn many_topics(peer: &mut Zmtp) -> io::Result<()> {
    flood(peer, (0..1_000_000_u32).map(|n| subscription(&n.to_be_bytes())))
}

fn many_subscribe_commands(peer: &mut Zmtp) -> io::Result<()> {
    let command = |n: u32| (COMMAND, [&b"\x09SUBSCRIBE"[..], format!("{n:08}").as_bytes()].concat());
    flood(peer, (0..1_000_000).map(command))
}

/// Topics that make the most of a trie's nodes, which have room for all bytes between two.
fn branching_topics(peer: &mut Zmtp) -> io::Result<()> {
    let topics = (0..=u16::MAX).flat_map(|n| [0, 255].map(|last| [&n.to_be_bytes()[..], &[last]].concat()));
    flood(peer, topics.map(|topic| subscription(&topic)))
}

/// Just as many topics as are allowed, from more peers than there is memory for.
fn allowed_topics(peer: &mut Zmtp) -> io::Result<()> {
    let from = u32::from(peer.stream.local_addr()?.port()) << 16;
    flood(peer, (from..from + 9000).map(|n| subscription(format!("{n:010}").as_bytes())))?;
    thread::sleep(Duration::from_secs(1));
    Ok(())
}

fn same_topic(peer: &mut Zmtp) -> io::Result<()> {
    flood(peer, (0..500_000).map(|_| subscription(b"conn-and-more-than-fits-into-the-smallest")))
}

fn come_and_go(peer: &mut Zmtp) -> io::Result<()> {
    let mut names = (0..500_000_u32).map(|n| (1 - (n & 1) as u8, (n / 2).to_string()));
    flood(peer, std::iter::from_fn(|| names.next().map(|(how, topic)| (0, [&[how], topic.as_bytes()].concat()))))
}

fn messages(peer: &mut Zmtp) -> io::Result<()> {
    flood(peer, (0..20_000).map(|_| (0, vec![b'x'; 1000])))
}

/// Topics that are each in a segment of its own, so that each is received into memory of its own.
fn segments(peer: &mut Zmtp) -> io::Result<()> {
    for n in 0..3000_u32 {
        peer.send(0, format!("\x01a topic of more than 33 bytes {n:08}").as_bytes())?;
    }
    Ok(())
}

/// A frame that is announced and comes bit by bit.
fn dribble(peer: &mut Zmtp) -> io::Result<()> {
    peer.raw(&[&b"\x02"[..], &(1_u64 << 29).to_be_bytes()].concat())?;
    for _ in 0..64 {
        peer.raw(&vec![1; MB])?;
    }
    Ok(())
}

fn commands(peer: &mut Zmtp) -> io::Result<()> {
    let commands: [&[u8]; 7] = [
        b"\x04PING\0\0",
        &[&b"\x04PING\0\x00"[..], &[b'c'; 1000]].concat(),
        b"\x04PING",
        b"",
        b"\xff",
        &[&b"\x07UNKNOWN"[..], &[b'u'; 1000]].concat(),
        b"\x05ERROR\x03bad",
    ];
    let body = |n: usize| (COMMAND, commands[n % commands.len()].to_vec());
    flood(peer, (0..100_000).map(body))
}

const ATTACKS: [(&str, Attack); 16] = [
    ("endless message, frames of 60,000 bytes", endless_large),
    ("endless message, frames of 100 bytes", endless_small),
    ("endless message, empty frames", endless_empty),
    ("300 topics of 65,000 bytes", huge_topics),
    ("20,000 topics of 1,004 bytes", long_topics),
    ("1,000,000 topics", many_topics),
    ("1,000,000 topics, as commands", many_subscribe_commands),
    ("131,072 topics that branch", branching_topics),
    ("9,000 topics, each peer others", allowed_topics),
    ("one topic, 500,000 times", same_topic),
    ("250,000 topics, one at a time", come_and_go),
    ("20,000 messages of 1,000 bytes", messages),
    ("3,000 topics, each in a segment", segments),
    ("a frame of 512 MiB, in parts", dribble),
    ("100,000 commands, valid and not", commands),
    ("nothing", |_| Ok(())),
];

/// How many peers do the same at the same time.
const PEERS: usize = 6;

/// Where peers that mean well come from.
const GOOD: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// How a writer and its peers meet.
struct Setting {
    name: &'static str,
    bind: bool,
    socket_type: &'static str,
    curve: bool,
}

impl Setting {
    /// Attacks a host in every way there is.
    fn attack(&self) {
        if !has_limits() {
            return;
        }
        let scratch = Scratch::new();
        let (host, peer) = (scratch.keys("host"), scratch.keys("peer"));
        let authorized = scratch.authorized("authorized", &[&peer]);
        // A host that connects does so again and again; one that listens needs no listener here.
        let listener = (!self.bind).then(|| TcpListener::bind("127.0.0.1:0").unwrap());
        let endpoint = match &listener {
            Some(listener) => format!("tcp://{}", listener.local_addr().unwrap()),
            None => free_endpoint(),
        };
        let public = peer.public().to_string();
        let mut options = vec![("socket_type", self.socket_type)];
        if self.curve {
            options.push(("curve_secret_key_file", text(&host.secret)));
            options.push(match self.bind {
                true => ("curve_authorized_keys_dir", text(&authorized)),
                false => ("curve_server_key", public.as_str()),
            });
        }
        let at = if self.bind { "@" } else { "" };
        let mut victim = Victim::host(&format!("{at}{endpoint}"), &options);
        let address = endpoint.strip_prefix("tcp://").unwrap();
        // Each peer has an address of its own, because the address of a peer that was thrown out is kept away.
        let meet = |from: Ipv4Addr| -> io::Result<Zmtp> {
            let mut zmtp = match &listener {
                Some(listener) => Zmtp::accept(listener)?,
                None => Zmtp::connect_from(from, address)?,
            };
            let server = if self.bind { host.public() } else { peer.public() };
            let secrets = self.curve.then_some(Secrets { own: &peer.pair, server });
            zmtp.introduce(if self.socket_type == "push" { "PULL" } else { "SUB" }, secrets, !self.bind)?;
            Ok(zmtp)
        };
        // A peer that means well, so that everything has been used once.
        {
            let mut good = meet(GOOD).unwrap();
            if self.socket_type == "publish" {
                good.send(0, b"\x01").unwrap();
            }
            assert_eq!(good.receive().unwrap().1, b"conn");
        }
        let mut failed = Vec::new();
        victim.begin();
        let first = victim.before;
        // A host that connects waits for ten seconds before it does so again, so that it meets few attacks.
        let (peers, step) = if self.bind { (PEERS, 1) } else { (1, 4) };
        for (number, (name, attack)) in (1..).zip(ATTACKS).step_by(step) {
            victim.begin();
            let sent: u64 = thread::scope(|scope| {
                let meet = &meet;
                let attackers: Vec<_> = (0..peers)
                    .map(|peer| {
                        scope.spawn(move || {
                            let Ok(mut zmtp) = meet(Ipv4Addr::new(127, 1, number, peer as u8)) else { return 0 };
                            // The peer stays for a moment, with what it has got the host to hold.
                            if attack(&mut zmtp).is_ok() {
                                thread::sleep(Duration::from_millis(300));
                            }
                            zmtp.sent
                        })
                    })
                    .collect();
                attackers.into_iter().map(|attacker| attacker.join().unwrap()).sum()
            });
            let gained = victim.gained();
            if env::var_os("BZW_PEERS_TABLE").is_some() {
                println!("| {} | {name} | {peers} | {sent} | {gained} |", self.name);
            }
            // All attacks count together, because each may use again what the ones before have given back.
            let all = victim.memory("VmHWM").saturating_sub(first);
            if all > HOST {
                failed.push(format!("{name}: {gained} kB for {sent} bytes, {all} kB with those before"));
            }
        }
        assert!(failed.is_empty(), "{}: {failed:#?}", self.name);
        // The host goes on.
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "{:#?}", victim.lines.lock().unwrap());
            let Ok(mut good) = meet(GOOD) else { continue };
            if self.socket_type == "publish" && good.send(0, b"\x01").is_err() {
                continue;
            }
            if good.receive().is_ok_and(|(_, body)| body == b"conn") {
                break;
            }
        }
        if !self.bind || self.socket_type == "push" {
            return;
        }
        victim.wait_for("more than");
        assert!(victim.count("more than") <= 2, "{:#?}", victim.lines.lock().unwrap());
    }
}

/// What the collector's memory may grow by in these tests, where large frames are few.
const COLLECTOR: u64 = 80 * 1024;

/// The collector holds whole messages, as large as records can be. It does not keep what is incomplete,
/// small or useless.
#[test]
fn the_collector() {
    if !has_limits() {
        return;
    }
    let endpoint = free_endpoint();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bro-zmq"));
    let mut victim = Victim::start(command.args(["subscribe", "--bind", &endpoint]), "listening on");
    let address = endpoint.strip_prefix("tcp://").unwrap();
    let meet = |from: Ipv4Addr| -> io::Result<Zmtp> {
        let mut zmtp = Zmtp::connect_from(from, address)?;
        zmtp.introduce("PUB", None, false)?;
        Ok(zmtp)
    };
    let mut good = meet(GOOD).unwrap();
    let collected = |good: &mut Zmtp, victim: &Victim, text: &str| {
        good.send(MORE, b"conn").unwrap();
        good.send(0, text.as_bytes()).unwrap();
        victim.wait_for(text);
    };
    collected(&mut good, &victim, "{\"before\":1}");
    let attacks: [(&str, Attack); 7] = [
        ("endless message, frames of 60,000 bytes", endless_large),
        ("endless message, frames of 100 bytes", endless_small),
        ("endless message, empty frames", endless_empty),
        ("20,000 messages of 1,000 bytes", messages),
        ("3,000 messages, each in a segment", segments),
        ("100,000 commands, valid and not", commands),
        ("nothing", |_| Ok(())),
    ];
    for (number, (name, attack)) in (1..).zip(attacks) {
        victim.begin();
        let sent: u64 = thread::scope(|scope| {
            let meet = &meet;
            let attack = |peer| {
                move || {
                    let mut zmtp = meet(Ipv4Addr::new(127, 1, number, peer as u8)).unwrap();
                    if attack(&mut zmtp).is_ok() {
                        thread::sleep(Duration::from_millis(300));
                    }
                    zmtp.sent
                }
            };
            let attackers: Vec<_> = (0..PEERS).map(|peer| scope.spawn(attack(peer))).collect();
            attackers.into_iter().map(|attacker| attacker.join().unwrap()).sum()
        });
        let gained = victim.gained();
        if env::var_os("BZW_PEERS_TABLE").is_some() {
            println!("| collector | {name} | {PEERS} | {sent} | {gained} |");
        }
        assert!(gained <= COLLECTOR, "{name}: {gained} kB for {sent} bytes");
    }
    victim.wait_for("a publisher has sent a message of more than 1 GiB or 16 frames");
    // Peers may announce as much as the largest message has, all of them together.
    let mut large: Vec<_> = (0..4).map(|n| meet(Ipv4Addr::new(127, 2, 0, n)).unwrap()).collect();
    let mut refused = 0;
    for zmtp in &mut large {
        zmtp.raw(&[&b"\x02"[..], &(1_u64 << 29).to_be_bytes()].concat()).unwrap();
        // Writing fails if the frame is refused already.
        let _ = zmtp.raw(&vec![1; MB]);
        thread::sleep(Duration::from_millis(200));
    }
    for zmtp in &mut large {
        zmtp.stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        // The collector's subscriptions come first.
        let end = loop {
            match zmtp.receive() {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        refused += usize::from(!matches!(end.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
    }
    assert_eq!(refused, 2);
    collected(&mut good, &victim, "{\"after\":1}");
}

/// Random numbers (xorshift), the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// What a peer says: a greeting that is one, nearly one, or none; and then frames of any kind,
    /// some of which are not what they say.
    fn converse(&mut self, zmtp: &mut Zmtp, kind: &str) -> io::Result<()> {
        match self.below(8) {
            0 => {
                let count = self.below(200);
                zmtp.raw(&self.bytes(count))?;
            }
            1 => {
                let mut greeting = [0; 64];
                greeting[..12].copy_from_slice(b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01");
                greeting[12..16].copy_from_slice(b"NULL");
                let (at, byte) = (self.below(64), self.below(256));
                greeting[at] = byte as u8;
                zmtp.raw(&greeting)?;
            }
            // Earlier versions of the protocol, whose frames have other heads.
            2 => {
                zmtp.raw(&[&b"\xff\0\0\0\0\0\0\0\x01\x7f"[..], &[self.below(3) as u8, self.below(12) as u8]].concat())?
            }
            3 => zmtp.raw(b"\x01\0")?,
            _ => zmtp.introduce(kind, None, false)?,
        }
        for _ in 0..self.below(300) {
            const BEGINNINGS: [&[u8]; 12] = [
                b"",
                b"\x01",
                b"\0",
                b"\x04PING",
                b"\x04PONG",
                b"\x09SUBSCRIBE",
                b"\x06CANCEL",
                b"\x05READY",
                b"\x05ERROR",
                b"\x04JOIN",
                b"\x07MESSAGE",
                b"\xff",
            ];
            let count = self.one_of(&[0, 1, 8, 33, 34, 200, 255, 256, 1000, 1024, 1500, 2000, 9000, 70_000]);
            let mut body = self.one_of(&BEGINNINGS).to_vec();
            // Zeros, letters, or any bytes.
            body.extend(match self.below(3) {
                0 => vec![0; count],
                1 => vec![b'x'; count],
                _ => self.bytes(count),
            });
            let flags = self.one_of(&[0, 0, 0, MORE, COMMAND, COMMAND | MORE]);
            match self.below(40) {
                0 => {
                    let (flags, claimed) = (self.below(256) as u8, self.one_of(&[0, 1, 1 << 20, 1 << 40, u64::MAX]));
                    zmtp.raw(&[&[flags][..], &claimed.to_be_bytes(), &body].concat())?;
                }
                1 => zmtp.raw(&body)?,
                _ => zmtp.send(flags, &body)?,
            }
        }
        Ok(())
    }
}

/// Random conversations, BZW_FUZZ times as many as usual, several at a time. They are the same in each
/// run, except for how they meet.
fn fuzz(address: &str, kind: &str, victim: &mut Victim, limit: u64, check: impl Fn(&Victim)) {
    let times = env::var("BZW_FUZZ").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    victim.begin();
    for round in 0..times {
        thread::scope(|scope| {
            for peer in 0..4 {
                scope.spawn(move || {
                    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (round * 4 + peer + 1));
                    for n in 0..60 {
                        let from = Ipv4Addr::new(127, 3, (round % 50 * 4 + peer) as u8, n);
                        let Ok(mut zmtp) = Zmtp::connect_from(from, address) else { continue };
                        // Most of these conversations end with the connection.
                        let _ = random.converse(&mut zmtp, kind);
                    }
                });
            }
        });
        // A process that is about to end takes a moment to do so.
        thread::sleep(Duration::from_millis(200));
        assert!(victim.child.try_wait().unwrap().is_none(), "{:#?}", victim.lines.lock().unwrap());
        check(victim);
        let gained = victim.gained();
        assert!(gained <= limit, "round {round}: {gained} kB");
    }
}

#[test]
fn random_peers_of_a_host() {
    if !has_limits() {
        return;
    }
    let endpoint = free_endpoint();
    let mut victim = Victim::host(&format!("@{endpoint}"), &[]);
    let address = endpoint.strip_prefix("tcp://").unwrap();
    fuzz(address, "SUB", &mut victim, HOST, |_| {
        let mut good = Zmtp::connect(address).unwrap();
        good.introduce("SUB", None, false).unwrap();
        good.send(0, b"\x01").unwrap();
        assert_eq!(good.receive().unwrap().1, b"conn");
    });
}

#[test]
fn random_peers_of_the_collector() {
    if !has_limits() {
        return;
    }
    let endpoint = free_endpoint();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bro-zmq"));
    let mut victim = Victim::start(command.args(["subscribe", "--bind", &endpoint]), "listening on");
    let address = endpoint.strip_prefix("tcp://").unwrap();
    fuzz(address, "PUB", &mut victim, 2 * COLLECTOR, |victim| {
        let mut good = Zmtp::connect(address).unwrap();
        good.introduce("PUB", None, false).unwrap();
        good.send(MORE, b"conn").unwrap();
        good.send(0, b"{\"good\":1}").unwrap();
        victim.wait_for("{\"good\":1}");
    });
}

/// A peer is gone, by a reset, while its receiver takes nothing. What libzmq has read of it has a heartbeat
/// in it, which nobody can answer any more: without the patches, libzmq can end the process then.
#[test]
fn a_heartbeat_of_a_peer_that_is_gone() {
    if !has_limits() {
        return;
    }
    let context = Arc::new(Context::new().unwrap());
    let receiver = Socket::new(&context, SocketType::Sub).unwrap();
    receiver.set(zmq_sys::ZMQ_RCVHWM, 1).unwrap();
    receiver.set_bytes(zmq_sys::ZMQ_SUBSCRIBE, b"").unwrap();
    let endpoint = free_endpoint();
    receiver.bind(&std::ffi::CString::new(endpoint.as_str()).unwrap()).unwrap();

    let mut peer = Zmtp::connect(endpoint.strip_prefix("tcp://").unwrap()).unwrap();
    peer.introduce("PUB", None, false).unwrap();
    let mut all = Vec::new();
    for n in 0..100 {
        peer.encode(&mut all, 0, &[n]);
    }
    peer.encode(&mut all, COMMAND, b"\x04PING\0\x0acontext");
    for n in 100..105 {
        peer.encode(&mut all, 0, &[n]);
    }
    peer.raw(&all).unwrap();
    // libzmq reads it as far as there is room. The peer has not read its subscription: the system resets.
    thread::sleep(Duration::from_millis(300));
    drop(peer);
    thread::sleep(Duration::from_millis(300));

    let begun = Instant::now();
    let mut received = Vec::new();
    while received.len() < 105 && begun.elapsed() < PATIENCE {
        match receiver.try_recv().unwrap() {
            Some(message) => received.extend_from_slice(message.as_bytes()),
            None => thread::sleep(Duration::from_millis(5)),
        }
    }
    assert_eq!(received, (0..105).collect::<Vec<u8>>());
}

/// Connections that say nothing, half of a greeting, or nothing after it end when their time is up;
/// then others have their turn.
#[test]
fn connections_that_stand_still() {
    if !has_limits() {
        return;
    }
    let endpoint = free_endpoint();
    let mut victim = Victim::host(&format!("@{endpoint}"), &[]);
    let address = endpoint.strip_prefix("tcp://").unwrap();
    let mut early = Zmtp::connect(address).unwrap();
    early.introduce("SUB", None, false).unwrap();
    early.send(0, b"\x01").unwrap();
    assert_eq!(early.receive().unwrap().1, b"conn");
    victim.begin();
    let before = fs::read_dir(format!("/proc/{}/fd", victim.child.id())).unwrap().count();
    let idle: Vec<_> = (0..300)
        .map(|n| {
            let mut zmtp = Zmtp::connect(address).unwrap();
            let _ = match n % 3 {
                0 => Ok(()),
                1 => zmtp.raw(b"\xff\0\0\0\0\0\0\0\x01\x7f\x03"),
                _ => zmtp.raw(&[&b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL"[..], &[0; 48]].concat()),
            };
            zmtp
        })
        .collect();
    thread::sleep(Duration::from_millis(500));
    let descriptors = fs::read_dir(format!("/proc/{}/fd", victim.child.id())).unwrap().count();
    assert!(descriptors <= before + 64, "{before} descriptors, then {descriptors}");
    assert!(victim.gained() <= HOST, "{} kB", victim.gained());
    victim.wait_for("all 64 places for subscribers are taken");
    // The subscriber that was there first goes on.
    assert_eq!(early.receive().unwrap().1.len(), 7);
    // After ten seconds there is room.
    let deadline = Instant::now() + PATIENCE;
    while Zmtp::connect(address).and_then(|mut late| late.introduce("SUB", None, false)).is_err() {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(100));
    }
    drop(idle);
    assert_eq!(victim.count("places"), 1);
}

/// Each subscriber has as many topics as are allowed, and other topics than those before it. The memory that
/// one has cost serves the next, whichever thread has seen it come and go.
#[test]
fn subscribers_with_many_topics_come_and_go() {
    if !has_limits() {
        return;
    }
    let endpoint = free_endpoint();
    let mut victim = Victim::host(&format!("@{endpoint}"), &[]);
    let address = endpoint.strip_prefix("tcp://").unwrap();
    victim.begin();
    for round in 0..20 {
        thread::scope(|scope| {
            for peer in 0..PEERS as u8 {
                scope.spawn(move || {
                    let from = Ipv4Addr::new(127, 4, round, peer);
                    let mut zmtp = Zmtp::connect_from(from, address)?;
                    zmtp.introduce("SUB", None, false)?;
                    flood(&mut zmtp, (0..9900).map(|n| subscription(format!("{from}-{n}").as_bytes())))?;
                    thread::sleep(Duration::from_millis(300));
                    io::Result::Ok(())
                });
            }
        });
    }
    assert!(victim.gained() <= HOST, "{} kB", victim.gained());
}

/// Makes sure that a peer gets records for two seconds.
fn goes_on(peer: &mut Zmtp) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        peer.receive().expect("it is there");
    }
}

/// A topic that several subscribers share counts for each of them, whoever was first. So a subscriber with few
/// topics is not thrown out when the first one has gone and left its many topics to others.
#[test]
fn a_subscriber_with_few_topics_is_not_thrown_out_for_others() {
    if !has_limits() {
        return;
    }
    let endpoint = free_endpoint();
    let victim = Victim::host(&format!("@{endpoint}"), &[]);
    let address = endpoint.strip_prefix("tcp://").unwrap();
    let mut meets = (0..).map(|n| {
        let mut zmtp = Zmtp::connect_from(Ipv4Addr::new(127, 5, 0, n), address).unwrap();
        zmtp.introduce("SUB", None, false).unwrap();
        zmtp
    });
    let subscribe = |peer: &mut Zmtp, topic: &str| peer.send(0, &subscription(topic.as_bytes()).1).unwrap();
    let pause = || thread::sleep(Duration::from_millis(300));
    let mut good = meets.next().unwrap();
    subscribe(&mut good, "conn");
    assert_eq!(good.receive().unwrap().1, b"conn");
    // These topics take nearly all the room that there is; then they pass to other subscribers.
    let mut topics: Vec<_> = (10..64).map(|n| format!("E{n}{}", "e".repeat(1021))).collect();
    topics.push("F".repeat(770));
    let mut first = meets.next().unwrap();
    topics.iter().for_each(|topic| subscribe(&mut first, topic));
    pause();
    let mut heirs: Vec<_> = meets.by_ref().take(20).collect();
    topics.iter().enumerate().for_each(|(n, topic)| subscribe(&mut heirs[n % 20], topic));
    pause();
    drop(first);
    pause();
    // Small topics take the rest.
    let mut small: Vec<_> = meets.take(40).collect();
    small.iter_mut().enumerate().for_each(|(n, peer)| subscribe(peer, &format!("Z{n:02}")));
    victim.wait_for("more than");
    goes_on(&mut good);
}

/// Connections that end in the middle of a handshake, in ways that libzmq has no event for: a bound endpoint
/// that pushes knows all the same that its peer is there.
#[test]
fn handshakes_that_break_are_not_the_end_of_other_peers() {
    if !has_limits() {
        return;
    }
    let endpoint = free_endpoint();
    let _victim = Victim::host(&format!("@{endpoint}"), &[("socket_type", "push")]);
    let address = endpoint.strip_prefix("tcp://").unwrap();
    let mut good = Zmtp::connect(address).unwrap();
    good.introduce("PULL", None, false).unwrap();
    assert_eq!(good.receive().unwrap().1, b"conn");
    let greeting = [&b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL"[..], &[0; 48]].concat();
    let ends: [&[u8]; 2] = [b"\x06\0\0\x01\0\0\0\0\0", b"\x04\x0a\x05ERROR\x03bad"];
    for (n, end) in (0..).zip(ends) {
        let mut bad = Zmtp::connect_from(Ipv4Addr::new(127, 6, 0, n), address).unwrap();
        bad.raw(&[&greeting, end].concat()).unwrap();
        // Reads until the host closes the connection.
        let _ = io::copy(&mut bad.stream, &mut io::sink());
    }
    goes_on(&mut good);
}

/// A peer that was thrown out is kept away for ten seconds, by its address; others are not.
#[test]
fn one_that_was_thrown_out_comes_back_later() {
    if !has_limits() {
        return;
    }
    let endpoint = free_endpoint();
    let victim = Victim::host(&format!("@{endpoint}"), &[]);
    let address = endpoint.strip_prefix("tcp://").unwrap();
    let gets_records = |from: Ipv4Addr| -> io::Result<()> {
        let mut zmtp = Zmtp::connect_from(from, address)?;
        zmtp.introduce("SUB", None, false)?;
        zmtp.send(0, b"\x01")?;
        zmtp.receive().map(drop)
    };
    let bad = Ipv4Addr::new(127, 0, 0, 66);
    let mut zmtp = Zmtp::connect_from(bad, address).unwrap();
    zmtp.introduce("SUB", None, false).unwrap();
    assert!(endless_large(&mut zmtp).is_err());
    victim.wait_for("refusing clients");
    let thrown_out = Instant::now();
    let mut tries = 0;
    while thrown_out.elapsed() < Duration::from_secs(8) {
        assert!(gets_records(bad).is_err(), "after {:?}", thrown_out.elapsed());
        gets_records(GOOD).unwrap();
        tries += 1;
        thread::sleep(Duration::from_millis(50));
    }
    assert!(tries > 10, "{tries}");
    while gets_records(bad).is_err() {
        assert!(thrown_out.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(victim.count("refusing clients"), 1);
}

#[test]
fn a_host_that_listens() {
    Setting { name: "bound", bind: true, socket_type: "publish", curve: false }.attack();
}

#[test]
fn a_host_that_listens_with_keys() {
    Setting { name: "bound, CURVE", bind: true, socket_type: "publish", curve: true }.attack();
}

#[test]
fn a_host_that_connects() {
    Setting { name: "connected", bind: false, socket_type: "publish", curve: false }.attack();
}

#[test]
fn a_host_that_connects_with_keys() {
    Setting { name: "connected, CURVE", bind: false, socket_type: "publish", curve: true }.attack();
}

#[test]
fn a_host_that_pushes() {
    Setting { name: "bound, push", bind: true, socket_type: "push", curve: false }.attack();
}
