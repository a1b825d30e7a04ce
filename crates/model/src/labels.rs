//! Label sets: sorted, unique names, non-empty values, one flat allocation.
//!
//! A set is stored as one byte string of `(length, name, length, value)` in name order, shared by reference count: a
//! clone costs an increment, equality and hash run over the bytes. Lengths are those of [`crate::varint`]. An empty
//! value is the same as an absent label, as in Prometheus, so it is never stored.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::unicode::is_printable;
use crate::varint::{Cursor, push_bytes, unsigned_len};

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// How many bytes the length of a text may take in stored bytes: enough for 4 GiB.
const LENGTH_BYTES_MAX: usize = 5;
/// What a shared allocation takes beside its bytes: two counts.
const ARC_HEADER_BYTES: usize = 16;

/// An immutable set of labels, the identity of a series.
///
/// Ordered like Prometheus's `labels.Compare`: label by label, name first, a prefix before its extension.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LabelSet(Arc<[u8]>);

/// Why bytes are not a label set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// A length points past the end, or a text is not UTF-8.
    #[error("label set bytes are malformed at offset {offset}")]
    Malformed {
        /// Where, counted from the start of the set.
        offset: usize,
    },
    /// Names are not strictly ascending.
    #[error("label {name:?} is out of order or given twice")]
    Unordered {
        /// The later of the two names.
        name: String,
    },
    /// A name or value that must not be empty is.
    #[error("label name or value is empty after {name:?}")]
    Empty {
        /// The name before the gap, or the name whose value is empty.
        name: String,
    },
}

impl LabelSet {
    /// Returns the set without labels.
    pub fn empty() -> Self {
        Self(Arc::from([]))
    }

    /// Builds a set from pairs in any order; later pairs win over earlier ones of the same name, empty values remove.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelSetBuilder::default();
        for (name, value) in pairs {
            builder.set(name, value);
        }
        builder.build()
    }

    /// Builds a set from pairs that are already sorted by name, unique and without empty values; the fast path of decoders.
    ///
    /// # Errors
    /// [`LabelError`] when they are not.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, LabelError> {
        let mut bytes = Vec::with_capacity(256);
        let mut previous: &[u8] = b"";
        for (name, value) in pairs {
            check_pair(previous, name.as_bytes(), value.as_bytes())?;
            push_bytes(&mut bytes, name.as_bytes());
            push_bytes(&mut bytes, value.as_bytes());
            previous = name.as_bytes();
        }
        Ok(Self(bytes.into()))
    }

    /// Takes bytes in the stored form, as [`LabelSet::as_bytes`] returns them.
    ///
    /// # Errors
    /// [`LabelError`] when the bytes are not a valid set; wire and disk readers rely on this check.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LabelError> {
        // Most sets are ASCII, which one pass tells; the lengths of their texts are as well.
        let is_ascii = bytes.is_ascii();
        let (mut cursor, mut previous) = (Cursor::new(bytes), &b""[..]);
        while !cursor.is_at_end() {
            let (name, value) = (read_text(&mut cursor, is_ascii)?, read_text(&mut cursor, is_ascii)?);
            check_pair(previous, name, value)?;
            previous = name;
        }
        Ok(Self(bytes.into()))
    }

    /// Joins stored forms of single labels, or of runs of them, that were taken from label sets and are in name order. Does
    /// not check them in release builds: for indexes that keep labels apart.
    pub fn from_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>, scratch: &mut Vec<u8>) -> Self {
        scratch.clear();
        parts.into_iter().for_each(|part| scratch.extend_from_slice(part));
        debug_assert!(Self::from_bytes(scratch).is_ok(), "parts are labels in order");
        Self(scratch.as_slice().into())
    }

    /// Appends to `out` the stored form of the labels whose name is kept by a predicate; what [`LabelSet::filtered`] would
    /// have, without making a set.
    pub fn filter_into(&self, keep: impl Fn(&str) -> bool, out: &mut Vec<u8>) {
        let mut labels = self.iter();
        loop {
            let start = labels.0.offset();
            let Some(name) = labels.next_name() else { return };
            labels.skip_value();
            if keep(name) {
                out.extend_from_slice(&self.0[start..labels.0.offset()]);
            }
        }
    }

    /// Returns how many bytes are freed when this clone goes: none while another clone shares them.
    pub fn unshared_bytes(&self) -> usize {
        if Arc::strong_count(&self.0) > 1 { 0 } else { self.0.len() + ARC_HEADER_BYTES }
    }

    /// Returns the stored form: stable, usable as a key and on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Iterates over `(name, value)` in name order.
    pub fn iter(&self) -> LabelIter<'_> {
        LabelIter(Cursor::new(&self.0))
    }

    /// Returns the value of a label, or `""` when it is absent. Linear in the number of labels.
    pub fn get(&self, name: &str) -> &str {
        let mut labels = self.iter();
        while let Some(found) = labels.next_name_bytes() {
            match found.cmp(name.as_bytes()) {
                Ordering::Less => labels.skip_value(),
                Ordering::Equal => return labels.0.text().expect(CHECKED),
                Ordering::Greater => break,
            }
        }
        ""
    }

    /// Returns the metric's name, or `""`.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME)
    }

    /// Tells whether there is no label at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many labels there are. Linear.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Returns the stable hash of the set: XXH3-64 over the stored form. It picks the slot, so it never changes.
    pub fn stable_hash(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&self.0)
    }

    /// Returns the hash that Prometheus samples series by (`limit_ratio`): XXH64 over the sorted names and values, each
    /// with its length before it, one byte or 255 and three bytes, lowest first.
    pub fn sampling_hash(&self) -> u64 {
        let mut bytes = Vec::with_capacity(self.0.len() + 8);
        for text in self.iter().flat_map(|(name, value)| [name, value]) {
            match u8::try_from(text.len()) {
                Ok(length) if length < u8::MAX => bytes.push(length),
                _ => {
                    bytes.push(u8::MAX);
                    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes()[..3]);
                }
            }
            bytes.extend_from_slice(text.as_bytes());
        }
        xxhash_rust::xxh64::xxh64(&bytes, 0)
    }

    /// Returns a builder that starts with these labels.
    pub fn to_builder(&self) -> LabelSetBuilder {
        LabelSetBuilder { labels: self.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect() }
    }

    /// Returns the set without the named labels.
    pub fn without(&self, names: &[&str]) -> Self {
        self.filtered(|name| !names.contains(&name))
    }

    /// Returns the set with only the named labels.
    pub fn only(&self, names: &[&str]) -> Self {
        self.filtered(|name| names.contains(&name))
    }

    /// Returns the set of the labels whose name is kept by a predicate.
    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len());
        self.filter_into(keep, &mut bytes);
        Self(bytes.into())
    }
}

