//! What is known of a log's records before the first one comes.

use super::record::MAX_SCALAR;
use super::text::push_escaped_name;
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
        Self { columns, tags: Tags::new(layout), style }
    }

    /// How many columns there are.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns.len()
    }
}
