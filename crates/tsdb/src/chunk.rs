//! The data of one chunk: a run of samples of one series in one of Prometheus's encodings.
//!
//! Read are XOR (floats), histograms and float histograms; encodings that are not (XOR2, those with start timestamps) are
//! refused by name. Integer histograms become float ones, as in Norn's own chunks: whole counts up to 2^53 stay as they are.
//!
//! Not here: the length, encoding byte and checksum around the data ([`crate::segments`]). Bytes: Prometheus
//! `tsdb/docs/format/chunks.md`. Every decoder takes memory in proportion to its input, within [`CELLS_MAX`].

pub(crate) mod histogram;
pub(crate) mod xor;

use std::ops::Range;

use model::Samples;

use crate::error::ChunkFault;

/// How many numbers the histograms of one chunk may have together: a bit of a chunk can stand for one.
pub(crate) const CELLS_MAX: usize = 1 << 24;
/// How many samples a chunk counts at the most: its counter has 16 bits.
pub(crate) const SAMPLES_MAX: usize = u16::MAX as usize;

/// How the samples of a chunk are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Floats.
    Xor,
    /// Histograms of whole counts.
    Histogram,
    /// Histograms of float counts.
    FloatHistogram,
}

impl Encoding {
    /// Returns the byte that stands for it.
    pub fn code(self) -> u8 {
        match self {
            Self::Xor => 1,
            Self::Histogram => 2,
            Self::FloatHistogram => 3,
        }
    }

    /// Returns the encoding that a byte stands for.
    ///
    /// # Errors
    /// [`ChunkFault::Encoding`] when this program does not read it.
    pub fn of_code(code: u8) -> Result<Self, ChunkFault> {
        let name = match code {
            1 => return Ok(Self::Xor),
            2 => return Ok(Self::Histogram),
            3 => return Ok(Self::FloatHistogram),
            4 => "XOR2",
            5 => "histogram with start timestamps",
            6 => "float histogram with start timestamps",
            _ => "unknown",
        };
        Err(ChunkFault::Encoding { code, name })
    }
}

/// Appends the samples of a chunk. What `out` holds already is not looked at; on an error it is as before.
///
/// # Errors
/// [`ChunkFault`] when the data are none of this encoding, or timestamps do not ascend.
pub fn decode(encoding: Encoding, data: &[u8], out: &mut Samples) -> Result<(), ChunkFault> {
    let before = out.len();
    let decoded = match encoding {
        Encoding::Xor => xor::decode(data, out),
        Encoding::Histogram => histogram::decode_integers(data, out),
        Encoding::FloatHistogram => histogram::decode_floats(data, out),
    };
    let ascend = |out: &Samples| out.timestamps[before..].is_sorted_by(|a, b| a < b);
    let checked = decoded.and_then(|()| match ascend(out) {
        true => Ok(()),
        false => Err(ChunkFault::Malformed("timestamps do not ascend")),
    });
    if checked.is_err() {
        out.truncate(before);
    }
    checked
}

/// One encoded chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// How.
    pub encoding: Encoding,
    /// What [`decode`] reads.
    pub data: Vec<u8>,
    /// First and last timestamp, both inclusive.
    pub range_ms: (i64, i64),
    /// How many samples.
    pub samples: usize,
}

/// Encodes the samples at some positions, which one chunk can hold: [`runs`] yields such positions.
pub fn encode(samples: &Samples, run: Range<usize>) -> Encoded {
    let range_ms = (samples.timestamps[run.start], samples.timestamps[run.end - 1]);
    let (encoding, data) = match samples.histogram(run.start) {
        None => (Encoding::Xor, xor::encode(samples, run.clone())),
        Some(_) if histogram::is_whole(samples, run.clone()) => {
            (Encoding::Histogram, histogram::encode_integers(samples, run.clone()))
        }
        Some(_) => (Encoding::FloatHistogram, histogram::encode_floats(samples, run.clone())),
    };
    Encoded { encoding, data, range_ms, samples: run.len() }
}

/// Cuts samples into runs of at most `samples_max` that one chunk each can hold: of one kind; histograms of one layout,
/// without a counter reset but at the start, since a chunk says of the others that they are none.
///
/// # Panics
/// When `samples_max` is 0.
pub fn runs(samples: &Samples, samples_max: usize) -> Vec<Range<usize>> {
    assert!(samples_max > 0, "a chunk holds a sample");
    let mut runs: Vec<Range<usize>> = Vec::new();
    for at in 0..samples.len() {
        let joins = |run: &&mut Range<usize>| {
            run.len() < samples_max.min(SAMPLES_MAX)
                && match (samples.histogram(run.end - 1), samples.histogram(at)) {
                    (None, None) => true,
                    (Some(last), Some(next)) => histogram::continues(last, next),
                    _ => false,
                }
        };
        match runs.last_mut().filter(joins) {
            Some(run) => run.end = at + 1,
            None => runs.push(at..at + 1),
        }
    }
    runs
}
