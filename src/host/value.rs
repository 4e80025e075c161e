//! Reading `threading::Value` and `threading::Field` in the host's own memory.

use core::ffi::{CStr, c_char};
use core::marker::PhantomData;
use core::mem::offset_of;

use super::layout::{FAMILIES, Kind, Layout, Type, repr};

#[cfg(not(all(target_endian = "little", target_pointer_width = "64")))]
compile_error!("the host layouts are those of 64-bit little-endian machines");

/// The host's type tags, as a table from tag to [`Kind`].
#[derive(Clone, Debug)]
pub struct Tags {
    /// The kinds of 256 tags, and then 256 times [`Kind::Deferred`].
    kinds: [Kind; 512],
}

/// Which kinds [`Tags::kind`] returns: the values' own, or [`Kind::Deferred`] for all. A reader
/// that has something else to do before some values learns this together with the kind,
/// and needs no branch of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindsOf(u16);

impl KindsOf {
    /// The values' kinds.
    pub const VALUES: Self = Self(0);
    /// [`Kind::Deferred`] for all.
    pub const NONE: Self = Self(256);
}

impl Tags {
    /// The tags of `layout`; any other number is [`Kind::Unknown`].
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        let mut kinds = [Kind::Deferred; 512];
        kinds[..256].fill(Kind::Unknown);
        for kind in Type::ALL {
            if let Some(slot) = kind.tag(layout).and_then(|tag| kinds[..256].get_mut(tag as usize)) {
                *slot = kind.kind();
            }
        }
        Self { kinds }
    }

    /// Makes a tag unknown, so that its values can be treated apart.
    #[must_use]
    pub fn without(mut self, tag: u32) -> Self {
        if let Some(slot) = self.kinds[..256].get_mut(tag as usize) {
            *slot = Kind::Unknown;
        }
        self
    }

    /// The kind of a host's tag.
    #[inline(always)]
    #[must_use]
    pub fn kind(&self, tag: u32, of: KindsOf) -> Kind {
        if tag > 255 {
            return if of == KindsOf::NONE { Kind::Deferred } else { Kind::Unknown };
        }
        // SAFETY: below 512, as there are no other `KindsOf` than the two.
        unsafe { *self.kinds.get_unchecked(tag as usize | usize::from(of.0)) }
    }
}

/// Where the members of a `Value` are that differ between hosts.
///
/// # Safety
///
/// The offsets must be those of the host's type; [`AnyShape::new`] takes them from a
/// checked [`Layout`].
pub unsafe trait Shape: Copy {
    /// Size of the tag: 1 or 4.
    fn tag_size(self) -> usize;
    /// Offset of `type`.
    fn tag(self) -> usize;
    /// Offset of `present`.
    fn present(self) -> usize;
    /// Offset of `val`.
    fn val(self) -> usize;
}

/// A shape known when this crate was compiled: `type` at 0, the rest as given.
#[derive(Clone, Copy, Debug)]
pub struct Fixed<const TAG_SIZE: usize, const PRESENT: usize, const VAL: usize>;

// SAFETY: `AnyShape::new` picks the type whose parameters equal the checked layout's.
unsafe impl<const TAG_SIZE: usize, const PRESENT: usize, const VAL: usize> Shape for Fixed<TAG_SIZE, PRESENT, VAL> {
    #[inline]
    fn tag_size(self) -> usize {
        TAG_SIZE
    }
    #[inline]
    fn tag(self) -> usize {
        0
    }
    #[inline]
    fn present(self) -> usize {
        PRESENT
    }
    #[inline]
    fn val(self) -> usize {
        VAL
    }
}

/// A shape that only the layout table knows, for hosts newer than this crate.
#[derive(Clone, Copy, Debug)]
pub struct Dynamic {
    tag_size: u32,
    tag: u32,
    present: u32,
    val: u32,
}

// SAFETY: made from a checked layout only.
unsafe impl Shape for Dynamic {
    #[inline]
    fn tag_size(self) -> usize {
        self.tag_size as usize
    }
    #[inline]
    fn tag(self) -> usize {
        self.tag as usize
    }
    #[inline]
    fn present(self) -> usize {
        self.present as usize
    }
    #[inline]
    fn val(self) -> usize {
        self.val as usize
    }
}

