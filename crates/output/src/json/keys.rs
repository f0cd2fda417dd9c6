//! Keys of JSON objects, with what stands around them.

use crate::draft::Word;

/// A key with all that stands before its value, in both forms.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) pretty: Word,
    pub(super) compact: Word,
}

macro_rules! key {
    ($name:literal) => {
        const {
            &Key {
                pretty: Word::new(concat!(",\n  \"", $name, "\" : ")),
                compact: Word::new(concat!(",\"", $name, "\":")),
            }
        }
    };
}

/// Presence bits of some fields.
macro_rules! bits_of {
    ($($field:ident),+ $(,)?) => {
        const { bits(&[$(F::$field),+]) }
    };
}

/// An extension whose keys are plain numbers. One call for each: so each key is a constant where it
/// is copied.
macro_rules! numbers {
    ($object:ident, $($name:literal $field:ident),+ $(,)?) => {
        if $object.has_any(bits_of!($($field),+)) {
            $($object.number(key!($name), F::$field);)+
        }
    };
}

pub(super) use {bits_of, key, numbers};
