//! How a host lays out its log records, as data.
//!
//! [`Layout`] mirrors `bzw_layout` of `include/bro_zeromq_writer.h`. The glue fills one
//! from the host's own headers; [`FAMILIES`] holds those of released hosts, computed
//! from hand-written `#[repr(C)]` types. `build.rs` includes this file too, so that it
//! must not use anything from the rest of the crate.

use core::mem::{offset_of, size_of};

/// An offset or a tag that a host does not have.
pub const ABSENT: u32 = u32::MAX;

/// Declares [`Layout`] together with the list of its members, so that checks and
/// error messages can name them.
macro_rules! layout {
    ($($(#[$doc:meta])* $member:ident,)*) => {
        /// Offsets and sizes in bytes, enumerators as numbers; see `bzw_layout` in the C header.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Layout {
            $($(#[$doc])* pub $member: u32,)*
        }

        impl Layout {
            /// Every member's name and value, in order.
            #[must_use]
            pub const fn members(&self) -> [(&'static str, u32); size_of::<Layout>() / 4] {
                [$((stringify!($member), self.$member),)*]
            }
        }
    };
}

layout! {
    /// Size of the caller's `bzw_layout`.
    struct_size,
    /// `sizeof(TypeTag)`.
    tag_size,
    /// `sizeof(IPFamily)`.
    ip_family_size,
    /// `IPv4`.
    ip_family_v4,
    /// `IPv6`.
    ip_family_v6,
    /// `sizeof(threading::Field)`.
    field_size,
    /// `Field::name`.
    field_name,
    /// `Field::type`.
    field_type,
    /// `Field::subtype`.
    field_subtype,
    /// `Field::optional`.
    field_optional,
    /// `sizeof(threading::Value)`.
    value_size,
    /// `Value::type`.
    value_type,
    /// `Value::subtype`.
    value_subtype,
    /// `Value::present`.
    value_present,
    /// `Value::val`.
    value_val,
    /// `port_val.port` within the union.
    val_port_port,
    /// `set_val.size` within the union.
    val_set_size,
    /// `set_val.vals` within the union.
    val_set_vals,
    /// `addr_val.family` within the union.
    val_addr_family,
    /// `addr_val.in` within the union.
    val_addr_in,
    /// `subnet_val.prefix` within the union.
    val_subnet_prefix,
    /// `subnet_val.length` within the union.
    val_subnet_length,
    /// `string_val.data` within the union.
    val_string_data,
    /// `string_val.length` within the union.
    val_string_length,
    /// `TYPE_BOOL`.
    tag_bool,
    /// `TYPE_INT`.
    tag_int,
    /// `TYPE_COUNT`.
    tag_count,
    /// `TYPE_COUNTER`, up to Zeek 4.0.
    tag_counter,
    /// `TYPE_DOUBLE`.
    tag_double,
    /// `TYPE_TIME`.
    tag_time,
    /// `TYPE_INTERVAL`.
    tag_interval,
    /// `TYPE_STRING`.
    tag_string,
    /// `TYPE_PATTERN`.
    tag_pattern,
    /// `TYPE_ENUM`.
    tag_enum,
    /// `TYPE_PORT`.
    tag_port,
    /// `TYPE_ADDR`.
    tag_addr,
    /// `TYPE_SUBNET`.
    tag_subnet,
    /// `TYPE_TABLE`.
    tag_table,
    /// `TYPE_FUNC`.
    tag_func,
    /// `TYPE_FILE`.
    tag_file,
    /// `TYPE_VECTOR`.
    tag_vector,
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

/// `TypeTag` of Bro 2.5 to Zeek 4.0 (`src/Type.h`).
const TAGS_BRO: Layout = Layout {
    tag_bool: 1,
    tag_int: 2,
    tag_count: 3,
    tag_counter: 4,
    tag_double: 5,
    tag_time: 6,
    tag_interval: 7,
    tag_string: 8,
    tag_pattern: 9,
    tag_enum: 10,
    tag_port: 12,
    tag_addr: 13,
    tag_subnet: 14,
    tag_table: 16,
    tag_func: 20,
    tag_file: 21,
    tag_vector: 22,
    ..NOTHING
};

/// `TypeTag` of Zeek 4.1 and 4.2: COUNTER is gone.
const TAGS_ZEEK41: Layout = Layout {
    tag_counter: ABSENT,
    tag_double: 4,
    tag_time: 5,
    tag_interval: 6,
    tag_string: 7,
    tag_pattern: 8,
    tag_enum: 9,
    tag_port: 11,
    tag_addr: 12,
    tag_subnet: 13,
    tag_table: 15,
    tag_func: 19,
    tag_file: 20,
    tag_vector: 21,
    ..TAGS_BRO
};

/// `TypeTag` from Zeek 5.0 on: TIMER and UNION are gone too.
const TAGS_ZEEK50: Layout = Layout {
    tag_port: 10,
    tag_addr: 11,
    tag_subnet: 12,
    tag_table: 14,
    tag_func: 17,
    tag_file: 18,
    tag_vector: 19,
    ..TAGS_ZEEK41
};

const NOTHING: Layout = Layout {
    struct_size: ABSENT,
    tag_size: ABSENT,
    ip_family_size: ABSENT,
    ip_family_v4: ABSENT,
    ip_family_v6: ABSENT,
    field_size: ABSENT,
    field_name: ABSENT,
    field_type: ABSENT,
    field_subtype: ABSENT,
    field_optional: ABSENT,
    value_size: ABSENT,
    value_type: ABSENT,
    value_subtype: ABSENT,
    value_present: ABSENT,
    value_val: ABSENT,
    val_port_port: ABSENT,
    val_set_size: ABSENT,
    val_set_vals: ABSENT,
    val_addr_family: ABSENT,
    val_addr_in: ABSENT,
    val_subnet_prefix: ABSENT,
    val_subnet_length: ABSENT,
    val_string_data: ABSENT,
    val_string_length: ABSENT,
    tag_bool: ABSENT,
    tag_int: ABSENT,
    tag_count: ABSENT,
    tag_counter: ABSENT,
    tag_double: ABSENT,
    tag_time: ABSENT,
    tag_interval: ABSENT,
    tag_string: ABSENT,
    tag_pattern: ABSENT,
    tag_enum: ABSENT,
    tag_port: ABSENT,
    tag_addr: ABSENT,
    tag_subnet: ABSENT,
    tag_table: ABSENT,
    tag_func: ABSENT,
    tag_file: ABSENT,
    tag_vector: ABSENT,
};

/// The hosts that share one layout.
#[derive(Debug)]
pub struct Family {
    /// Short name: the first host that has it.
    pub name: &'static core::ffi::CStr,
    /// First host version, (major, minor).
    pub since: (u32, u32),
    /// Its layout.
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