/// Declares [`AnyShape`] of the types of the hosts' enums and of their `Value`s.
macro_rules! shapes {
    ($($(#[$doc:meta])* $shape:ident = $tag:ty, $value:ident;)*) => {
        /// The shape that fits a layout. Each is compiled on its own, so that a released host's
        /// offsets are constants on the record path.
        #[derive(Clone, Copy, Debug)]
        pub enum AnyShape {
            $($(#[$doc])* $shape(Fixed<{ size_of::<$tag>() }, { offset_of!(repr::$value, present) }, { offset_of!(repr::$value, val) }>),)*
            /// Any other shape.
            Other(Dynamic),
        }

        impl AnyShape {
            /// The shape of `layout`, or what is wrong with it: the member's name and its value.
            ///
            /// # Errors
            ///
            /// The first member that contradicts the others, or that no known host has.
            pub fn new(layout: &Layout) -> Result<Self, (&'static str, u32)> {
                check(layout)?;
                let Layout { tag_size, value_type: tag, value_present: present, value_val: val, .. } = *layout;
                let found = [tag_size, tag, present, val].map(|number| number as usize);
                $(if found == [size_of::<$tag>(), 0, offset_of!(repr::$value, present), offset_of!(repr::$value, val)] {
                    return Ok(Self::$shape(Fixed));
                })*
                Ok(Self::Other(Dynamic { tag_size, tag, present, val }))
            }
        }
    };
}

shapes! {
    /// Bro 2.5.
    Bro25 = u32, ValueBro25;
    /// Bro 2.6 to Zeek 7.1.
    Bro26 = u32, ValueBro26;
    /// Zeek 7.2.
    Zeek72 = u32, ValueZeek72;
    /// Zeek 8.0.
    Zeek80 = u8, ValueZeek80;
    /// Zeek 8.1 to 9.0.
    Zeek81 = u8, ValueZeek81;
}

/// Does something with a shape, compiled for each shape on its own: `dispatch!(any, shape => …)`.
#[macro_export]
macro_rules! dispatch {
    ($any:expr, $shape:ident => $do:expr) => {
        match $any {
            $crate::host::AnyShape::Bro25($shape) => $do,
            $crate::host::AnyShape::Bro26($shape) => $do,
            $crate::host::AnyShape::Zeek72($shape) => $do,
            $crate::host::AnyShape::Zeek80($shape) => $do,
            $crate::host::AnyShape::Zeek81($shape) => $do,
            $crate::host::AnyShape::Other($shape) => $do,
        }
    };
}

/// Refuses layouts that this module could not read values with.
fn check(layout: &Layout) -> Result<(), (&'static str, u32)> {
    // The members of the union are the same in every host, but for the size of an enum
    // (which padding hides): they are constants here, so the table must agree.
    let known = &FAMILIES[0].layout;
    for ((name, value), (_, expected)) in layout.members().into_iter().zip(known.members()) {
        if (name.starts_with("val_") || name.starts_with("ip_family_v")) && value != expected {
            return Err((name, value));
        }
    }
    let Layout { tag_size, ip_family_size, value_size, field_size, .. } = *layout;
    for (name, size) in [("tag_size", tag_size), ("ip_family_size", ip_family_size)] {
        if size != 1 && size != 4 {
            return Err((name, size));
        }
    }
    const LARGEST: u32 = 4096;
    for (name, size) in [("value_size", value_size), ("field_size", field_size)] {
        if size > LARGEST {
            return Err((name, size));
        }
    }
    for (name, offset, size, whole) in [
        ("value_type", layout.value_type, tag_size, value_size),
        ("value_present", layout.value_present, 1, value_size),
        ("value_val", layout.value_val, VAL_SIZE, value_size),
        ("field_name", layout.field_name, 8, field_size),
        ("field_type", layout.field_type, tag_size, field_size),
    ] {
        if offset.checked_add(size).is_none_or(|end| end > whole) {
            return Err((name, offset));
        }
    }
    let overlap = |a: u32, a_size: u32, b: u32, b_size: u32| a < b + b_size && b < a + a_size;
    let Layout { value_type, value_present, value_val, .. } = *layout;
    if overlap(value_type, tag_size, value_present, 1) || overlap(value_present, 1, value_val, VAL_SIZE) {
        return Err(("value_present", value_present));
    }
    if overlap(value_type, tag_size, value_val, VAL_SIZE) {
        return Err(("value_val", value_val));
    }
    // Two kinds under one number would make one of them be read as the other.
    for (index, kind) in Type::ALL.iter().enumerate() {
        let Some(tag) = kind.tag(layout) else { continue };
        if tag > 255 || Type::ALL[..index].iter().any(|other| other.tag(layout) == Some(tag)) {
            return Err((kind.member(), tag));
        }
    }
    Ok(())
}

/// Size of the union.
const VAL_SIZE: u32 = size_of::<repr::Val<u32>>() as u32;

/// Memory that does not hold what a host would have put there; the text says what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// An IPv4 or IPv6 address, in network order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// IPv4.
    V4([u8; 4]),
    /// IPv6.
    V6([u8; 16]),
}

/// One record: the array of value pointers that `DoWrite` gets, or what is left of it.
#[derive(Clone, Copy)]
pub struct Record<'a, S> {
    values: *const *const u8,
    shape: S,
    lifetime: PhantomData<&'a u8>,
}

impl<'a, S: Shape> Record<'a, S> {
    /// Wraps the host's array.
    ///
    /// # Safety
    ///
    /// For `'a`, `values` points to as many pointers as [`Record::take`] is called for, each
    /// null or pointing to a `threading::Value` of this shape that the host filled in:
    /// what its tag says is what its union holds, and pointers in it are null or valid.
    #[must_use]
    pub unsafe fn new(values: *const *const u8, shape: S) -> Self {
        Self { values, shape, lifetime: PhantomData }
    }

    /// The value of the next column.
    ///
    /// # Safety
    ///
    /// Fewer values have been taken than [`Record::new`] was promised.
    ///
    /// # Errors
    ///
    /// The pointer is null.
    #[inline]
    pub unsafe fn take(&mut self) -> Result<Value<'a, S>, Malformed> {
        let slot = self.values;
        // SAFETY: the caller has values left, so `slot` is one of those that `new` was promised.
        unsafe {
            self.values = slot.add(1);
            Value::at(slot, self.shape)
        }
    }
}

/// One value.
#[derive(Clone, Copy)]
pub struct Value<'a, S> {
    value: *const u8,
    shape: S,
    lifetime: PhantomData<&'a u8>,
}

