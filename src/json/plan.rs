//! What is known of a log's records before the first one comes.

use super::text::push_escaped_name;
use super::time::TimeFormat;
use crate::host::{Field, Layout, Tags};

/// Names are copied in blocks of this size.
pub(super) const NAME_BLOCK: usize = 32;

/// How records are written; the defaults are the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// How times are written.
    pub time: TimeFormat,
    /// Whether unset columns are written as null instead of being left out.
    pub include_unset: bool,
}

/// A column's name, ready to be copied.
#[derive(Debug)]
pub(super) struct Column {
    /// `,"name":` followed by zeros up to a multiple of [`NAME_BLOCK`].
    pub name: Box<[[u8; NAME_BLOCK]]>,
    /// Length without the zeros.
    pub len: usize,
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
                let len = name.len();
                name.resize(len.next_multiple_of(NAME_BLOCK), 0);
                let (blocks, _) = name.as_chunks::<NAME_BLOCK>();
                Column { name: blocks.into(), len }
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
