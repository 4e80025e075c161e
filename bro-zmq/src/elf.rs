//! What a program or a shared object says of itself: the dynamic symbols of an ELF file.

use std::path::Path;
use std::{fs, io};

/// A 64-bit little-endian ELF file. Reading stays within the file, even if it is damaged.
pub struct Elf {
    bytes: Vec<u8>,
    loads: Vec<Segment>,
    interpreter: Option<String>,
    symbols: Vec<Symbol>,
}

struct Segment {
    address: u64,
    offset: u64,
    size: u64,
}

struct Symbol {
    name: String,
    defined: bool,
    value: u64,
    size: u64,
}

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_GNU_HASH: u64 = 0x6fff_fef5;
const SYMBOL_SIZE: u64 = 24;

impl Elf {
    /// The processor that this is compiled for, as ELF numbers it.
    pub const MACHINE: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };

    /// Reads a file.
    pub fn open(file: &Path) -> Result<Self, String> {
        let bytes = fs::read(file).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "there is no such file".to_owned(),
            _ => error.to_string(),
        })?;
        if !bytes.starts_with(b"\x7fELF\x02\x01") {
            return Err("this is no 64-bit program or shared object".to_owned());
        }
        let mut elf = Self { bytes, loads: Vec::new(), interpreter: None, symbols: Vec::new() };
        elf.read().ok_or("its ELF headers lead nowhere; is the file complete?")?;
        Ok(elf)
    }

    /// The processor that it is for.
    pub fn machine(&self) -> u16 {
        self.u16(18).unwrap_or(0)
    }

    /// The dynamic loader that it asks for.
    pub fn interpreter(&self) -> Option<&str> {
        self.interpreter.as_deref()
    }

    /// The names that it defines for others.
    pub fn defined(&self) -> impl Iterator<Item = &str> {
        self.symbols.iter().filter(|symbol| symbol.defined).map(|symbol| symbol.name.as_str())
    }

    /// The names that others must define.
    pub fn undefined(&self) -> impl Iterator<Item = &str> {
        self.symbols.iter().filter(|symbol| !symbol.defined).map(|symbol| symbol.name.as_str())
    }

    /// The text that a variable of type `char[]` starts with.
    pub fn text(&self, name: &str) -> Option<String> {
        let symbol = self.symbols.iter().find(|symbol| symbol.defined && symbol.name == name)?;
        let start = self.offset(symbol.value)?;
        let end = start.checked_add(symbol.size.min(64))?;
        let bytes = self.bytes.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)?;
        let (text, _) = bytes.split_at(bytes.iter().position(|&byte| byte == 0)?);
        String::from_utf8(text.to_vec()).ok()
    }

    fn read(&mut self) -> Option<()> {
        let headers = self.u64(32)?;
        let size = u64::from(self.u16(54)?);
        let count = u64::from(self.u16(56)?);
        let mut dynamic = None;
        for header in (0..count).map(|i| headers.wrapping_add(i * size)) {
            let offset = self.u64(header.wrapping_add(8))?;
            let segment = Segment {
                address: self.u64(header.wrapping_add(16))?,
                offset,
                size: self.u64(header.wrapping_add(32))?,
            };
            match self.u32(header)? {
                PT_LOAD => self.loads.push(segment),
                PT_DYNAMIC => dynamic = Some(offset..offset.checked_add(segment.size)?),
                PT_INTERP => self.interpreter = self.string(offset),
                _ => {}
            }
        }
        let (mut strings, mut symbols, mut hash) = (None, None, None);
        let Some(dynamic) = dynamic else { return Some(()) }; // linked statically
        for entry in dynamic.step_by(16) {
            let value = self.u64(entry.wrapping_add(8))?;
            match self.u64(entry)? {
                DT_STRTAB => strings = self.offset(value),
                DT_SYMTAB => symbols = self.offset(value),
                DT_GNU_HASH => hash = self.offset(value),
                _ => {}
            }
        }
        let Some(hash) = hash else { return Some(()) }; // nothing that can be looked up
        let (strings, symbols) = (strings?, symbols?);
        for i in 1..self.count(hash)? {
            let symbol = symbols.wrapping_add(i.wrapping_mul(SYMBOL_SIZE));
            self.symbols.push(Symbol {
                name: self.string(strings.wrapping_add(self.u32(symbol)?.into()))?,
                defined: self.u16(symbol.wrapping_add(6))? != 0,
                value: self.u64(symbol.wrapping_add(8))?,
                size: self.u64(symbol.wrapping_add(16))?,
            });
        }
        Some(())
    }

    /// How many symbols there are, from the GNU hash table: the highest number in a bucket,
    /// and then to the end of its chain.
    fn count(&self, hash: u64) -> Option<u64> {
        let word = |start: u64, index: u64| self.u32(start.wrapping_add(index.wrapping_mul(4)));
        let buckets = u64::from(word(hash, 0)?);
        let first = u64::from(word(hash, 1)?);
        let bucket = hash.wrapping_add(16 + u64::from(word(hash, 2)?) * 8);
        let chain = bucket.wrapping_add(buckets * 4);
        let mut last = 0;
        for i in 0..buckets {
            last = last.max(u64::from(word(bucket, i)?));
        }
        if last < first {
            return Some(first);
        }
        while word(chain, last - first)? & 1 == 0 {
            last += 1;
        }
        Some(last + 1)
    }

    /// Where in the file an address is.
    fn offset(&self, address: u64) -> Option<u64> {
        let segment = self.loads.iter().find(|segment| address.wrapping_sub(segment.address) < segment.size)?;
        segment.offset.checked_add(address - segment.address)
    }

    fn string(&self, offset: u64) -> Option<String> {
        let bytes = self.bytes.get(usize::try_from(offset).ok()?..)?;
        let end = bytes.iter().position(|&byte| byte == 0)?;
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    fn array<const N: usize>(&self, offset: u64) -> Option<[u8; N]> {
        let start = usize::try_from(offset).ok()?;
        self.bytes.get(start..start.checked_add(N)?)?.try_into().ok()
    }

    fn u16(&self, offset: u64) -> Option<u16> {
        self.array(offset).map(u16::from_le_bytes)
    }

    fn u32(&self, offset: u64) -> Option<u32> {
        self.array(offset).map(u32::from_le_bytes)
    }

    fn u64(&self, offset: u64) -> Option<u64> {
        self.array(offset).map(u64::from_le_bytes)
    }
}
