//! Encoding a record: one pass over its values.

use super::address::{push_address, push_subnet};
use super::number::{push_double, push_i64, push_u64};
use super::out::{Cursor, Full, Out};
use super::plan::{COLUMN_BLOCK, Column, FieldPlan};
#[cfg(target_arch = "x86_64")]
use super::scan::Avx2;
use super::scan::{Baseline, Instructions, SHORT_ROOM};
use super::text::{Escapes, push_text, push_text_by};
use super::time::push_time;
use crate::host::{Data, Kind, KindsOf, List, Malformed, Record, Shape, Text, Value};

/// How deep sets and vectors may be nested. Zeek itself logs one level; the limit keeps damaged
/// memory from exhausting the thread's stack.
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
    // Not inlined: what makes an error would be kept in registers that each value needs.
    #[cold]
    #[inline(never)]
    fn from(Malformed(what): Malformed) -> Self {
        Self::Malformed(what)
    }
}

/// Writes a record as one JSON object and returns how many of its values were of a type
/// without JSON form (written as null).
///
/// # Safety
///
/// `record` has as many values as `plan` has columns.
///
/// # Errors
///
/// See [`EncodeError`]; what has been written is of no use then.
#[inline]
pub unsafe fn encode<S: Shape>(plan: &FieldPlan, record: Record<'_, S>, out: &mut Out<'_>) -> Result<u64, EncodeError> {
    // SAFETY: the caller promises a value for each column. The plan has `avx2` only if the processor was
    // seen to have its instructions.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if plan.avx2 {
            return encode_avx2(plan, record, out);
        }
        encode_baseline(plan, record, out)
    }
}

/// Instructions together with what is compiled for them and not inlined.
trait Encoder: Escapes + Sized {
    /// Writes a set or a vector: [`push_list`].
    ///
    /// # Safety
    ///
    /// The processor has the instructions. Room for [`MAX_SCALAR`](super::plan::MAX_SCALAR) bytes is
    /// reserved, and `out` holds back `plan.room` bytes.
    unsafe fn list<S: Shape>(
        plan: &FieldPlan,
        list: List<'_, S>,
        out: &mut Out<'_>,
        depth: usize,
        unknown: &mut u64,
    ) -> Result<(), EncodeError>;
}

impl Encoder for Baseline {
    #[inline(never)]
    unsafe fn list<S: Shape>(
        plan: &FieldPlan,
        list: List<'_, S>,
        out: &mut Out<'_>,
        depth: usize,
        unknown: &mut u64,
    ) -> Result<(), EncodeError> {
        // SAFETY: the caller promises the room; every processor has these instructions.
        unsafe { push_list::<S, Self>(plan, list, out, depth, unknown) }
    }
}

/// # Safety
///
/// `record` has as many values as `plan` has columns.
#[inline(never)]
unsafe fn encode_baseline<S: Shape>(
    plan: &FieldPlan,
    record: Record<'_, S>,
    out: &mut Out<'_>,
) -> Result<u64, EncodeError> {
    // SAFETY: the caller promises a value for each column; every processor has these instructions.
    unsafe { push_record::<S, Baseline>(plan, record, out) }
}

#[cfg(target_arch = "x86_64")]
impl Encoder for Avx2 {
    #[inline(always)]
    unsafe fn list<S: Shape>(
        plan: &FieldPlan,
        list: List<'_, S>,
        out: &mut Out<'_>,
        depth: usize,
        unknown: &mut u64,
    ) -> Result<(), EncodeError> {
        // SAFETY: the caller promises AVX2 and the room.
        unsafe { list_avx2(plan, list, out, depth, unknown) }
    }
}

/// # Safety
///
/// The processor has AVX2 and what comes with it (`Avx2::available`). Room for
/// [`MAX_SCALAR`](super::plan::MAX_SCALAR) bytes is reserved, and `out` holds back `plan.room` bytes.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
#[inline(never)]
unsafe fn list_avx2<S: Shape>(
    plan: &FieldPlan,
    list: List<'_, S>,
    out: &mut Out<'_>,
    depth: usize,
    unknown: &mut u64,
) -> Result<(), EncodeError> {
    // SAFETY: the caller promises AVX2 and the room.
    unsafe { push_list::<S, Avx2>(plan, list, out, depth, unknown) }
}

