//! How a host lays out its log records, as data.
//!
//! [`Layout`] mirrors `bzw_layout` of `include/bro_zeromq_writer.h`. The glue fills one
//! from the host's own headers; [`FAMILIES`] holds those of released hosts, computed
//! from hand-written `#[repr(C)]` types. `build.rs` includes this file too, so that it
//! must not use anything from the rest of the crate.

use core::mem::{offset_of, size_of};

/// An offset or a tag that a host does not have.
pub const ABSENT: u32 = u32::MAX;

/// What a value is, whatever number the host's `TypeTag` has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// No JSON form: PATTERN, what a later host adds, and tags that [`Tags::without`](super::Tags::without) has made
    /// unknown.
    Unknown,
    /// BOOL.
    Bool,
    /// INT.
    Int,
    /// COUNT, and COUNTER of older hosts.
    Count,
    /// PORT.
    Port,
    /// DOUBLE and INTERVAL.
    Double,
    /// TIME.
    Time,
    /// ADDR.
    Addr,
    /// SUBNET.
    Subnet,
    /// STRING, ENUM, FILE and FUNC.
    Text,
    /// TABLE (a set) and VECTOR.
    List,
    /// Any kind, not to be looked at yet: [`KindsOf::NONE`](super::KindsOf::NONE).
    Deferred,
}

/// Declares [`Layout`] with what its members stand for, and [`Type`] with the types' numbers.
macro_rules! layout {
    (
        members { $($member:ident: $what:literal,)* }
        types { $($type:ident = $tag:ident: $kind:ident, $bro:expr, $zeek41:expr, $zeek50:expr;)* }
    ) => {
        /// Offsets and sizes in bytes, enumerators as numbers; see `bzw_layout` in the C header.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Layout {
            $(#[doc = concat!("`", $what, "`.")] pub $member: u32,)*
            $(#[doc = concat!("[`Type::", stringify!($type), "`].")] pub $tag: u32,)*
        }

        impl Layout {
            /// Every member's name and value, in order.
            #[must_use]
            pub const fn members(&self) -> [(&'static str, u32); size_of::<Layout>() / 4] {
                [$((stringify!($member), self.$member),)* $((stringify!($tag), self.$tag),)*]
            }

            /// The layout of a host that has nothing.
            pub const NOTHING: Self = Self { $($member: ABSENT,)* $($tag: ABSENT,)* };

            /// What the members stand for, types' numbers left out, in the members' order and the host's words.
            pub const WHAT: &[&str] = &[$($what),*];
        }

        /// `TypeTag` of Bro 2.5 to Zeek 4.0 (`src/Type.h`).
        const TAGS_BRO: Layout = Layout { $($tag: $bro,)* ..Layout::NOTHING };
        /// `TypeTag` of Zeek 4.1 and 4.2: COUNTER is gone.
        const TAGS_ZEEK41: Layout = Layout { $($tag: $zeek41,)* ..Layout::NOTHING };
        /// `TypeTag` from Zeek 5.0 on: TIMER and UNION are gone too.
        const TAGS_ZEEK50: Layout = Layout { $($tag: $zeek50,)* ..Layout::NOTHING };

        /// The host's types, as far as logs have them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the host's words")]
        pub enum Type { $($type,)* }

        impl Type {
            /// All types, in the order of [`Layout`].
            pub const ALL: &[Self] = &[$(Self::$type),*];

            /// What the type's values are.
            #[must_use]
            pub const fn kind(self) -> Kind {
                match self { $(Self::$type => Kind::$kind,)* }
            }

            /// The host's number, or `None` where the host has none.
            #[must_use]
            pub const fn tag(self, layout: &Layout) -> Option<u32> {
                match self { $(Self::$type if layout.$tag != ABSENT => Some(layout.$tag),)* _ => None }
            }

            /// The member of [`Layout`] that has the type's number.
            #[must_use]
            pub const fn member(self) -> &'static str {
                match self { $(Self::$type => stringify!($tag),)* }
            }

            /// What hosts call the type: `table` for [`Type::Set`].
            #[must_use]
            pub fn name(self) -> &'static str {
                &self.member()["tag_".len()..]
            }
        }
    };
}

