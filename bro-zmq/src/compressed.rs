//! Uncompressing logs, also logs that were cut off, damaged or padded.
//!
//! All data in front of a fault is given before the fault is told. Zeros behind the last part, as
//! tapes, block devices and preallocated files have them, are ignored.

use std::io::{self, BufRead, ErrorKind, Read};
use std::ops::Range;

use flate2::{Crc, Decompress, FlushDecompress, Status};
use zstd::stream::raw::{Decoder, Operation};

/// How the data is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Gzip,
    Zstd,
}

impl Method {
    /// The method of data that begins with these bytes.
    pub fn of(start: &[u8]) -> Option<Self> {
        match start {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            // A frame to be skipped.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Bytes uncompressed at a time. A whole window of gzip fits in, so that the data before a fault comes
/// out.
const BLOCK: usize = 64 * 1024;

/// Bytes that zstd wants to see of a frame first.
const FRAME_START: usize = 5;

/// Reads what is compressed.
pub struct Uncompressed<R> {
    input: Counted<R>,
    method: Method,
    state: State,
    block: Box<[u8]>,
    /// The bytes of `block` that are uncompressed and were not read yet.
    ready: Range<usize>,
    /// The fault behind them.
    fault: Option<io::Error>,
}

enum State {
    /// A part begins here, or the end; true for the first part.
    Between(bool),
    Gzip(Box<Decompress>, Crc),
    /// The decoder, and how many of the next bytes belong to the next block.
    Zstd(Box<Decoder<'static>>, usize),
    End,
}

impl<R: BufRead> Uncompressed<R> {
    /// Uncompresses `input` from its first byte on.
    pub fn new(input: R, method: Method) -> Self {
        let input = Counted { input, at: 0 };
        Self { input, method, state: State::Between(true), block: vec![0; BLOCK].into(), ready: 0..0, fault: None }
    }

    /// Uncompresses the next bytes into `block`, or comes to the end.
    fn go_on(&mut self) -> io::Result<()> {
        self.ready = 0..0;
        self.state = match std::mem::replace(&mut self.state, State::End) {
            State::End => State::End,
            State::Between(first) => self.between(first)?,
            State::Gzip(inflate, crc) => self.inflate(inflate, crc)?,
            State::Zstd(decoder, wanted) => self.decode(decoder, wanted)?,
        };
        Ok(())
    }

    fn between(&mut self, first: bool) -> io::Result<State> {
        let end = self.input.at;
        if !first && self.input.skip_zeros()? {
            return Ok(State::End);
        }
        let start = self.input.at;
        Ok(match self.method {
            Method::Gzip => {
                let mut magic = [0; 2];
                let whole = self.input.read_up_to(&mut magic)?;
                if !first && (!whole || magic != [0x1f, 0x8b]) {
                    return Err(self.behind(end, start));
                }
                self.gzip_header()?;
                State::Gzip(Box::new(Decompress::new(false)), Crc::new())
            }
            Method::Zstd => {
                let mut magic = [0; 4];
                let whole = self.input.read_up_to(&mut magic)?;
                if !first && (!whole || Method::of(&magic) != Some(Method::Zstd)) {
                    return Err(self.behind(end, start));
                }
                let mut decoder = Box::new(Decoder::new()?);
                let mut none = [];
                decoder.run_on_buffers(&magic, &mut none)?;
                State::Zstd(decoder, FRAME_START - magic.len())
            }
        })
    }

    /// The rest of a part's first bytes (RFC 1952).
    fn gzip_header(&mut self) -> io::Result<()> {
        let mut fixed = [0; 8];
        self.input.read_exact(&mut fixed).map_err(|error| self.early(error))?;
        let [method, flags, ..] = fixed;
        if method != 8 || flags & 0xe0 != 0 {
            return Err(self.damaged());
        }
        if flags & 4 != 0 {
            let mut len = [0; 2];
            self.input.read_exact(&mut len).map_err(|error| self.early(error))?;
            self.input.skip(u16::from_le_bytes(len).into()).map_err(|error| self.early(error))?;
        }
        // The name of the file, and a comment.
        for flag in [8, 16] {
            if flags & flag != 0 {
                self.input.skip_text().map_err(|error| self.early(error))?;
            }
        }
        if flags & 2 != 0 {
            self.input.skip(2).map_err(|error| self.early(error))?;
        }
        Ok(())
    }

    fn inflate(&mut self, mut inflate: Box<Decompress>, mut crc: Crc) -> io::Result<State> {
        loop {
            let available = self.input.fill()?;
            let at_end = available.is_empty();
            let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
            let result = inflate.decompress(available, &mut self.block, FlushDecompress::None);
            let (taken, made) = (inflate.total_in() - before_in, inflate.total_out() - before_out);
            self.input.consume(taken as usize);
            self.ready = 0..made as usize;
            crc.update(&self.block[..made as usize]);
            match result {
                Err(_) => {
                    self.fault = Some(self.damaged());
                    return Ok(State::End);
                }
                Ok(Status::StreamEnd) => {
                    let mut end = [0; 8];
                    self.fault = match self.input.read_exact(&mut end) {
                        Err(error) => Some(self.early(error)),
                        Ok(()) => {
                            let [a, b, c, d, e, f, g, h] = end;
                            let sums = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
                            (sums != (crc.sum(), crc.amount())).then(|| self.damaged())
                        }
                    };
                    return Ok(if self.fault.is_some() { State::End } else { State::Between(false) });
                }
                Ok(_) if made > 0 => return Ok(State::Gzip(inflate, crc)),
                Ok(_) if at_end => return Err(self.early(ErrorKind::UnexpectedEof.into())),
                Ok(_) if taken == 0 => return Err(self.damaged()),
                Ok(_) => {}
            }
        }
    }

    fn decode(&mut self, mut decoder: Box<Decoder<'static>>, mut wanted: usize) -> io::Result<State> {
        loop {
            // Each run reads one block at most, so that all blocks before a damaged one have been given.
            let available = self.input.fill()?;
            let at_end = available.is_empty();
            let part = &available[..available.len().min(wanted)];
            let Ok(status) = decoder.run_on_buffers(part, &mut self.block) else { return Err(self.damaged()) };
            self.input.consume(status.bytes_read);
            self.ready = 0..status.bytes_written;
            wanted -= status.bytes_read;
            if wanted == 0 {
                wanted = status.remaining;
            }
            if status.remaining == 0 {
                return Ok(State::Between(false));
            }
            if status.bytes_written > 0 {
                return Ok(State::Zstd(decoder, wanted.max(1)));
            }
            if at_end {
                return Err(self.early(ErrorKind::UnexpectedEof.into()));
            }
            wanted = wanted.max(1);
        }
    }

    fn damaged(&self) -> io::Error {
        io::Error::other(format!(
            "its {} data is damaged, in front of byte {}; what comes before that was read",
            self.method.name(),
            self.input.at
        ))
    }

    /// The error for data behind the last part that does not belong to it.
    fn behind(&self, end: u64, start: u64) -> io::Error {
        let zeros = if end < start { ", after zeros," } else { "" };
        io::Error::other(format!(
            "its {} data ends at byte {end}; what follows{zeros} is something else; what comes before that was read",
            self.method.name(),
        ))
    }

    fn early(&self, error: io::Error) -> io::Error {
        if error.kind() != ErrorKind::UnexpectedEof {
            return error;
        }
        io::Error::other(format!(
            "its {} data is cut off, at byte {}; what comes before that was read",
            self.method.name(),
            self.input.at
        ))
    }
}

impl<R: BufRead> BufRead for Uncompressed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.ready.is_empty() {
            if let Some(fault) = self.fault.take() {
                return Err(fault);
            }
            if matches!(self.state, State::End) {
                return Ok(&[]);
            }
            self.go_on()?;
        }
        Ok(&self.block[self.ready.clone()])
    }

    fn consume(&mut self, count: usize) {
        self.ready.start += count;
    }
}

impl<R: BufRead> Read for Uncompressed<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(to)?;
        self.consume(count);
        Ok(count)
    }
}

