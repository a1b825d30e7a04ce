//! Label names in URL paths: `U__` escapes names that are not legacy identifiers.
//!
//! `__` stands for `_`, and `_HEX_` for a character by its code point. Source: `UnescapeName` with the values scheme in
//! Prometheus's `common/model/metric.go`.

/// Most digits of a code point.
const DIGITS_MAX: usize = 6;

/// Returns the name that an escaped one stands for; a name that is not escaped, or wrongly, stands for itself.
pub(crate) fn unescape(name: &str) -> String {
    name.strip_prefix("U__").and_then(decode).unwrap_or_else(|| name.to_owned())
}

fn decode(escaped: &str) -> Option<String> {
    let mut name = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        name.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.find('_')?;
        if end == 0 {
            name.push('_');
        } else if end <= DIGITS_MAX {
            name.push(char::from_u32(u32::from_str_radix(&rest[..end], 16).ok()?)?);
        } else {
            return None;
        }
        rest = &rest[end + 1..];
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_escaped_names() {
        for (escaped, name) in [
            ("job", "job"),
            ("U__http_2e_status", "http.status"),
            ("U__a__b", "a_b"),
            ("U___1F600_x", "\u{1F600}x"),
            ("U__a_zz_", "U__a_zz_"),
            ("U__a_2e", "U__a_2e"),
            ("U__a_", "U__a_"),
            ("U__a_1234567_", "U__a_1234567_"),
            ("U__a_d800_", "U__a_d800_"),
        ] {
            assert_eq!(unescape(escaped), name, "{escaped}");
        }
    }
}