/// What a value holds.
pub enum Data<'a, S> {
    /// BOOL.
    Bool(bool),
    /// INT.
    Int(i64),
    /// COUNT, COUNTER and PORT.
    Count(u64),
    /// DOUBLE, and INTERVAL in seconds.
    Double(f64),
    /// TIME, in seconds since the epoch.
    Time(f64),
    /// ADDR.
    Addr(Address),
    /// SUBNET, which [`Value::subnet`] reads: an address here, which is seldom needed, would take
    /// registers all the time.
    Subnet,
    /// STRING, ENUM, FILE and FUNC.
    Text(Text<'a>),
    /// Sets and vectors.
    List(List<'a, S>),
    /// A value that was not looked at, because of [`KindsOf::NONE`].
    Deferred,
    /// A type without JSON form.
    Unknown,
}

impl<'a, S: Shape> Value<'a, S> {
    /// # Safety
    ///
    /// `slot` is valid for reading a pointer that is as [`Record::new`] demands.
    #[inline]
    unsafe fn at(slot: *const *const u8, shape: S) -> Result<Self, Malformed> {
        // SAFETY: the caller promises a pointer there that can be read.
        let value = unsafe { slot.read_unaligned() };
        if value.is_null() {
            return Err(Malformed("a value's pointer is null"));
        }
        Ok(Self { value, shape, lifetime: PhantomData })
    }

    /// Reads a `T` at an offset.
    ///
    /// # Safety
    ///
    /// The host has a `T` there, of which every bit pattern is valid.
    #[inline]
    unsafe fn read<T: Copy>(&self, offset: usize) -> T {
        // SAFETY: the offset lies within the host's value (`check`), alignment is not assumed.
        unsafe { self.value.add(offset).cast::<T>().read_unaligned() }
    }

    /// Returns true if the field is set.
    #[inline]
    #[must_use]
    pub fn present(&self) -> bool {
        // SAFETY: a C++ bool, read as a byte.
        unsafe { self.read::<u8>(self.shape.present()) != 0 }
    }

    /// The host's tag of this value.
    #[inline]
    #[must_use]
    pub fn tag(&self) -> u32 {
        // SAFETY: an enum of this size (`Shape`).
        unsafe {
            if self.shape.tag_size() == 1 {
                u32::from(self.read::<u8>(self.shape.tag()))
            } else {
                self.read::<u32>(self.shape.tag())
            }
        }
    }

    /// What the value holds, as its own tag says.
    ///
    /// # Errors
    ///
    /// A negative size or a null pointer where there must be elements.
    #[inline(always)]
    pub fn data(&self, tags: &Tags, of: KindsOf) -> Result<Data<'a, S>, Malformed> {
        let val = self.shape.val();
        // SAFETY: in each arm the tag says which member of the union the host has set, and
        // `check` has made sure that the members are where they are read here.
        unsafe {
            Ok(match tags.kind(self.tag(), of) {
                Kind::Bool => Data::Bool(self.read::<i64>(val) != 0),
                Kind::Int => Data::Int(self.read(val)),
                Kind::Count | Kind::Port => Data::Count(self.read(val)),
                Kind::Double => Data::Double(self.double()),
                Kind::Time => Data::Time(self.double()),
                Kind::Addr => Data::Addr(self.address()),
                Kind::Subnet => Data::Subnet,
                Kind::Text => Data::Text(self.text()),
                Kind::List => {
                    let size = self.read::<i64>(val);
                    let values = self.read::<*const *const u8>(val + offset_of!(repr::Set, vals));
                    let size = usize::try_from(size).map_err(|_| Malformed("a container's size is negative"))?;
                    if values.is_null() && size > 0 {
                        return Err(Malformed("a container's elements are null"));
                    }
                    Data::List(List { next: values, left: size, shape: self.shape, lifetime: PhantomData })
                }
                Kind::Unknown => Data::Unknown,
                Kind::Deferred => Data::Deferred,
            })
        }
    }

    /// The text: where its bytes are and how many, as the host says.
    ///
    /// # Safety
    ///
    /// The value's tag is one of text.
    #[inline(always)]
    pub unsafe fn text(&self) -> Text<'a> {
        let val = self.shape.val();
        // SAFETY: `string_val`.
        unsafe {
            Text {
                data: self.read(val),
                length: self.read(val + offset_of!(repr::Text, length)),
                lifetime: PhantomData,
            }
        }
    }

    /// Prefix and length, the latter counted on the 128-bit form.
    ///
    /// # Safety
    ///
    /// The value is a subnet.
    #[must_use]
    pub unsafe fn subnet(&self) -> (Address, u8) {
        // SAFETY: `subnet_val`.
        unsafe { (self.address(), self.read(self.shape.val() + offset_of!(repr::Subnet<u8>, length))) }
    }

    /// The number, as the host has it.
    ///
    /// # Safety
    ///
    /// The value's tag is one of doubles.
    #[inline(always)]
    pub unsafe fn double(&self) -> f64 {
        // SAFETY: `double_val`.
        unsafe { self.read(self.shape.val()) }
    }

    /// The address at the start of the union.
    ///
    /// # Safety
    ///
    /// The value is an address or a subnet.
    #[inline]
    unsafe fn address(&self) -> Address {
        let val = self.shape.val();
        let octets = val + offset_of!(repr::Addr<u8>, in_);
        // SAFETY: `addr_val`. The first byte decides, whatever the enum's size: machines are
        // little-endian here, and `check` made sure that IPv4 is 0.
        unsafe {
            if self.read::<u8>(val) == 0 { Address::V4(self.read(octets)) } else { Address::V6(self.read(octets)) }
        }
    }
}