/// Knows how many bytes were read.
struct Counted<R> {
    input: R,
    at: u64,
}

impl<R: BufRead> Counted<R> {
    fn fill(&mut self) -> io::Result<&[u8]> {
        loop {
            match self.input.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(_) => break,
            }
        }
        // This call returns the bytes that the loop has seen.
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.at += count as u64;
    }

    /// Skips zeros; returns true if the end follows them.
    fn skip_zeros(&mut self) -> io::Result<bool> {
        loop {
            let available = self.fill()?;
            let len = available.len();
            let zeros = available.iter().position(|&byte| byte != 0).unwrap_or(len);
            self.consume(zeros);
            if zeros < len || len == 0 {
                return Ok(len == 0);
            }
        }
    }

    /// Fills `to`; returns false if the end comes before.
    fn read_up_to(&mut self, to: &mut [u8]) -> io::Result<bool> {
        match self.read_exact(to) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            result => result.map(|()| true),
        }
    }

    fn read_exact(&mut self, mut to: &mut [u8]) -> io::Result<()> {
        while !to.is_empty() {
            let count = self.fill()?.read(to)?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.consume(count);
            to = &mut to[count..];
        }
        Ok(())
    }

    fn skip(&mut self, mut count: usize) -> io::Result<()> {
        while count > 0 {
            let part = self.fill()?.len().min(count);
            if part == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.consume(part);
            count -= part;
        }
        Ok(())
    }

    /// Skips a text and the zero behind it.
    fn skip_text(&mut self) -> io::Result<()> {
        let mut byte = [1];
        while byte != [0] {
            self.read_exact(&mut byte)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

    use super::*;

    fn compressed(method: Method, data: &[u8]) -> Vec<u8> {
        match method {
            Method::Gzip => {
                let mut encoder = flate2::GzBuilder::new()
                    .filename("a.log")
                    .comment("c")
                    .extra(b"extra".to_vec())
                    .write(Vec::new(), flate2::Compression::default());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Method::Zstd => {
                let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
                encoder.include_checksum(true).unwrap();
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    /// Returns what can be read, and the fault behind it.
    fn read(method: Method, data: &[u8], at_a_time: usize) -> (Vec<u8>, Option<String>) {
        let mut all = Vec::new();
        let mut input = Uncompressed::new(BufReader::with_capacity(at_a_time, data), method);
        let error = input.read_to_end(&mut all).err();
        (all, error.map(|error| error.to_string()))
    }

    /// Lines that do not compress to nothing.
    fn lines(count: u32) -> Vec<u8> {
        (0..count).flat_map(|n| format!("{n}\t{:08x}\n", n.wrapping_mul(2_654_435_761)).into_bytes()).collect()
    }

    #[test]
    fn what_is_whole_is_read() {
        for method in [Method::Gzip, Method::Zstd] {
            let data = lines(3_000);
            let parts = [compressed(method, &data), compressed(method, b""), compressed(method, b"end")].concat();
            assert_eq!(Method::of(&parts), Some(method));
            for at_a_time in [1, 7, 4096, 1 << 20] {
                let expected = [&data[..], b"end"].concat();
                assert!(read(method, &parts, at_a_time) == (expected.clone(), None), "{method:?} {at_a_time}");
                for zeros in [1, 2, 5, 100_000] {
                    let padded = [&parts[..], &vec![0; zeros]].concat();
                    assert!(read(method, &padded, at_a_time) == (expected.clone(), None), "{method:?} {zeros}");
                    let between = [&padded[..], &compressed(method, b"!")].concat();
                    assert!(read(method, &between, at_a_time) == ([&expected[..], b"!"].concat(), None));
                }
            }
        }
    }

    #[test]
    fn what_is_in_front_of_a_fault_is_read() {
        for method in [Method::Gzip, Method::Zstd] {
            let data = lines(20_000);
            let whole = compressed(method, &data);
            for at_a_time in [1000, 1 << 20] {
                let (all, error) = read(method, &[&whole[..], b"GARBAGE"].concat(), at_a_time);
                assert!(all == data);
                let error = error.unwrap();
                assert!(error.contains(&format!("ends at byte {};", whole.len())), "{error}");

                let (all, error) = read(method, &whole[..whole.len() / 2], at_a_time);
                assert!(data.starts_with(&all) && all.len() > data.len() / 3, "{method:?} {}", all.len());
                let error = error.unwrap();
                assert!(error.contains(&format!("cut off, at byte {};", whole.len() / 2)), "{error}");

                let mut damaged = whole.clone();
                let middle = whole.len() / 2;
                damaged[middle..middle + 20_000].fill(0xff);
                let (all, error) = read(method, &damaged, at_a_time);
                let same = all.iter().zip(&data).take_while(|(a, b)| a == b).count();
                assert!(same > data.len() / 4, "{method:?} {at_a_time}: {same} of {}", all.len());
                assert!(error.unwrap().contains("is damaged, in front of byte "));

                // A damaged checksum.
                let mut damaged = whole.clone();
                let at = whole.len() - if method == Method::Gzip { 8 } else { 1 };
                damaged[at] ^= 1;
                let (all, error) = read(method, &damaged, at_a_time);
                assert!(data.starts_with(&all) && all.len() > data.len() / 2, "{}", all.len());
                assert!(error.unwrap().contains("is damaged"));
            }
        }
    }

    #[test]
    fn every_cut_is_told() {
        for method in [Method::Gzip, Method::Zstd] {
            let whole = compressed(method, b"some text, some text");
            for end in 4..whole.len() {
                let (all, error) = read(method, &whole[..end], 4096);
                assert!(b"some text, some text".starts_with(&all[..]));
                assert!(error.is_some_and(|error| error.contains("cut off")), "{method:?} {end}");
            }
        }
    }
}