layout! {
    members {
        struct_size: "sizeof(bzw_layout)",
        tag_size: "sizeof(TypeTag)",
        ip_family_size: "sizeof(IPFamily)",
        ip_family_v4: "IPv4",
        ip_family_v6: "IPv6",
        field_size: "sizeof(threading::Field)",
        field_name: "threading::Field::name",
        field_type: "threading::Field::type",
        field_subtype: "threading::Field::subtype",
        field_optional: "threading::Field::optional",
        value_size: "sizeof(threading::Value)",
        value_type: "threading::Value::type",
        value_subtype: "threading::Value::subtype",
        value_present: "threading::Value::present",
        value_val: "threading::Value::val",
        val_port_port: "threading::Value::val.port_val.port",
        val_set_size: "threading::Value::val.set_val.size",
        val_set_vals: "threading::Value::val.set_val.vals",
        val_addr_family: "threading::Value::val.addr_val.family",
        val_addr_in: "threading::Value::val.addr_val.in",
        val_subnet_prefix: "threading::Value::val.subnet_val.prefix",
        val_subnet_length: "threading::Value::val.subnet_val.length",
        val_string_data: "threading::Value::val.string_val.data",
        val_string_length: "threading::Value::val.string_val.length",
    }
    // What values of the type are, and its number in Bro 2.5, from Zeek 4.1 on and from 5.0 on.
    types {
        Bool     = tag_bool:     Bool,    1,  1,      1;
        Int      = tag_int:      Int,     2,  2,      2;
        Count    = tag_count:    Count,   3,  3,      3;
        Counter  = tag_counter:  Count,   4,  ABSENT, ABSENT;
        Double   = tag_double:   Double,  5,  4,      4;
        Time     = tag_time:     Time,    6,  5,      5;
        Interval = tag_interval: Double,  7,  6,      6;
        String   = tag_string:   Text,    8,  7,      7;
        Pattern  = tag_pattern:  Unknown, 9,  8,      8;
        Enum     = tag_enum:     Text,    10, 9,      9;
        Port     = tag_port:     Port,    12, 11,     10;
        Addr     = tag_addr:     Addr,    13, 12,     11;
        Subnet   = tag_subnet:   Subnet,  14, 13,     12;
        Set      = tag_table:    List,    16, 15,     14;
        Func     = tag_func:     Text,    20, 19,     17;
        File     = tag_file:     Text,    21, 20,     18;
        Vector   = tag_vector:   List,    22, 21,     19;
    }
}

/// The hosts' types, one set for each way of laying them out. `T` is the enums' integer:
/// `u32` up to Zeek 7.2 (plain C++ enums), `u8` from 8.0 on (`enum … : uint8_t`).
#[allow(missing_docs, reason = "members have the names that the hosts give them")]
pub mod repr {
    use core::ffi::{c_char, c_int, c_void};

    /// `threading::Field`, the same in every host but for the enums' size.
    #[repr(C)]
    pub struct Field<T> {
        pub name: *const c_char,
        pub secondary_name: *const c_char,
        pub type_: T,
        pub subtype: T,
        pub optional: bool,
    }

    /// `Value::port_t`.
    #[repr(C)]
    #[derive(Clone, Copy)]
    pub struct Port<T> {
        pub port: u64,
        pub proto: T,
    }

    /// `Value::set_t`, also used for vectors.
    #[repr(C)]
    #[derive(Clone, Copy)]
    pub struct Set {
        pub size: i64,
        pub vals: *mut *mut c_void,
    }

    /// The union in `Value::addr_t`: `in_addr` and `in6_addr`, of 4-byte alignment.
    #[repr(C, align(4))]
    #[derive(Clone, Copy)]
    pub struct AddrBytes(pub [u8; 16]);

    /// `Value::addr_t`.
    #[repr(C)]
    #[derive(Clone, Copy)]
    pub struct Addr<T> {
        pub family: T,
        pub in_: AddrBytes,
    }

    /// `Value::subnet_t`.
    #[repr(C)]
    #[derive(Clone, Copy)]
    pub struct Subnet<T> {
        pub prefix: Addr<T>,
        pub length: u8,
    }

    /// The unnamed struct `string_val`.
    #[repr(C)]
    #[derive(Clone, Copy)]
    pub struct Text {
        pub data: *mut c_char,
        pub length: c_int,
    }

    /// `Value::_val`.
    #[repr(C)]
    pub union Val<T: Copy> {
        pub int_val: i64,
        pub uint_val: u64,
        pub port_val: Port<T>,
        pub double_val: f64,
        pub set_val: Set,
        pub addr_val: Addr<T>,
        pub subnet_val: Subnet<T>,
        pub string_val: Text,
    }

    /// `threading::Value` of Bro 2.5.
    #[repr(C)]
    pub struct ValueBro25 {
        pub type_: u32,
        pub present: bool,
        pub val: Val<u32>,
    }

    /// `threading::Value` of Bro 2.6 to Zeek 4.2.
    #[repr(C)]
    pub struct ValueBro26 {
        pub type_: u32,
        pub subtype: u32,
        pub present: bool,
        pub val: Val<u32>,
    }

    /// `threading::Value` of Zeek 5.0 to 7.1.
    #[repr(C)]
    pub struct ValueZeek50 {
        pub type_: u32,
        pub subtype: u32,
        pub present: bool,
        pub val: Val<u32>,
        pub line_number: c_int,
    }

