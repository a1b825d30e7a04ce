//! Sizes as Prometheus writes them: `512MB` and `512MiB` are both 512 · 2^20 bytes.

const UNITS: [(&str, u32); 7] = [("", 0), ("K", 10), ("M", 20), ("G", 30), ("T", 40), ("P", 50), ("E", 60)];

/// Parses a size with its unit into bytes; `0` needs no unit.
///
/// # Errors
/// A sentence when the text is no number with a unit, or too large.
pub fn parse_size_bytes(text: &str) -> Result<u64, String> {
    if text == "0" {
        return Ok(0);
    }
    let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (number, unit) = text.split_at(digits);
    let fault = || format!("not a valid size: {text:?}, expected a number with a unit like 64MB");
    let prefix = unit.strip_suffix("iB").filter(|p| !p.is_empty()).or_else(|| unit.strip_suffix('B'));
    let prefix = prefix.ok_or_else(fault)?;
    let (_, shift) = UNITS.iter().find(|(name, _)| *name == prefix).ok_or_else(fault)?;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift).ok_or_else(|| format!("size {text:?} is too large"));
    }
    let number: f64 = number.parse().map_err(|_| fault())?;
    let bytes = number * (1u64 << shift) as f64;
    if bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(format!("size {text:?} is too large")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_powers_of_two() {
        for (text, bytes) in
            [("0", 0), ("1B", 1), ("10KB", 10_240), ("10KiB", 10_240), ("1.5MB", 1_572_864), ("2GB", 2 << 30)]
        {
            assert_eq!(parse_size_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "1", "MB", "1iB", "1XB", "-1B", "1.1.1B", "99999999999EB", "1 MB"] {
            assert!(parse_size_bytes(text).is_err(), "{text}");
        }
    }
}
