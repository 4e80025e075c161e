//! Encoding a record: one pass over its values.

use super::address::{MAX_ADDRESS, push_address, push_subnet};
use super::number::{MAX_NUMBER, push_double, push_i64, push_u64};
use super::out::{Full, Out};
use super::plan::{Column, FieldPlan, NAME_BLOCK};
use super::text::push_text;
use super::time::{MAX_TIME, push_time};
use crate::host::{Data, List, Malformed, Record, Shape, Value};

/// How deep sets and vectors may be nested. Zeek itself logs one level; a limit keeps
/// damaged memory from exhausting the thread's stack.
pub const MAX_DEPTH: usize = 64;

/// Why a record could not be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The memory was too small: try again with more.
    Full,
    /// The record's memory is not what a host leaves there.
    Malformed(&'static str),
    /// Sets and vectors are nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

impl From<Full> for EncodeError {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

impl From<Malformed> for EncodeError {
    fn from(Malformed(what): Malformed) -> Self {
        Self::Malformed(what)
    }
}

/// Bytes that a value other than text and lists takes at most, quotes included.
const MAX_SCALAR: usize = {
    let mut max = MAX_NUMBER;
    if MAX_TIME > max {
        max = MAX_TIME;
    }
    // A subnet: two quotes, the slash and a length of up to ten digits.
    if MAX_ADDRESS + 13 > max {
        max = MAX_ADDRESS + 13;
    }
    max
};

/// Writes a record as one JSON object and returns how many of its values were of a type
/// without JSON form (written as null).
///
/// # Safety
///
/// `record` has as many values as `plan` has columns.
///
/// # Errors
///
/// See [`EncodeError`]; what has been written is then of no use.
pub unsafe fn encode<S: Shape>(plan: &FieldPlan, record: Record<'_, S>, out: &mut Out<'_>) -> Result<u64, EncodeError> {
    debug_assert!(out.is_empty());
    let mut unknown = 0;
    for (index, column) in plan.columns.iter().enumerate() {
        // SAFETY: this function's contract.
        let value = unsafe { record.get(index)? };
        let present = value.present();
        if !present && !plan.style.include_unset {
            continue;
        }
        push_name(column, out)?;
        // SAFETY: `push_name` has reserved room for a scalar behind the name.
        unsafe { push_value(plan, value, present, out, 0, &mut unknown)? };
    }
    out.reserve(2)?;
    // SAFETY: room for two bytes was just reserved.
    unsafe {
        if out.is_empty() {
            out.push(b'{');
        } else {
            // Every name begins with a comma; the first one's becomes the object's start.
            out.set_first(b'{');
        }
        out.push(b'}');
    }
    Ok(unknown)
}

/// Writes a column's name and reserves room for a scalar behind it.
#[inline]
fn push_name(column: &Column, out: &mut Out<'_>) -> Result<(), Full> {
    out.reserve(column.name.len() * NAME_BLOCK + MAX_SCALAR)?;
    // SAFETY: room for all blocks was just reserved; the last one's part that is not
    // counted becomes part of the room for the scalar.
    unsafe {
        let mut left = column.len;
        for block in &column.name {
            let len = left.min(NAME_BLOCK);
            out.push_padded(block, len);
            left -= len;
        }
    }
    Ok(())
}

/// Writes a value.
///
/// # Safety
///
/// Room for [`MAX_SCALAR`] bytes is reserved.
#[inline]
unsafe fn push_value<S: Shape>(
    plan: &FieldPlan,
    value: Value<'_, S>,
    present: bool,
    out: &mut Out<'_>,
    depth: usize,
    unknown: &mut u64,
) -> Result<(), EncodeError> {
    // SAFETY: none of these writes more than `MAX_SCALAR` without reserving itself.
    unsafe {
        if !present {
            out.push_slice(b"null");
            return Ok(());
        }
        match value.data(&plan.tags)? {
            Data::Text(bytes) => push_text(out, bytes)?,
            Data::Count(number) => push_u64(out, number),
            Data::Time(seconds) => push_time(out, seconds, plan.style.time),
            Data::Double(number) => push_double(out, number),
            Data::Addr(address) => {
                out.push(b'"');
                push_address(out, address);
                out.push(b'"');
            }
            Data::Bool(true) => out.push_slice(b"true"),
            Data::Bool(false) => out.push_slice(b"false"),
            Data::Int(number) => push_i64(out, number),
            Data::Subnet(prefix, length) => {
                out.push(b'"');
                push_subnet(out, prefix, length);
                out.push(b'"');
            }
            Data::List(list) => push_list(plan, list, out, depth, unknown)?,
            Data::Unknown => {
                *unknown += 1;
                out.push_slice(b"null");
            }
        }
    }
    Ok(())
}

/// Writes a set or a vector.
fn push_list<S: Shape>(
    plan: &FieldPlan,
    list: List<'_, S>,
    out: &mut Out<'_>,
    depth: usize,
    unknown: &mut u64,
) -> Result<(), EncodeError> {
    if depth == MAX_DEPTH {
        return Err(EncodeError::TooDeep);
    }
    out.reserve(2)?;
    // SAFETY: room is reserved before each write.
    unsafe {
        out.push(b'[');
        for (index, value) in list.enumerate() {
            out.reserve(1 + MAX_SCALAR)?;
            if index > 0 {
                out.push(b',');
            }
            let value = value?;
            push_value(plan, value, value.present(), out, depth + 1, unknown)?;
        }
        out.reserve(1)?;
        out.push(b']');
    }
    Ok(())
}
