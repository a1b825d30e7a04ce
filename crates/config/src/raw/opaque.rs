//! A value of any type of which only one thing matters: whether it changes anything.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A value that is not looked into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opaque {
    harmless: bool,
}

impl Opaque {
    /// Tells whether the value is empty or `false`, so that leaving it out means the same.
    pub(crate) fn is_harmless(self) -> bool {
        self.harmless
    }
}

impl<'de> Deserialize<'de> for Opaque {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OpaqueVisitor)
    }
}

struct OpaqueVisitor;

impl<'de> Visitor<'de> for OpaqueVisitor {
    type Value = Opaque;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Opaque, E> {
        Ok(Opaque { harmless: true })
    }

    fn visit_none<E>(self) -> Result<Opaque, E> {
        Ok(Opaque { harmless: true })
    }

    fn visit_bool<E>(self, value: bool) -> Result<Opaque, E> {
        Ok(Opaque { harmless: !value })
    }

    fn visit_i64<E>(self, _: i64) -> Result<Opaque, E> {
        Ok(Opaque { harmless: false })
    }

    fn visit_u64<E>(self, _: u64) -> Result<Opaque, E> {
        Ok(Opaque { harmless: false })
    }

    fn visit_f64<E>(self, _: f64) -> Result<Opaque, E> {
        Ok(Opaque { harmless: false })
    }

    fn visit_str<E>(self, text: &str) -> Result<Opaque, E> {
        Ok(Opaque { harmless: text.is_empty() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Opaque, A::Error> {
        let mut harmless = true;
        while items.next_element::<IgnoredAny>()?.is_some() {
            harmless = false;
        }
        Ok(Opaque { harmless })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Opaque, A::Error> {
        let mut harmless = true;
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            harmless = false;
        }
        Ok(Opaque { harmless })
    }
}
