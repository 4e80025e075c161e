//! Making records in memory exactly as a host lays them out.

use core::ffi::c_void;
use std::ffi::CString;

pub use bro_zeromq_writer::host::Type;
use bro_zeromq_writer::host::{Address, AnyShape, Layout};

/// Returns true if records can be laid out so: the plugin can read them, and their pointers are aligned.
#[must_use]
pub fn fits(layout: &Layout) -> bool {
    AnyShape::new(layout).is_ok() && layout.field_name.is_multiple_of(8) && layout.value_val.is_multiple_of(8)
}

/// A value to be laid out.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A field that is not set.
    Unset(Type),
    /// BOOL.
    Bool(bool),
    /// INT.
    Int(i64),
    /// COUNT.
    Count(u64),
    /// PORT, with the host's `TransportProto` (0 unknown, 1 tcp, 2 udp, 3 icmp).
    Port(u64, u8),
    /// DOUBLE.
    Double(f64),
    /// INTERVAL, in seconds.
    Interval(f64),
    /// TIME, in seconds since the epoch.
    Time(f64),
    /// ADDR.
    Addr(Address),
    /// SUBNET, its length counted on the 128-bit form as hosts do.
    Subnet(Address, u8),
    /// STRING, ENUM, FILE or FUNC.
    Text(Type, Vec<u8>),
    /// SET or VECTOR.
    List(Type, Vec<Cell>),
    /// A value under any tag, its union holding these bytes.
    Raw(u32, [u8; 24]),
}

impl Cell {
    /// The host's tag for the value.
    fn tag(&self, layout: &Layout) -> u32 {
        let kind = match self {
            Self::Unset(kind) | Self::Text(kind, _) | Self::List(kind, _) => *kind,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Count(_) => Type::Count,
            Self::Port(..) => Type::Port,
            Self::Double(_) => Type::Double,
            Self::Interval(_) => Type::Interval,
            Self::Time(_) => Type::Time,
            Self::Addr(_) => Type::Addr,
            Self::Subnet(..) => Type::Subnet,
            Self::Raw(tag, _) => return *tag,
        };
        kind.tag(layout).unwrap_or(255)
    }
}

/// Holds one record's values in memory, to be reused for the next.
#[derive(Debug)]
pub struct Synth {
    layout: Layout,
    /// Blocks of 8-byte words; a block never moves, so that pointers into it stay valid.
    blocks: Vec<Box<[u64]>>,
    /// The block in use, and the words used of it.
    at: (usize, usize),
    values: Vec<*const c_void>,
}

const BLOCK_WORDS: usize = 8192;