/// # Safety
///
/// `record` has as many values as `plan` has columns, and the processor has AVX2 and what comes with it
/// (`Avx2::available`).
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
#[inline(never)]
unsafe fn encode_avx2<S: Shape>(
    plan: &FieldPlan,
    record: Record<'_, S>,
    out: &mut Out<'_>,
) -> Result<u64, EncodeError> {
    // SAFETY: the caller promises a value for each column, and the instructions.
    unsafe { push_record::<S, Avx2>(plan, record, out) }
}

/// Writes a record, in the instructions of the function that this is inlined into.
///
/// # Safety
///
/// `record` has as many values as `plan` has columns, and the processor has the instructions.
#[inline(always)]
unsafe fn push_record<S: Shape, I: Encoder>(
    plan: &FieldPlan,
    mut record: Record<'_, S>,
    out: &mut Out<'_>,
) -> Result<u64, EncodeError> {
    debug_assert!(out.is_empty());
    let mut unknown = 0;
    // A cursor of its own, whose address nothing else knows. A closure would be compiled for the
    // baseline's instructions.
    let mut copy = out.copy();
    // SAFETY: the caller promises a value for each column, and the instructions.
    unsafe { push_columns::<S, I>(plan, &mut record, &mut copy, &mut unknown) }?;
    // Only after success: so the place where an error stopped the writing need not be kept.
    **out = *copy;
    Ok(unknown)
}

/// # Safety
///
/// `record` has as many values left as `plan` has columns, and the processor has the instructions.
#[inline(always)]
unsafe fn push_columns<S: Shape, I: Encoder>(
    plan: &FieldPlan,
    record: &mut Record<'_, S>,
    out: &mut Out<'_>,
    unknown: &mut u64,
) -> Result<(), EncodeError> {
    out.hold_back(plan.room)?;
    for block in plan.columns.chunks(COLUMN_BLOCK) {
        // All of the room held back is free: the block's columns need not check. Longer text and lists
        // reserve more beside it.
        out.reserve(0)?;
        for column in block {
            // SAFETY: the caller promises a value for each column, and the instructions. The room held
            // back is enough for the names and scalars of a block.
            unsafe {
                let value = record.take()?;
                if value.present() {
                    out.push_padded(&column.start, usize::from(column.start_len));
                    push_value::<S, I>(plan, Some(column), value, out, 0, unknown)?;
                } else if plan.style.include_unset {
                    out.push_padded(&column.start, usize::from(column.start_len));
                    out.push_slice(&column.rest);
                    out.push_slice(b"null");
                }
            }
        }
    }
    // SAFETY: a byte for the brace, and room for an element, were held back beside the columns'.
    unsafe {
        if out.is_empty() {
            out.push(b'{');
        } else {
            // Every name begins with a comma; the first one's becomes the object's start.
            out.set_first(b'{');
        }
        out.push(b'}');
    }
    Ok(())
}

/// Writes a value that is set: an element of a list, or a column's, behind the start of its
/// name.
///
/// # Safety
///
/// The processor has the instructions. Room for the rest of the name and
/// [`MAX_SCALAR`](super::plan::MAX_SCALAR) bytes is reserved; for lists, `out` also holds back
/// `plan.room` bytes.
#[inline(always)]
unsafe fn push_value<S: Shape, I: Encoder>(
    plan: &FieldPlan,
    column: Option<&Column>,
    value: Value<'_, S>,
    out: &mut Out<'_>,
    depth: usize,
    unknown: &mut u64,
) -> Result<(), EncodeError> {
    let kinds = column.map_or(KindsOf::VALUES, |column| column.kinds);
    // SAFETY: the caller promises the instructions and `MAX_SCALAR` bytes. Longer text and lists check
    // for more; no other value writes more.
    unsafe {
        match value.data(&plan.tags, kinds)? {
            Data::Text(text) => {
                if !push_plain::<I>(out, text) {
                    **out = any_text::<I>(**out, out.left(), text)?;
                }
            }
            Data::Count(number) => push_u64(out, number),
            Data::Time(seconds) => push_time(out, seconds, plan.style.time),
            Data::Double(number) => push_double(out, number),
            Data::Addr(address) => {
                out.push(b'"');
                push_address(out, address);
                out.push(b'"');
            }
            Data::Bool(yes) => out.push_padded(if yes { b"true    " } else { b"false   " }, 5 - usize::from(yes)),
            Data::Int(number) => push_i64(out, number),
            Data::Subnet => **out = subnet(**out, value),
            Data::List(list) if list.is_empty() => out.push_padded(b"[]", 2),
            Data::List(list) => out.with_copy(|out| I::list(plan, list, out, depth, unknown))?,
            Data::Unknown => out.with_copy(|out| push_other(plan, value, out, unknown))?,
            Data::Deferred => {
                if let Some(column) = column {
                    out.with_copy(|out| push_deferred(plan, column, value, out, unknown))?;
                }
            }
        }
    }
    Ok(())
}

