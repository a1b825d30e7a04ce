//! The `Authorization` header. Files are read for each request, so that a rotated secret is used at once.

use config::{Authentication, Source};
use http::HeaderValue;

use crate::ScraperError;

/// Returns the header's value.
///
/// # Errors
/// [`ScraperError::Credentials`] for a file that cannot be read, [`ScraperError::BadTarget`] for text no header may hold.
pub(crate) async fn header(
    authentication: Option<&Authentication>,
) -> Result<Option<HeaderValue>, ScraperError> {
    let text = match authentication {
        None => return Ok(None),
        Some(Authentication::Basic { username, password }) => {
            let pair = format!("{}:{}", read(username).await?, read(password).await?);
            format!("Basic {}", base64(pair.as_bytes()))
        }
        Some(Authentication::Credentials { scheme, credentials }) => {
            format!("{scheme} {}", read(credentials).await?)
        }
    };
    let fault = |_| ScraperError::BadTarget("credentials hold characters that no header may hold".to_owned());
    let mut value = HeaderValue::from_str(&text).map_err(fault)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

async fn read(source: &Source) -> Result<String, ScraperError> {
    match source {
        Source::Inline(secret) => Ok(secret.expose().to_owned()),
        Source::File(path) => match tokio::fs::read_to_string(path).await {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(source) => Err(ScraperError::Credentials { path: path.clone(), source }),
        },
    }
}

/// Standard base 64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for position in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * position)) as usize & 63];
            text.push(if position <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_rfc() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