impl Synth {
    /// Makes values laid out as `layout` says, which has to be one that [`fits`].
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        assert!(fits(layout), "{layout:?}");
        Self { layout: *layout, blocks: Vec::new(), at: (0, 0), values: Vec::new() }
    }

    /// Lays out a record and returns its `threading::Value**`, valid until the next call.
    pub fn record(&mut self, cells: &[Cell]) -> &[*const c_void] {
        self.at = (0, 0);
        let mut values = std::mem::take(&mut self.values);
        values.clear();
        values.extend(cells.iter().map(|cell| self.value(cell).cast_const().cast()));
        self.values = values;
        &self.values
    }

    /// Memory of at least `bytes`, zeroed, aligned to 8.
    fn allocate(&mut self, bytes: usize) -> *mut u8 {
        let words = bytes.div_ceil(8).max(1);
        loop {
            let (block, used) = self.at;
            match self.blocks.get_mut(block) {
                None => {
                    self.blocks.push(vec![0; words.max(BLOCK_WORDS)].into_boxed_slice());
                    self.at.1 = 0;
                }
                Some(memory) if memory.len() - used >= words => {
                    let memory = &mut memory[used..used + words];
                    memory.fill(0);
                    self.at.1 += words;
                    return memory.as_mut_ptr().cast();
                }
                Some(_) => self.at = (block + 1, 0),
            }
        }
    }

    fn value(&mut self, cell: &Cell) -> *mut u8 {
        let layout = self.layout;
        let value = self.allocate(layout.value_size as usize);
        let mut val = [0_u8; 24];
        {
            let mut put = |offset: u32, bytes: &[u8]| {
                let offset = offset as usize;
                val[offset..offset + bytes.len()].copy_from_slice(bytes);
            };
            match cell {
                Cell::Unset(_) => {}
                Cell::Bool(yes) => put(0, &i64::from(*yes).to_ne_bytes()),
                Cell::Int(number) => put(0, &number.to_ne_bytes()),
                Cell::Count(number) => put(0, &number.to_ne_bytes()),
                Cell::Port(number, protocol) => {
                    put(layout.val_port_port, &number.to_ne_bytes());
                    put(layout.val_port_port + 8, &[*protocol]);
                }
                Cell::Double(number) | Cell::Interval(number) | Cell::Time(number) => put(0, &number.to_ne_bytes()),
                Cell::Addr(address) => put_address(&mut put, &layout, 0, *address),
                Cell::Subnet(address, length) => {
                    put_address(&mut put, &layout, layout.val_subnet_prefix, *address);
                    put(layout.val_subnet_length, &[*length]);
                }
                Cell::Text(_, text) => {
                    let data = self.allocate(text.len());
                    // SAFETY: `allocate` gave this many bytes, which nothing else refers to.
                    unsafe { data.copy_from_nonoverlapping(text.as_ptr(), text.len()) };
                    put(layout.val_string_data, &(data as usize).to_ne_bytes());
                    put(layout.val_string_length, &(text.len() as i32).to_ne_bytes());
                }
                Cell::List(_, cells) => {
                    let elements = self.allocate(cells.len() * 8);
                    for (index, cell) in cells.iter().enumerate() {
                        let element = self.value(cell);
                        // SAFETY: `allocate` gave room for a pointer to each cell, aligned.
                        unsafe { elements.cast::<*mut u8>().add(index).write(element) };
                    }
                    put(layout.val_set_size, &(cells.len() as i64).to_ne_bytes());
                    put(layout.val_set_vals, &(elements as usize).to_ne_bytes());
                }
                Cell::Raw(_, bytes) => put(0, bytes),
            }
        }
        let tag = cell.tag(&layout).to_ne_bytes();
        let present = !matches!(cell, Cell::Unset(_));
        // SAFETY: `value` has `value_size` bytes, and the layout's offsets lie within.
        unsafe {
            let tag_at = value.add(layout.value_type as usize);
            tag_at.copy_from_nonoverlapping(tag.as_ptr(), layout.tag_size as usize);
            value.add(layout.value_present as usize).write(u8::from(present));
            value.add(layout.value_val as usize).copy_from_nonoverlapping(val.as_ptr(), val.len());
        }
        value
    }
}

fn put_address(put: &mut impl FnMut(u32, &[u8]), layout: &Layout, base: u32, address: Address) {
    let (family, bytes): (u32, &[u8]) = match &address {
        Address::V4(bytes) => (layout.ip_family_v4, bytes),
        Address::V6(bytes) => (layout.ip_family_v6, bytes),
    };
    put(base + layout.val_addr_family, &family.to_ne_bytes()[..layout.ip_family_size as usize]);
    put(base + layout.val_addr_in, bytes);
}

/// The columns of a log, as `DoInit` is told of them.
#[derive(Debug)]
pub struct Columns {
    layout: Layout,
    pointers: Vec<*const c_void>,
    _fields: Vec<Box<[u64]>>,
    _names: Vec<CString>,
}

impl Columns {
    /// Lays out `threading::Field`s with these names (up to a NUL byte, if they have one) and types. The
    /// layout has to be one that [`fits`].
    #[must_use]
    pub fn new<'n>(layout: &Layout, columns: impl IntoIterator<Item = (&'n str, Type)>) -> Self {
        assert!(fits(layout), "{layout:?}");
        let (mut pointers, mut fields, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for (name, kind) in columns {
            let name = CString::new(name.split('\0').next().unwrap_or_default()).unwrap_or_default();
            let mut field = vec![0_u64; (layout.field_size as usize).div_ceil(8)].into_boxed_slice();
            let memory = field.as_mut_ptr().cast::<u8>();
            let tag = kind.tag(layout).unwrap_or(255).to_ne_bytes();
            // SAFETY: the field has `field_size` bytes, and the layout's offsets lie within.
            unsafe {
                memory.add(layout.field_name as usize).cast::<*const i8>().write(name.as_ptr().cast());
                memory.add(layout.field_type as usize).copy_from_nonoverlapping(tag.as_ptr(), layout.tag_size as usize);
            }
            pointers.push(memory.cast_const().cast());
            fields.push(field);
            names.push(name);
        }
        Self { layout: *layout, pointers, _fields: fields, _names: names }
    }

    /// The layout that they have, and their records.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// `threading::Field* const*`, valid as long as `self`.
    #[must_use]
    pub fn as_ptr(&self) -> *const *const c_void {
        self.pointers.as_ptr()
    }

    /// How many columns there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pointers.len()
    }

    /// Returns true if there are no columns.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pointers.is_empty()
    }
}
