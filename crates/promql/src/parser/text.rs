//! Literals: what strings, numbers and durations say.

/// The longest duration: 2^63 ns.
const DURATION_MS_MAX: f64 = i64::MAX as f64 / 1e6;

/// Checks the escape whose backslash has just been read and moves the offset behind it.
pub(super) fn check_escape(query: &str, offset: &mut usize, quote: u8) -> Result<(), String> {
    let bytes = query.as_bytes();
    let Some(c) = query[*offset..].chars().next() else {
        return Err("escape sequence not terminated".to_owned());
    };
    let (digits, base) = match c {
        'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => (0, 10),
        c if c as u32 == u32::from(quote) => (0, 10),
        '0'..='7' => (3, 8),
        'x' => (2, 16),
        'u' => (4, 16),
        'U' => (8, 16),
        c => return Err(format!("unknown escape sequence {}", rune(c))),
    };
    *offset += if base == 8 { 0 } else { c.len_utf8() };
    let mut value = 0u32;
    for _ in 0..digits {
        let Some(digit) = query[*offset..].chars().next() else {
            return Err("escape sequence not terminated".to_owned());
        };
        let Some(d) = digit.to_digit(base) else {
            return Err(format!("illegal character {} in escape sequence", rune(digit)));
        };
        value = value.wrapping_mul(base).wrapping_add(d);
        *offset += 1;
    }
    debug_assert!(*offset <= bytes.len(), "digits are single bytes");
    let valid = match (digits, base) {
        (0, _) | (2, _) => true,
        (3, _) => value <= 255,
        _ => char::from_u32(value).is_some(),
    };
    if valid { Ok(()) } else { Err("escape sequence is an invalid Unicode code point".to_owned()) }
}

fn rune(c: char) -> String {
    format!("U+{:04X} '{c}'", c as u32)
}

/// Decodes a string token that the lexer accepted, its quotes included.
pub(super) fn unquote(token: &str) -> Vec<u8> {
    let inner = &token[1..token.len() - 1];
    if token.starts_with('`') || !inner.contains('\\') {
        return inner.as_bytes().to_vec();
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = rest.as_bytes()[at + 1];
        let (skip, digits, base) = match escape {
            b'0'..=b'7' => (1, 3, 8),
            b'x' => (2, 2, 16),
            b'u' => (2, 4, 16),
            b'U' => (2, 8, 16),
            _ => (2, 0, 10),
        };
        if digits == 0 {
            out.push(simple_escape(escape));
        } else {
            let text = &rest[at + skip..at + skip + digits];
            let value = u32::from_str_radix(text, base).expect("the lexer checked the digits");
            if digits <= 3 {
                out.push(value as u8);
            } else {
                let c = char::from_u32(value).expect("the lexer checked the code point");
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        rest = &rest[at + skip + digits..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

fn simple_escape(escape: u8) -> u8 {
    match escape {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        other => other,
    }
}

/// Quotes bytes like Go's `%q`: what is not UTF-8 becomes `\x..`.
pub(crate) fn quote_bytes(bytes: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        let valid = model::labels::quote(chunk.valid());
        quoted.push_str(&valid[1..valid.len() - 1]);
        for byte in chunk.invalid() {
            quoted.push_str(&format!("\\x{byte:02x}"));
        }
    }
    quoted.push('"');
    quoted
}

/// Reads a number token as Go does: integers of base 0 first, then floats.
pub(super) fn parse_number(text: &str) -> Result<f64, String> {
    if let Some(value) = parse_integer(text) {
        return Ok(value as f64);
    }
    let fail = |why: &str| {
        Err(format!(
            "error parsing number: strconv.ParseFloat: parsing {}: {why}",
            model::labels::quote(text)
        ))
    };
    // Underscores and hexadecimal are for integers only.
    if text.contains('_') || text.starts_with("0x") || text.starts_with("0X") {
        return fail("invalid syntax");
    }
    match model::float::parse(text) {
        Some(value) if value.is_infinite() && !text.eq_ignore_ascii_case("inf") => fail("value out of range"),
        Some(value) => Ok(value),
        None => fail("invalid syntax"),
    }
}

/// Reads an integer like Go's `strconv.ParseInt(text, 0, 64)`, for text without a sign.
fn parse_integer(text: &str) -> Option<i64> {
    let lower = text.to_ascii_lowercase();
    let (digits, radix, prefixed) = match lower.as_bytes() {
        [b'0', b'x', ..] => (&lower[2..], 16, true),
        [b'0', _, ..] => (&lower[1..], 8, true),
        _ => (lower.as_str(), 10, false),
    };
    // An underscore stands between digits, or between the prefix and the first digit.
    let starts_well = prefixed || !digits.starts_with('_');
    if !starts_well || digits.ends_with('_') || digits.contains("__") || digits.is_empty() {
        return None;
    }
    i64::from_str_radix(&digits.replace('_', ""), radix).ok()
}

/// Reads a duration token, in seconds.
pub(super) fn parse_duration(text: &str) -> Result<f64, String> {
    const UNITS: [&str; 7] = ["ms", "s", "m", "h", "d", "w", "y"];
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = &rest[digits..digits + letters];
        if digits > 0 && letters > 0 && !UNITS.contains(&unit) {
            return Err(format!(
                "unknown unit {} in duration {}",
                model::labels::quote(unit),
                model::labels::quote(text)
            ));
        }
        if letters == 0 {
            break;
        }
        rest = &rest[digits + letters..];
    }
    let ms = model::time::parse_duration_ms(text).map_err(|message| {
        if message.contains("out of range") {
            "duration out of range".to_owned()
        } else {
            format!("not a valid duration string: {}", model::labels::quote(text))
        }
    })?;
    if ms as f64 > DURATION_MS_MAX {
        return Err("duration out of range".to_owned());
    }
    Ok(ms as f64 / 1000.0)
}