    /// `threading::Value` of Zeek 7.2.
    #[repr(C)]
    pub struct ValueZeek72 {
        pub type_: u32,
        pub subtype: u32,
        pub val: Val<u32>,
        pub present: bool,
        pub line_number: c_int,
    }

    /// `threading::Value` of Zeek 8.0.
    #[repr(C)]
    pub struct ValueZeek80 {
        pub type_: u8,
        pub subtype: u8,
        pub val: Val<u8>,
        pub present: bool,
        pub line_number: c_int,
    }

    /// `threading::Value` of Zeek 8.1 to 9.0.
    #[repr(C)]
    pub struct ValueZeek81 {
        pub type_: u8,
        pub subtype: u8,
        pub present: bool,
        pub truncated: bool,
        pub line_number: i32,
        pub val: Val<u8>,
    }
}

/// Fills in the members that the enums' integer decides.
macro_rules! enums_of {
    ($tag:ty, $base:expr) => {
        Layout {
            struct_size: size_of::<Layout>() as u32,
            tag_size: size_of::<$tag>() as u32,
            ip_family_size: size_of::<$tag>() as u32,
            ip_family_v4: 0,
            ip_family_v6: 1,
            field_size: size_of::<repr::Field<$tag>>() as u32,
            field_name: offset_of!(repr::Field<$tag>, name) as u32,
            field_type: offset_of!(repr::Field<$tag>, type_) as u32,
            field_subtype: offset_of!(repr::Field<$tag>, subtype) as u32,
            field_optional: offset_of!(repr::Field<$tag>, optional) as u32,
            val_port_port: offset_of!(repr::Port<$tag>, port) as u32,
            val_set_size: offset_of!(repr::Set, size) as u32,
            val_set_vals: offset_of!(repr::Set, vals) as u32,
            val_addr_family: offset_of!(repr::Addr<$tag>, family) as u32,
            val_addr_in: offset_of!(repr::Addr<$tag>, in_) as u32,
            val_subnet_prefix: offset_of!(repr::Subnet<$tag>, prefix) as u32,
            val_subnet_length: offset_of!(repr::Subnet<$tag>, length) as u32,
            val_string_data: offset_of!(repr::Text, data) as u32,
            val_string_length: offset_of!(repr::Text, length) as u32,
            ..$base
        }
    };
}

/// Fills in the members that the shape of `Value` decides.
macro_rules! value_of {
    ($value:ty, $subtype:expr, $base:expr) => {
        Layout {
            value_size: size_of::<$value>() as u32,
            value_type: offset_of!($value, type_) as u32,
            value_subtype: $subtype,
            value_present: offset_of!($value, present) as u32,
            value_val: offset_of!($value, val) as u32,
            ..$base
        }
    };
    ($value:ty, $base:expr) => {
        value_of!($value, offset_of!($value, subtype) as u32, $base)
    };
}

/// The hosts that share one layout.
#[derive(Debug)]
pub struct Family {
    /// Short name: the first host that has it.
    pub name: &'static core::ffi::CStr,
    /// First host version, (major, minor).
    pub since: (u32, u32),
    /// The hosts' layout.
    pub layout: Layout,
}

/// All known families, oldest host first. The last reaches up to [`LAST_KNOWN`].
pub static FAMILIES: [Family; 7] = [
    Family { name: c"bro-2.5", since: (2, 5), layout: value_of!(repr::ValueBro25, ABSENT, enums_of!(u32, TAGS_BRO)) },
    Family { name: c"bro-2.6", since: (2, 6), layout: value_of!(repr::ValueBro26, enums_of!(u32, TAGS_BRO)) },
    Family { name: c"zeek-4.1", since: (4, 1), layout: value_of!(repr::ValueBro26, enums_of!(u32, TAGS_ZEEK41)) },
    Family { name: c"zeek-5.0", since: (5, 0), layout: value_of!(repr::ValueZeek50, enums_of!(u32, TAGS_ZEEK50)) },
    Family { name: c"zeek-7.2", since: (7, 2), layout: value_of!(repr::ValueZeek72, enums_of!(u32, TAGS_ZEEK50)) },
    Family { name: c"zeek-8.0", since: (8, 0), layout: value_of!(repr::ValueZeek80, enums_of!(u8, TAGS_ZEEK50)) },
    Family { name: c"zeek-8.1", since: (8, 1), layout: value_of!(repr::ValueZeek81, enums_of!(u8, TAGS_ZEEK50)) },
];

/// The newest host version whose headers [`FAMILIES`] was checked against.
pub const LAST_KNOWN: (u32, u32) = (9, 0);

/// The family of a host version, or `None` for a version older than the first or newer
/// than the last known one.
#[must_use]
pub fn family_of_version(major: u32, minor: u32) -> Option<&'static Family> {
    if (major, minor) > LAST_KNOWN {
        return None;
    }
    FAMILIES.iter().rev().find(|family| family.since <= (major, minor))
}
