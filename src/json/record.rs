//! Encoding a record: one pass over its values.

use super::address::{MAX_ADDRESS, push_address, push_subnet};
use super::number::{MAX_NUMBER, push_double, push_i64, push_u64};
use super::out::{Full, Out};
use super::plan::{Column, FieldPlan};
use super::text::{push_text, push_text_by};
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
pub(super) const MAX_SCALAR: usize = {
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
    // A cursor of its own, which nothing else knows the address of.
    out.apart(|out| {
        for (index, column) in plan.columns.iter().enumerate() {
            // SAFETY: this function's contract.
            let value = unsafe { record.get(index)? };
            if value.present() {
                push_name(column, out)?;
                // SAFETY: `push_name` has reserved room for a scalar behind the name.
                unsafe { push_value(plan, value, out, 0, &mut unknown)? };
            } else if plan.style.include_unset {
                push_name(column, out)?;
                // SAFETY: as above.
                unsafe { out.push_slice(b"null") };
            }
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
    })
}

/// Writes a column's name and reserves room for a scalar behind it.
#[inline(always)]
fn push_name(column: &Column, out: &mut Out<'_>) -> Result<(), Full> {
    out.reserve(column.room)?;
    // SAFETY: just reserved; the part of the block that is not counted becomes part of the
    // room for the rest and the scalar.
    unsafe {
        out.push_padded(&column.start, column.start_len);
        if !column.rest.is_empty() {
            out.push_slice(&column.rest);
        }
    }
    Ok(())
}

/// Writes a value that is set.
///
/// # Safety
///
/// Room for [`MAX_SCALAR`] bytes is reserved.
#[inline(always)]
unsafe fn push_value<S: Shape>(
    plan: &FieldPlan,
    value: Value<'_, S>,
    out: &mut Out<'_>,
    depth: usize,
    unknown: &mut u64,
) -> Result<(), EncodeError> {
    // SAFETY: none of these writes more than `MAX_SCALAR` without reserving itself.
    unsafe {
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
            Data::Bool(yes) => {
                let (word, len) = if yes { (b"true ", 4) } else { (b"false", 5) };
                out.push_padded(word, len);
            }
            Data::Int(number) => push_i64(out, number),
            Data::Subnet(prefix, length) => out.apart(|out| {
                out.push(b'"');
                push_subnet(out, prefix, length);
                out.push(b'"');
            }),
            Data::List(list) => out.apart(|out| push_list(plan, list, out, depth, unknown))?,
            Data::Unknown => out.apart(|out| push_other(plan, value, out, unknown))?,
        }
    }
    Ok(())
}

/// Writes a value whose tag is unknown to the plan: a string that is treated apart, or null.
///
/// # Safety
///
/// Room for [`MAX_SCALAR`] bytes is reserved.
#[cold]
#[inline(never)]
unsafe fn push_other<S: Shape>(
    plan: &FieldPlan,
    value: Value<'_, S>,
    out: &mut Out<'_>,
    unknown: &mut u64,
) -> Result<(), EncodeError> {
    // SAFETY: this function's contract, and a string's tag is one of text.
    unsafe {
        if plan.apart == Some(value.tag()) {
            push_text_by(plan.style.escape, out, value.text()?)?;
        } else {
            *unknown += 1;
            out.push_slice(b"null");
        }
    }
    Ok(())
}

/// Writes a set or a vector.
#[inline(never)]
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
            if value.present() {
                push_value(plan, value, out, depth + 1, unknown)?;
            } else {
                out.push_slice(b"null");
            }
        }
        out.reserve(1)?;
        out.push(b']');
    }
    Ok(())
}
