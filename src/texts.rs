//! Messages as values: an `enum` for messages of one kind, with a text for each variant.

/// Declares an `enum` of messages. A text has in braces the variant's fields, and the values that are named in
/// brackets behind it. Parameters in parentheses behind the name of the `enum` put the texts into a reader's words,
/// and are handed to `text`; without parameters there is `Display`.
macro_rules! texts {
    ($(#[$meta:meta])* pub enum $name:ident { $($variants:tt)* }) => {
        $crate::texts::texts! { $(#[$meta])* pub enum $name() { $($variants)* } }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(&self.text())
            }
        }

        impl core::error::Error for $name {}
    };
    ($(#[$meta:meta])* pub enum $name:ident($($for:ident: $for_type:ty),*) {
        $($variant:ident $({ $($field:ident: $type:ty),* })? = $text:literal $([$($key:ident = $value:expr),*])?,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the texts say what they are about")]
        pub enum $name { $($variant $({ $($field: $type),* })?),* }

        impl $name {
            /// The texts of all variants, with `{…}` for what differs.
            pub const TEXTS: &[&str] = &[$($text),*];

            /// The name of the variant, which stays when its text changes.
            #[must_use]
            pub fn name(&self) -> &'static core::ffi::CStr {
                let name = match self { $(Self::$variant { .. } => concat!(stringify!($variant), "\0")),* };
                core::ffi::CStr::from_bytes_with_nul(name.as_bytes()).unwrap_or_default()
            }

            /// The text, in its reader's words.
            #[must_use]
            pub fn text(&self $(, $for: $for_type)*) -> String {
                match self {
                    $(Self::$variant $({ $($field),* })? => format!($text $($(, $key = $value)*)?),)*
                }
            }
        }
    };
}

pub(crate) use texts;