fn check_pair(previous: &[u8], name: &[u8], value: &[u8]) -> Result<(), LabelError> {
    let owned = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    if name.is_empty() {
        return Err(LabelError::Empty { name: owned(previous) });
    }
    if value.is_empty() {
        return Err(LabelError::Empty { name: owned(name) });
    }
    if name <= previous {
        return Err(LabelError::Unordered { name: owned(name) });
    }
    Ok(())
}

/// Reads one text; an error names where it starts. A length in more bytes than it needs is refused: equal sets have equal
/// bytes, since hash and equality run over them.
fn read_text<'a>(cursor: &mut Cursor<'a>, is_ascii: bool) -> Result<&'a [u8], LabelError> {
    let offset = cursor.offset();
    let length = cursor.count(1).ok().filter(|length| {
        let bytes = cursor.offset() - offset;
        bytes <= LENGTH_BYTES_MAX && bytes == unsigned_len(*length as u64)
    });
    let bytes = length.and_then(|length| cursor.take(length).ok());
    let bytes = bytes.filter(|bytes| is_ascii || std::str::from_utf8(bytes).is_ok());
    bytes.ok_or(LabelError::Malformed { offset })
}

/// Why reading a stored form cannot fail.
const CHECKED: &str = "a label set is checked when it is made";

/// Compares stored forms label by label.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let same = common_prefix(a, b);
    // The text that holds the first difference decides; up to there the lengths of both are the same.
    let (mut left, mut start) = (Cursor::new(a), 0);
    loop {
        if start == a.len() || start == b.len() {
            return a.len().cmp(&b.len());
        }
        let text = left.bytes().expect(CHECKED);
        if left.offset() > same {
            return text.cmp(Cursor::new(&b[start..]).bytes().expect(CHECKED));
        }
        start = left.offset();
    }
}