/// Writes a value whose tag is unknown to the plan: a string that is treated apart, or null.
///
/// # Safety
///
/// Room for [`MAX_SCALAR`](super::plan::MAX_SCALAR) bytes is reserved.
#[cold]
#[inline(never)]
unsafe fn push_other<S: Shape>(
    plan: &FieldPlan,
    value: Value<'_, S>,
    out: &mut Out<'_>,
    unknown: &mut u64,
) -> Result<(), EncodeError> {
    // SAFETY: the caller has reserved the four bytes of null; `push_text_by` reserves by itself. The tag
    // `separate_string_tag` is that of strings, so the value holds text.
    unsafe {
        if plan.separate_string_tag == Some(value.tag()) {
            push_text_by(plan.style.escape, out, value.text().bytes()?)?;
        } else {
            *unknown += 1;
            out.push_slice(b"null");
        }
    }
    Ok(())
}

/// Writes a value and what is left of its column's name.
///
/// # Safety
///
/// Room for the rest of the name and [`MAX_SCALAR`](super::plan::MAX_SCALAR) bytes is reserved; for
/// lists, `out` also holds back `plan.room` bytes.
#[inline(never)]
unsafe fn push_deferred<S: Shape>(
    plan: &FieldPlan,
    column: &Column,
    value: Value<'_, S>,
    out: &mut Out<'_>,
    unknown: &mut u64,
) -> Result<(), EncodeError> {
    // SAFETY: the caller has reserved room for the rest of the name and a scalar; every processor has
    // these instructions.
    unsafe {
        out.push_slice(&column.rest);
        push_value::<S, Baseline>(plan, None, value, out, 0, unknown)
    }
}

/// Writes a text and returns true, if all of it is plain and there is room. Otherwise, and also for
/// texts that lie at an unlucky place in memory, writes nothing and returns false.
///
/// # Safety
///
/// The processor has the instructions; room for [`MAX_SCALAR`](super::plan::MAX_SCALAR) bytes is reserved.
#[inline(always)]
unsafe fn push_plain<I: Instructions>(out: &mut Out<'_>, text: Text<'_>) -> bool {
    // SAFETY: the caller promises the instructions and `MAX_SCALAR` bytes, of which `push_short` takes
    // `SHORT_ROOM`; `left` is what is reserved in all, and a host's text can be read for its length.
    unsafe {
        if I::push_short(out, text.raw()) {
            return true;
        }
        match I::long(**out, out.left(), text.raw()) {
            Some(end) => **out = end,
            None => return false,
        }
    }
    true
}

/// Writes any text, if there is room.
///
/// # Safety
///
/// The processor has the instructions, and `room` bytes are reserved.
#[inline(never)]
unsafe fn any_text<I: Escapes>(out: Cursor, room: isize, text: Text<'_>) -> Result<Cursor, EncodeError> {
    let text = text.bytes()?;
    // SAFETY: the caller promises the instructions, and that `room` bytes are reserved.
    Ok(unsafe { push_text::<I>(out, room, text) }?)
}

/// Writes a subnet.
///
/// # Safety
///
/// The value is a subnet, and room for [`MAX_SCALAR`](super::plan::MAX_SCALAR) bytes is reserved.
#[inline(never)]
unsafe fn subnet<S: Shape>(mut out: Cursor, value: Value<'_, S>) -> Cursor {
    // SAFETY: the caller promises a subnet, and `MAX_SCALAR` bytes: a prefix with its length, and two
    // quotes.
    unsafe {
        let (prefix, length) = value.subnet();
        out.push(b'"');
        push_subnet(&mut out, prefix, length);
        out.push(b'"');
    }
    out
}

