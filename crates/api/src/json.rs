//! JSON written straight into a byte buffer, in the forms that Prometheus gives its results.
//!
//! Timestamps are seconds with three decimals where there is a fraction; values are texts as Go prints them.

mod float;
mod histogram;
mod result;

use std::time::Duration;

use model::LabelSet;

pub(crate) use result::write_value;

/// Writes JSON. Arrays and objects put their own commas; the caller keeps brackets balanced.
#[derive(Default)]
pub(crate) struct JsonWriter {
    bytes: Vec<u8>,
}

impl JsonWriter {
    /// Makes a writer with room for so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// Returns what was written.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes text that is JSON already.
    pub(crate) fn raw(&mut self, json: &str) {
        self.bytes.extend_from_slice(json.as_bytes());
    }

    /// Writes a text with quotes and escapes.
    pub(crate) fn text(&mut self, text: &str) {
        self.bytes.push(b'"');
        let bytes = text.as_bytes();
        let mut start = 0;
        for (at, byte) in bytes.iter().enumerate() {
            let escape: &[u8] = match byte {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'\n' => b"\\n",
                b'\r' => b"\\r",
                b'\t' => b"\\t",
                0..0x20 => &[
                    b'\\',
                    b'u',
                    b'0',
                    b'0',
                    b'0' + (byte >> 4),
                    b"0123456789abcdef"[usize::from(byte & 15)],
                ],
                _ => continue,
            };
            self.bytes.extend_from_slice(&bytes[start..at]);
            self.bytes.extend_from_slice(escape);
            start = at + 1;
        }
        self.bytes.extend_from_slice(&bytes[start..]);
        self.bytes.push(b'"');
    }

    /// Writes an integer.
    pub(crate) fn integer(&mut self, value: i64) {
        float::push_unsigned(&mut self.bytes, value < 0, value.unsigned_abs());
    }

    /// Writes a finite float as a JSON number, anything else as 0.
    pub(crate) fn number(&mut self, value: f64) {
        float::push(&mut self.bytes, if value.is_finite() { value } else { 0.0 });
    }

    /// Writes a boolean.
    pub(crate) fn boolean(&mut self, value: bool) {
        self.raw(if value { "true" } else { "false" });
    }

    /// Writes a sample value: a text as Go prints it, `"NaN"` and `"+Inf"` included.
    pub(crate) fn value(&mut self, value: f64) {
        self.bytes.push(b'"');
        float::push(&mut self.bytes, value);
        self.bytes.push(b'"');
    }

    /// Writes milliseconds as seconds.
    pub(crate) fn timestamp(&mut self, time_ms: i64) {
        let ms = time_ms.unsigned_abs();
        float::push_unsigned(&mut self.bytes, time_ms < 0, ms / 1000);
        let fraction = (ms % 1000) as u32;
        if fraction != 0 {
            let digit = |value: u32| b'0' + (value % 10) as u8;
            let digits = [b'.', digit(fraction / 100), digit(fraction / 10), digit(fraction)];
            self.bytes.extend_from_slice(&digits);
        }
    }

    /// Writes `[seconds,"value"]`.
    pub(crate) fn point(&mut self, time_ms: i64, value: f64) {
        self.bytes.push(b'[');
        self.timestamp(time_ms);
        self.bytes.push(b',');
        self.value(value);
        self.bytes.push(b']');
    }

    /// Writes a label set as an object.
    pub(crate) fn labels(&mut self, labels: &LabelSet) {
        self.text_map(labels.iter());
    }

    /// Writes pairs of texts as an object.
    pub(crate) fn text_map<'a>(&mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) {
        self.raw("{");
        for (at, (name, value)) in pairs.into_iter().enumerate() {
            self.comma(at);
            self.text(name);
            self.raw(":");
            self.text(value);
        }
        self.raw("}");
    }

    /// Writes the name of a member and its colon; a comma before every one but the first (`at` 0).
    pub(crate) fn key(&mut self, at: usize, name: &str) {
        self.comma(at);
        self.text(name);
        self.raw(":");
    }

    /// Writes an object, its members one by one.
    pub(crate) fn object(&mut self, write: impl FnOnce(&mut Members<'_>)) {
        self.raw("{");
        write(&mut Members { json: self, at: 0 });
        self.raw("}");
    }

    /// Writes an array, its elements one by one.
    pub(crate) fn array<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.raw("[");
        for (at, item) in items.into_iter().enumerate() {
            self.comma(at);
            write(self, item);
        }
        self.raw("]");
    }

    /// Writes an array of texts.
    pub(crate) fn texts(&mut self, texts: &[String]) {
        self.array(texts, |json, text| json.text(text));
    }

    fn comma(&mut self, at: usize) {
        if at > 0 {
            self.bytes.push(b',');
        }
    }
}

/// Writes the members of an object.
pub(crate) struct Members<'a> {
    json: &'a mut JsonWriter,
    at: usize,
}

impl Members<'_> {
    /// Writes a name; the value is to be written next.
    pub(crate) fn member(&mut self, name: &str) -> &mut JsonWriter {
        self.json.key(self.at, name);
        self.at += 1;
        self.json
    }

    /// Writes a text.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.member(name).text(text);
    }

    /// Writes a count.
    pub(crate) fn count(&mut self, name: &str, count: impl TryInto<i64>) {
        let count = count.try_into().unwrap_or(i64::MAX);
        self.member(name).integer(count);
    }

    /// Writes a duration in seconds.
    pub(crate) fn seconds(&mut self, name: &str, time: Duration) {
        self.member(name).number(time.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut JsonWriter)) -> String {
        let mut json = JsonWriter::default();
        write(&mut json);
        String::from_utf8(json.finish()).expect("JSON is UTF-8")
    }

    #[test]
    fn timestamps_have_three_decimals_or_none() {
        for (ms, text) in [
            (0, "0"),
            (1000, "1"),
            (1001, "1.001"),
            (1_435_781_451_781, "1435781451.781"),
            (1500, "1.500"),
            (-500, "-0.500"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(written(|json| json.timestamp(ms)), text);
        }
    }

    #[test]
    fn labels_are_an_object() {
        let labels = LabelSet::from_pairs([("__name__", "up"), ("a", "\"\\\n\u{1}\u{1f}é")]);
        let text = written(|json| json.labels(&labels));
        assert_eq!(text, r#"{"__name__":"up","a":"\"\\\n\u0001\u001fé"}"#);
        assert_eq!(written(|json| json.labels(&LabelSet::empty())), "{}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(text in ".*") {
            let read: String = serde_json::from_str(&written(|json| json.text(&text))).unwrap();
            prop_assert_eq!(read, text);
        }
    }
}