/// Returns how many bytes two texts have in common at their start.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const BLOCK: usize = 32;
    let blocks = a.chunks_exact(BLOCK).zip(b.chunks_exact(BLOCK));
    let same = BLOCK * blocks.take_while(|(a, b)| a == b).count();
    same + a[same..].iter().zip(&b[same..]).take_while(|(a, b)| a == b).count()
}

/// Iterator over `(name, value)` in name order.
#[derive(Clone)]
pub struct LabelIter<'a>(Cursor<'a>);

impl<'a> LabelIter<'a> {
    fn next_name_bytes(&mut self) -> Option<&'a [u8]> {
        (!self.0.is_at_end()).then(|| self.0.bytes().expect(CHECKED))
    }

    fn next_name(&mut self) -> Option<&'a str> {
        (!self.0.is_at_end()).then(|| self.0.text().expect(CHECKED))
    }

    fn skip_value(&mut self) {
        self.0.bytes().expect(CHECKED);
    }
}

impl<'a> Iterator for LabelIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_at_end() {
            return None;
        }
        Some((self.0.text().expect(CHECKED), self.0.text().expect(CHECKED)))
    }
}

impl<'a> IntoIterator for &'a LabelSet {
    type Item = (&'a str, &'a str);
    type IntoIter = LabelIter<'a>;

    fn into_iter(self) -> LabelIter<'a> {
        self.iter()
    }
}

impl PartialOrd for LabelSet {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for LabelSet {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { compare(&self.0, &other.0) }
    }
}

impl Default for LabelSet {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Display for LabelSet {
    /// Prints `name{label="value", ...}` as Prometheus does; names that are not legacy identifiers are quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric_name();
        let bare_name = is_legacy_metric_name(name);
        let mut parts: Vec<String> = Vec::new();
        if !name.is_empty() && !bare_name {
            parts.push(quote(name));
        }
        parts.extend(self.iter().filter(|(n, _)| *n != METRIC_NAME).map(|(n, v)| {
            let n = if is_legacy_label_name(n) { n.to_owned() } else { quote(n) };
            format!("{n}={}", quote(v))
        }));
        if bare_name {
            f.write_str(name)?;
        }
        if parts.is_empty() && bare_name { Ok(()) } else { write!(f, "{{{}}}", parts.join(", ")) }
    }
}

impl fmt::Debug for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Quotes a text like Go's `strconv.Quote`.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\x0b' => quoted.push_str("\\v"),
            c if is_printable(c) => quoted.push(c),
            c => match c as u32 {
                code @ 0..0x80 => quoted.push_str(&format!("\\x{code:02x}")),
                code @ 0x80..0x1_0000 => quoted.push_str(&format!("\\u{code:04x}")),
                code => quoted.push_str(&format!("\\U{code:08x}")),
            },
        }
    }
    quoted.push('"');
    quoted
}