/// Writes a set or a vector, in the instructions of the function that this is inlined into.
///
/// # Safety
///
/// The processor has the instructions. Room for [`MAX_SCALAR`](super::plan::MAX_SCALAR) bytes is
/// reserved, and `out` holds back `plan.room` bytes.
#[inline(always)]
unsafe fn push_list<S: Shape, I: Encoder>(
    plan: &FieldPlan,
    list: List<'_, S>,
    out: &mut Out<'_>,
    depth: usize,
    unknown: &mut u64,
) -> Result<(), EncodeError> {
    if depth == MAX_DEPTH {
        return Err(EncodeError::TooDeep);
    }
    let mut copy = out.copy();
    // SAFETY: the caller promises the instructions, and room for a scalar.
    unsafe { push_elements::<S, I>(plan, list, &mut copy, depth, unknown) }?;
    **out = *copy;
    Ok(())
}

/// # Safety
///
/// The processor has the instructions. Room for [`MAX_SCALAR`](super::plan::MAX_SCALAR) bytes is
/// reserved, and `out` holds back `plan.room` bytes.
#[inline(always)]
unsafe fn push_elements<S: Shape, I: Encoder>(
    plan: &FieldPlan,
    mut list: List<'_, S>,
    out: &mut Out<'_>,
    depth: usize,
    unknown: &mut u64,
) -> Result<(), EncodeError> {
    // SAFETY: the caller has room for a scalar, which is more than the bracket. In the loop and behind it
    // all that is held back is free again: a scalar with a bracket or a comma takes less than that.
    // A byte has been written when one is taken back.
    unsafe {
        out.push(b'[');
        let start = out.len();
        while let Some(value) = list.next() {
            out.reserve(0)?;
            let value = value?;
            let len = out.len();
            if value.present() {
                push_value::<S, I>(plan, None, value, out, depth + 1, unknown)?;
            } else {
                out.push_slice(b"null");
            }
            out.push(b',');
            if !list.is_empty() {
                push_alike::<S, I>(plan, value, &mut list, out, out.len() - len);
            }
        }
        out.reserve(0)?;
        if out.len() > start {
            // The last comma.
            out.rewind(1);
        }
        out.push(b']');
    }
    Ok(())
}

/// Writes those elements of a list behind `value` that need no more than a look, each with a comma;
/// there may be none. `len` bytes have been written for `value`, its comma included.
///
/// # Safety
///
/// The processor has the instructions, and [`REPEATED`] bytes of what is held back are free.
#[inline(always)]
unsafe fn push_alike<S: Shape, I: Encoder>(
    plan: &FieldPlan,
    value: Value<'_, S>,
    list: &mut List<'_, S>,
    out: &mut Out<'_>,
    len: usize,
) {
    let tag = value.tag();
    // As many elements as there is room for, whatever they are.
    let mut next_ones = list.up_to(out.left().max(0) as usize / ALIKE_ROOM);
    // SAFETY: the caller promises the instructions. The tag says what values hold. There is room for as
    // many elements as are in `next_ones`. `last_block` reads `len` bytes that have been written, and
    // what the caller promises to be free.
    unsafe {
        match plan.tags.kind(tag, KindsOf::VALUES) {
            Kind::Text => {
                while let Some(next) = next_ones.peek(tag) {
                    if !I::push_short(out, next.text().raw()) {
                        break;
                    }
                    out.push(b',');
                    next_ones.skip_one();
                }
            }
            // Numbers come again, as all records of a DNS answer have the same TTL.
            Kind::Double if value.present() && len <= REPEATED => {
                let (bits, text) = (value.double().to_bits(), out.last_block::<REPEATED>(len));
                while let Some(next) = next_ones.peek(tag) {
                    if next.double().to_bits() != bits {
                        break;
                    }
                    out.push_block(&text, len);
                    next_ones.skip_one();
                }
            }
            _ => {}
        }
    }
    list.skip_to(&next_ones);
}

/// Room that an element takes at most in [`push_alike`], with a comma; a power of two.
const ALIKE_ROOM: usize = (SHORT_ROOM + 1).next_power_of_two();

/// The longest number, with a comma, that [`push_alike`] repeats.
const REPEATED: usize = 32;