/// Text: bytes of any kind.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    data: *const u8,
    length: i32,
    lifetime: PhantomData<&'a u8>,
}

impl<'a> Text<'a> {
    /// The text's bytes.
    ///
    /// # Errors
    ///
    /// Its length is negative, or its data null.
    pub fn bytes(self) -> Result<&'a [u8], Malformed> {
        if self.length == 0 {
            return Ok(&[]);
        }
        let length = usize::try_from(self.length).map_err(|_| Malformed("a string's length is negative"))?;
        if self.data.is_null() {
            return Err(Malformed("a string's data is null"));
        }
        // SAFETY: the host has as many bytes there as it says, which `Record::new` demands.
        Ok(unsafe { core::slice::from_raw_parts(self.data, length) })
    }

    /// Where the text's bytes are, and how many, as the host says.
    #[inline(always)]
    #[must_use]
    pub fn raw(self) -> (*const u8, i32) {
        (self.data, self.length)
    }
}

/// The elements of a set or a vector.
#[derive(Clone)]
pub struct List<'a, S> {
    next: *const *const u8,
    left: usize,
    shape: S,
    lifetime: PhantomData<&'a u8>,
}

impl<'a, S: Shape> List<'a, S> {
    /// Returns true if there are no more elements.
    #[inline(always)]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The next element if it is set and of this tag; [`List::skip_one`] goes on behind it.
    #[inline(always)]
    #[must_use]
    pub fn peek(&self, tag: u32) -> Option<Value<'a, S>> {
        // A copy of the list is advanced, so that `next` still has the element.
        let value = self.clone().next()?.ok()?;
        (value.present() && value.tag() == tag).then_some(value)
    }

    /// Leaves the next element out.
    #[inline(always)]
    pub fn skip_one(&mut self) {
        self.next();
    }

    /// No more than the first `most` of these elements.
    #[inline(always)]
    #[must_use]
    pub fn up_to(&self, most: usize) -> Self {
        Self { left: self.left.min(most), ..*self }
    }

    /// Leaves out the elements in front of `rest`, which is what is left of [`List::up_to`].
    #[inline(always)]
    pub fn skip_to(&mut self, rest: &Self) {
        self.left -= (rest.next as usize - self.next as usize) / size_of::<*const u8>();
        self.next = rest.next;
    }
}