/// Tells whether a name matches `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_legacy_label_name(name: &str) -> bool {
    !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Tells whether a name matches `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_legacy_metric_name(name: &str) -> bool {
    !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

/// Collects labels in any order.
#[derive(Clone, Debug, Default)]
pub struct LabelSetBuilder {
    labels: Vec<(String, String)>,
}

impl LabelSetBuilder {
    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Self {
        let (name, value) = (name.into(), value.into());
        match self.labels.iter_mut().find(|(n, _)| *n == name) {
            Some((_, slot)) => *slot = value,
            None => self.labels.push((name, value)),
        }
        self
    }

    /// Removes a label.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.labels.retain(|(n, _)| n != name);
        self
    }

    /// Returns the present value of a label, or `""`.
    pub fn get(&self, name: &str) -> &str {
        self.labels.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// Iterates over what is set, in no order, also over empty values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// Returns the set: sorted, without empty names and values.
    pub fn build(&self) -> LabelSet {
        let mut labels: Vec<_> = self.iter().filter(|(n, v)| !n.is_empty() && !v.is_empty()).collect();
        labels.sort_unstable();
        LabelSet::from_sorted(labels).expect("sorted, unique and without empty texts")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prints_like_prometheus() {
        let cases: [(&[(&str, &str)], &str); 5] = [
            (&[], "{}"),
            (&[("__name__", "up")], "up"),
            (
                &[("__name__", "up"), ("job", "a\"b\n"), ("instance", "x")],
                r#"up{instance="x", job="a\"b\n"}"#,
            ),
            (&[("job", "x")], r#"{job="x"}"#),
            (&[("__name__", "http.status"), ("a.b", "c")], r#"{"http.status", "a.b"="c"}"#),
        ];
        for (pairs, text) in cases {
            assert_eq!(LabelSet::from_pairs(pairs.iter().copied()).to_string(), text);
        }
    }

    #[test]
    fn quotes_like_go() {
        let text = "a\x07\x08\x0c\n\r\t\x0b\\\"\x00\x7f é☺\u{a0}\u{feff}\u{e0001}";
        assert_eq!(quote(text), r#""a\a\b\f\n\r\t\v\\\"\x00\x7f é☺\u00a0\ufeff\U000e0001""#);
    }

    #[test]
    fn order_is_label_by_label_not_byte_by_byte() {
        let short = LabelSet::from_pairs([("a", "zz")]);
        let long_value = LabelSet::from_pairs([("a", "b"), ("c", "d")]);
        assert!(long_value < short, "the varint length must not take part in the order");
        assert!(LabelSet::from_pairs([("a", "b")]) < long_value);
    }

    #[test]
    fn refuses_malformed_bytes() {
        for bytes in [&[1u8][..], &[1, b'a'], &[1, b'a', 0], &[0, 1, b'x'], &[1, 0xff, 1, b'a'], &[0xff; 8]] {
            assert!(LabelSet::from_bytes(bytes).is_err(), "{bytes:?}");
        }
        assert!(LabelSet::from_bytes(&[0x81, 0, b'a', 1, b'x']).is_err(), "a length has one form");
        assert_eq!(
            LabelSet::from_bytes(&[1, b'b', 1, b'x', 1, b'a', 1, b'x']),
            Err(LabelError::Unordered { name: "a".into() })
        );
    }

    #[test]
    fn the_hash_never_changes() {
        let labels = LabelSet::from_pairs([("__name__", "up"), ("job", "node")]);
        assert_eq!(labels.stable_hash(), 10_531_563_476_587_396_253);
    }

    #[test]
    fn the_sampling_hash_is_over_length_prefixed_texts() {
        let long = "x".repeat(300);
        let labels = LabelSet::from_pairs([("a", "bc"), ("d", &long)]);
        let mut bytes = b"\x01a\x02bc\x01d\xff\x2c\x01\x00".to_vec();
        bytes.extend(long.bytes());
        assert_eq!(labels.sampling_hash(), xxhash_rust::xxh64::xxh64(&bytes, 0));
        assert_eq!(LabelSet::empty().sampling_hash(), 0xef46_db37_51d8_e999, "XXH64 of nothing");
    }

    proptest! {
        #[test]
        fn bytes_round_trip(pairs in prop::collection::vec(("[a-z]{1,3}", ".{0,200}"), 0..12)) {
            let labels = LabelSet::from_pairs(pairs.clone());
            prop_assert_eq!(LabelSet::from_bytes(labels.as_bytes()), Ok(labels.clone()));
            let expected: std::collections::BTreeMap<_, _> = pairs.into_iter().collect();
            let kept: Vec<_> = expected.iter().filter(|(_, v)| !v.is_empty()).map(|(n, v)| (n.as_str(), v.as_str())).collect();
            prop_assert_eq!(labels.iter().collect::<Vec<_>>(), kept);
        }

        #[test]
        fn order_is_that_of_the_pairs(
            a in prop::collection::btree_map("[ab]{1,2}", "[ab]{1,3}|[ab]{60,70}", 0..4),
            b in prop::collection::btree_map("[ab]{1,2}", "[ab]{1,3}|[ab]{60,70}", 0..4),
        ) {
            let (left, right) = (LabelSet::from_pairs(a.clone()), LabelSet::from_pairs(b.clone()));
            prop_assert_eq!(left.cmp(&right), a.into_iter().cmp(b));
        }

        #[test]
        fn any_bytes_are_refused_or_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(labels) = LabelSet::from_bytes(&bytes) {
                let again = LabelSet::from_sorted(labels.iter()).expect("was valid");
                prop_assert_eq!(again, labels);
            }
        }
    }
}
