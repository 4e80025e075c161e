//! What is known of a log's records before the first one comes.

use super::record::MAX_SCALAR;
use super::text::{EscapePolicy, push_escaped_name};
use super::time::TimeFormat;
use crate::host::{Field, Layout, Tags};

/// Names up to this length are copied as a whole, in a few moves.
pub(super) const NAME_BLOCK: usize = 32;

/// How records are written; the defaults are the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// How times are written.
    pub time: TimeFormat,
    /// Whether unset columns are written as null instead of being left out.
    pub include_unset: bool,
    /// How strings are written that are not accepted as they are.
    pub escape: EscapePolicy,
}

/// A column's name, ready to be copied: `,"name":`.
#[derive(Debug)]
pub(super) struct Column {
    /// Its first bytes, followed by zeros if it is shorter.
    pub start: [u8; NAME_BLOCK],
    /// How many of them count.
    pub start_len: usize,
    /// Room to be reserved for the name and a value that is neither text nor a list.
    pub room: usize,
    /// The rest of a longer one.
    pub rest: Box<[u8]>,
}

/// The columns' names, the host's tags and the style, made once per writer.
#[derive(Debug)]
pub struct FieldPlan {
    pub(super) columns: Box<[Column]>,
    pub(super) tags: Tags,
    /// The host's tag of strings, if they are written by a rule of their own; then it is
    /// none of `tags`.
    pub(super) apart: Option<u32>,
    pub(super) style: Style,
}

impl FieldPlan {
    /// Plans for records with these columns.
    #[must_use]
    pub fn new(fields: &[Field], layout: &Layout, style: Style) -> Self {
        let columns = fields
            .iter()
            .map(|field| {
                let mut name = vec![b',', b'"'];
                push_escaped_name(&mut name, &field.name);
                name.extend_from_slice(b"\":");
                let rest = name.split_off(name.len().min(NAME_BLOCK)).into_boxed_slice();
                let mut start = [0; NAME_BLOCK];
                start[..name.len()].copy_from_slice(&name);
                Column { start, start_len: name.len(), room: NAME_BLOCK + rest.len() + MAX_SCALAR, rest }
            })
            .collect();
        let tags = Tags::new(layout);
        // What the other rules are for; other text stays as it is.
        let (tags, apart) = match style.escape {
            EscapePolicy::Hex => (tags, None),
            EscapePolicy::Pua | EscapePolicy::Tsv => (tags.without(layout.tag_string), Some(layout.tag_string)),
        };
        Self { columns, tags, apart, style }
    }

    /// How many columns there are.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns.len()
    }
}
