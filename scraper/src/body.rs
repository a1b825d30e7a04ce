//! The answer's body: its encoding undone within the limit.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use crate::ScraperError;

/// The largest body when the job sets no limit.
pub(crate) const BODY_BYTES_MAX: u64 = 512 << 20;

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyEncoding {
    Identity,
    Gzip,
}

impl BodyEncoding {
    /// Reads the `Content-Encoding` header, `""` when there is none.
    pub(crate) fn parse(header: &str) -> Result<Self, ScraperError> {
        match header.trim() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            other => Err(ScraperError::Encoding(format!("unsupported Content-Encoding {other:?}"))),
        }
    }
}

/// Returns a job's limit in bytes.
pub(crate) fn limit_of(configured: u64) -> u64 {
    if configured == 0 { BODY_BYTES_MAX } else { configured.min(BODY_BYTES_MAX) }
}

/// Undoes an encoding.
pub(crate) fn decode(body: Vec<u8>, encoding: BodyEncoding, limit: u64) -> Result<Vec<u8>, ScraperError> {
    let decoded = match encoding {
        BodyEncoding::Identity => body,
        BodyEncoding::Gzip => {
            let mut decoded = Vec::with_capacity(body.len().saturating_mul(4));
            let mut reader = MultiGzDecoder::new(body.as_slice()).take(limit.saturating_add(1));
            let fault = |e: std::io::Error| ScraperError::Encoding(format!("gzip: {e}"));
            reader.read_to_end(&mut decoded).map_err(fault)?;
            decoded
        }
    };
    if decoded.len() as u64 > limit { Err(ScraperError::BodyTooLarge) } else { Ok(decoded) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn undoes_gzip_within_the_limit() {
        let text = vec![b'x'; 10_000];
        assert_eq!(decode(gzip(&text), BodyEncoding::Gzip, 10_000).unwrap(), text);
        assert!(matches!(decode(gzip(&text), BodyEncoding::Gzip, 9_999), Err(ScraperError::BodyTooLarge)));
        assert!(matches!(decode(text, BodyEncoding::Identity, 9_999), Err(ScraperError::BodyTooLarge)));
        let mut torn = gzip(b"hello");
        torn.truncate(12);
        assert!(matches!(decode(torn, BodyEncoding::Gzip, 100), Err(ScraperError::Encoding(_))));
    }
}
