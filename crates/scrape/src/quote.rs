//! Prints bytes like Go's `%q`, for error messages.

use std::fmt::Write;

/// How much of a malformed line an error shows; the rest could be megabytes.
const SHOWN_BYTES_MAX: usize = 512;

/// Returns bytes in quotes, with escapes for what cannot be printed; longer input is cut and ends in an ellipsis.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let mut quoted = String::with_capacity(shown.len() + 2);
    quoted.push('"');
    for chunk in shown.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut quoted, c));
        for byte in chunk.invalid() {
            write!(quoted, "\\x{byte:02x}").expect("a string takes everything");
        }
    }
    quoted.push_str(if shown.len() < bytes.len() { "...\"" } else { "\"" });
    quoted
}

fn push(quoted: &mut String, c: char) {
    match c {
        '"' => quoted.push_str("\\\""),
        '\\' => quoted.push_str("\\\\"),
        '\n' => quoted.push_str("\\n"),
        '\r' => quoted.push_str("\\r"),
        '\t' => quoted.push_str("\\t"),
        '\x07' => quoted.push_str("\\a"),
        '\x08' => quoted.push_str("\\b"),
        '\x0b' => quoted.push_str("\\v"),
        '\x0c' => quoted.push_str("\\f"),
        c if (c as u32) < 0x20 || c as u32 == 0x7f => {
            write!(quoted, "\\x{:02x}", c as u32).expect("a string takes everything");
        }
        c => quoted.push(c),
    }
}