impl<'a, S: Shape> Iterator for List<'a, S> {
    type Item = Result<Value<'a, S>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        // SAFETY: `left` more pointers follow, as the host said in `set_val.size`.
        unsafe {
            let value = Value::at(self.next, self.shape);
            self.next = self.next.add(1);
            self.left -= 1;
            Some(value)
        }
    }
}

/// A column of a log: what `DoInit` is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The column's name, such as `id.orig_h`.
    pub name: Vec<u8>,
}

impl Field {
    /// Copies what the host's `threading::Field* const*` array says.
    ///
    /// # Safety
    ///
    /// `fields` points to `count` pointers, each null or pointing to a `threading::Field`
    /// laid out as `layout` says, whose name is null or NUL-terminated.
    ///
    /// # Errors
    ///
    /// A field or its name is null.
    pub unsafe fn read_all(fields: *const *const u8, count: usize, layout: &Layout) -> Result<Vec<Self>, Malformed> {
        (0..count)
            .map(|index| {
                // SAFETY: `index` is below the `count` of pointers that the caller promises, each null or a field.
                let name = unsafe {
                    let field = fields.add(index).read_unaligned();
                    if field.is_null() {
                        return Err(Malformed("a field's pointer is null"));
                    }
                    let name = field.add(layout.field_name as usize).cast::<*const c_char>().read_unaligned();
                    if name.is_null() {
                        return Err(Malformed("a field's name is null"));
                    }
                    CStr::from_ptr(name)
                };
                Ok(Self { name: name.to_bytes().to_vec() })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::family_of_version;

    #[test]
    fn every_known_family_is_accepted() {
        for family in &FAMILIES {
            assert!(AnyShape::new(&family.layout).is_ok(), "{family:?}");
        }
    }

    #[test]
    fn released_hosts_have_fixed_shapes() {
        for family in &FAMILIES {
            assert!(!matches!(AnyShape::new(&family.layout), Ok(AnyShape::Other(_))), "{family:?}");
        }
    }

    #[test]
    fn a_contradiction_is_named() {
        let good = family_of_version(8, 0).unwrap().layout;
        for (bad, member) in [
            (Layout { tag_size: 3, ..good }, "tag_size"),
            (Layout { ip_family_size: 2, ..good }, "ip_family_size"),
            (Layout { value_present: 40, ..good }, "value_present"),
            (Layout { value_present: 8, ..good }, "value_present"),
            (Layout { value_val: 0, ..good }, "value_val"),
            (Layout { value_val: u32::MAX, ..good }, "value_val"),
            (Layout { val_subnet_length: 16, ..good }, "val_subnet_length"),
            (Layout { ip_family_v4: 1, ..good }, "ip_family_v4"),
            (Layout { tag_time: good.tag_string, ..good }, "tag_string"),
            (Layout { tag_bool: 256, ..good }, "tag_bool"),
            (Layout { field_name: 20, ..good }, "field_name"),
        ] {
            assert_eq!(AnyShape::new(&bad).map(|_| ()).unwrap_err().0, member);
        }
    }
}
