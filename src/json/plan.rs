//! What is known of a log's records before the first record comes.

use super::address::MAX_ADDRESS;
use super::number::MAX_NUMBER;
#[cfg(target_arch = "x86_64")]
use super::scan::Avx2;
use super::scan::SHORT_ROOM;
use super::text::{EscapePolicy, push_escaped_name};
use super::time::{MAX_TIME, TimeFormat};
use crate::host::{Field, KindsOf, Layout, Tags};

/// Names up to this length are copied as a whole, in a few moves.
pub(super) const NAME_BLOCK: usize = 32;

/// Columns for which room is checked at a time: for their names, and for values of limited size.
pub(super) const COLUMN_BLOCK: usize = 32;

/// Bytes that a value takes at most, quotes included. Longer text and lists reserve their own.
pub(super) const MAX_SCALAR: usize = {
    let mut max = MAX_NUMBER;
    if MAX_TIME > max {
        max = MAX_TIME;
    }
    // A subnet: two quotes, the slash and a length of up to ten digits.
    if MAX_ADDRESS + 13 > max {
        max = MAX_ADDRESS + 13;
    }
    if SHORT_ROOM > max {
        max = SHORT_ROOM;
    }
    max
};

/// How records are written; the defaults are the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// How times are written.
    pub time: TimeFormat,
    /// True if unset columns are written as null instead of being left out.
    pub include_unset: bool,
    /// How strings with bytes that are not accepted are written.
    pub escape: EscapePolicy,
}

/// A column's name, ready to be copied: `,"name":`.
#[derive(Debug)]
pub(super) struct Column {
    /// The name's first bytes, followed by zeros if it is shorter.
    pub start: [u8; NAME_BLOCK],
    /// How many bytes of `start` count.
    pub start_len: u8,
    /// [`KindsOf::NONE`] if there is a `rest`: it must be written before the value.
    pub kinds: KindsOf,
    /// The rest of a longer name; empty for others.
    pub rest: Box<[u8]>,
}

/// The columns' names, the host's tags and the style, made once per writer.
#[derive(Debug)]
pub struct FieldPlan {
    pub(super) columns: Box<[Column]>,
    /// Bytes that [`COLUMN_BLOCK`] columns take at most, longer text and lists excepted, and besides
    /// them one element of a list and one byte for the record's end.
    pub(super) room: usize,
    pub(super) tags: Tags,
    /// The host's tag of strings, if they are written by a rule of their own; `tags` does not know
    /// it then.
    pub(super) separate_string_tag: Option<u32>,
    pub(super) style: Style,
    /// True if records are encoded with AVX2's instructions. The processor has them then.
    #[cfg(target_arch = "x86_64")]
    pub(super) avx2: bool,
}

impl FieldPlan {
    /// Plans for records with these columns.
    #[must_use]
    pub fn new(fields: &[Field], layout: &Layout, style: Style) -> Self {
        let columns: Box<[_]> = fields
            .iter()
            .map(|field| {
                let mut name = vec![b',', b'"'];
                push_escaped_name(&mut name, &field.name);
                name.extend_from_slice(b"\":");
                let rest = name.split_off(name.len().min(NAME_BLOCK)).into_boxed_slice();
                let mut start = [0; NAME_BLOCK];
                start[..name.len()].copy_from_slice(&name);
                let kinds = if rest.is_empty() { KindsOf::VALUES } else { KindsOf::NONE };
                Column { start, start_len: name.len() as u8, kinds, rest }
            })
            .collect();
        let tags = Tags::new(layout);
        // The other rules are for strings only; other text stays as it is.
        let (tags, separate_string_tag) = match style.escape {
            EscapePolicy::Hex => (tags, None),
            EscapePolicy::Pua | EscapePolicy::Tsv => (tags.without(layout.tag_string), Some(layout.tag_string)),
        };
        let room_of = |column: &Column| NAME_BLOCK + column.rest.len() + MAX_SCALAR;
        let blocks = columns.chunks(COLUMN_BLOCK).map(|block| block.iter().map(room_of).sum());
        let room = blocks.max().unwrap_or(0) + 1 + MAX_SCALAR;
        Self {
            columns,
            room,
            tags,
            separate_string_tag,
            style,
            #[cfg(target_arch = "x86_64")]
            avx2: Avx2::available(),
        }
    }

    /// Does without instructions that not every processor has; returns true if they would have been
    /// used.
    pub fn use_baseline(&mut self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return core::mem::take(&mut self.avx2);
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// How many columns there are.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns.len()
    }
}
