//! What became of a batch: exact counts, the refs of what it declared, and what must be sent again with labels.

use bytes::Bytes;
use model::SeriesRef;
use model::varint::{Cursor, push_signed, push_unsigned};

use crate::BatchError;

const VERSION: u8 = 2;

/// Why a sample was refused for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// The timestamp is taken by another value; the first one stays.
    Conflicting,
    /// Older than the series' newest sample, and no out-of-order window is configured.
    OutOfOrder,
    /// Older than what the shard still accepts.
    TooOld,
    /// Further in the future than allowed.
    TooNew,
    /// The series is new and the shard holds as many as it may.
    OverLimit,
}

/// What has taken the time of a conflicting sample.
#[derive(Clone, Copy, Debug)]
pub enum Existing {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram,
}

impl PartialEq for Existing {
    /// Compares floats by their bits.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Histogram, Self::Histogram) => true,
            _ => false,
        }
    }
}

impl Eq for Existing {}

const EXISTING_FLOAT: u8 = 1;
const EXISTING_HISTOGRAM: u8 = 2;

/// Codes in the bytes, from 1; 0 stands for none.
const REFUSALS: [RefusalKind; 5] = [
    RefusalKind::Conflicting,
    RefusalKind::OutOfOrder,
    RefusalKind::TooOld,
    RefusalKind::TooNew,
    RefusalKind::OverLimit,
];

/// What became of each sample of a batch. The counts and `unknown_samples` together are all samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchOutcome {
    /// Stored.
    pub accepted: u64,
    /// Already there with the same bits: success.
    pub duplicate: u64,
    /// See [`RefusalKind::Conflicting`].
    pub conflicting: u64,
    /// See [`RefusalKind::OutOfOrder`].
    pub out_of_order: u64,
    /// See [`RefusalKind::TooOld`].
    pub too_old: u64,
    /// See [`RefusalKind::TooNew`].
    pub too_new: u64,
    /// See [`RefusalKind::OverLimit`].
    pub over_limit: u64,
    /// One a declared series, in order; `None` where the shard holds as many series as it may.
    pub declared_refs: Vec<Option<SeriesRef>>,
    /// Positions of samples whose ref the shard does not know, ascending: send them again with labels.
    pub unknown_samples: Vec<u32>,
    /// The position of the first refused sample, and why.
    pub first_refusal: Option<(u32, RefusalKind)>,
    /// With what the first refused sample is in conflict, if it is.
    pub first_existing: Option<Existing>,
}

impl BatchOutcome {
    /// Counts a sample at a position of the batch whose time is taken.
    pub fn conflict(&mut self, position: u32, existing: Existing) {
        if self.first_refusal.is_none() {
            self.first_existing = Some(existing);
        }
        self.refuse(position, RefusalKind::Conflicting);
    }

    /// Counts a refused sample at a position of the batch; the first one is remembered.
    pub fn refuse(&mut self, position: u32, kind: RefusalKind) {
        *match kind {
            RefusalKind::Conflicting => &mut self.conflicting,
            RefusalKind::OutOfOrder => &mut self.out_of_order,
            RefusalKind::TooOld => &mut self.too_old,
            RefusalKind::TooNew => &mut self.too_new,
            RefusalKind::OverLimit => &mut self.over_limit,
        } += 1;
        self.first_refusal.get_or_insert((position, kind));
    }

    /// Returns how many samples were refused for good: sending them again cannot help.
    pub fn refused(&self) -> u64 {
        self.conflicting + self.out_of_order + self.too_old + self.too_new + self.over_limit
    }

    fn counts(&self) -> [u64; 7] {
        [
            self.accepted,
            self.duplicate,
            self.conflicting,
            self.out_of_order,
            self.too_old,
            self.too_new,
            self.over_limit,
        ]
    }

    /// Returns the bytes that [`BatchOutcome::decode`] reads; `docs/formats/batch.md`.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(32 + self.declared_refs.len() * 3 + self.unknown_samples.len() * 2);
        out.push(VERSION);
        self.counts().iter().for_each(|count| push_unsigned(&mut out, *count));
        push_unsigned(&mut out, self.declared_refs.len() as u64);
        let mut last = 0;
        for declared in &self.declared_refs {
            out.push(u8::from(declared.is_some()));
            if let Some(series) = declared {
                push_signed(&mut out, series.0.wrapping_sub(last) as i64);
                last = series.0;
            }
        }
        push_unsigned(&mut out, self.unknown_samples.len() as u64);
        let mut last = 0;
        for position in &self.unknown_samples {
            push_signed(&mut out, i64::from(*position) - last);
            last = i64::from(*position);
        }
        let code = self.first_refusal.and_then(|(_, kind)| REFUSALS.iter().position(|known| *known == kind));
        out.push(code.map_or(0, |code| code as u8 + 1));
        if let Some((position, _)) = self.first_refusal {
            push_unsigned(&mut out, u64::from(position));
            match self.first_existing {
                None => out.push(0),
                Some(Existing::Float(float)) => {
                    out.push(EXISTING_FLOAT);
                    out.extend_from_slice(&float.to_bits().to_le_bytes());
                }
                Some(Existing::Histogram) => out.push(EXISTING_HISTOGRAM),
            }
        }
        Bytes::from(out)
    }

    /// Reads an outcome.
    ///
    /// # Errors
    /// [`BatchError`] with the place when the bytes are not an outcome.
    pub fn decode(bytes: &[u8]) -> Result<Self, BatchError> {
        let mut cursor = Cursor::new(bytes);
        match cursor.byte()? {
            VERSION => {}
            version => return Err(BatchError::UnknownVersion { version }),
        }
        let mut counts = [0; 7];
        for count in &mut counts {
            *count = cursor.unsigned()?;
        }
        let [accepted, duplicate, conflicting, out_of_order, too_old, too_new, over_limit] = counts;
        let declared_refs = read_refs(&mut cursor)?;
        let unknown_samples = read_positions(&mut cursor)?;
        let first_refusal = match usize::from(cursor.byte()?) {
            0 => None,
            code => {
                let kind = REFUSALS.get(code - 1).copied();
                let kind = kind.ok_or_else(|| cursor.malformed("the kind of a refusal is unknown"))?;
                let position = u32::try_from(cursor.unsigned()?);
                Some((position.map_err(|_| cursor.malformed("a position is out of range"))?, kind))
            }
        };
        let first_existing = match first_refusal.map(|_| cursor.byte()).transpose()? {
            None | Some(0) => None,
            Some(EXISTING_FLOAT) => Some(Existing::Float(f64::from_bits(cursor.word()?))),
            Some(EXISTING_HISTOGRAM) => Some(Existing::Histogram),
            Some(_) => return Err(cursor.malformed("the kind of an existing sample is unknown").into()),
        };
        cursor.finish()?;
        Ok(Self {
            accepted,
            duplicate,
            conflicting,
            out_of_order,
            too_old,
            too_new,
            over_limit,
            declared_refs,
            unknown_samples,
            first_refusal,
            first_existing,
        })
    }
}

fn read_refs(cursor: &mut Cursor<'_>) -> Result<Vec<Option<SeriesRef>>, BatchError> {
    let count = cursor.count(1)?;
    let mut last = 0u64;
    (0..count)
        .map(|_| match cursor.byte()? {
            0 => Ok(None),
            1 => {
                last = last.wrapping_add(cursor.signed()? as u64);
                Ok(Some(SeriesRef(last)))
            }
            _ => Err(cursor.malformed("a declared series has neither a ref nor none").into()),
        })
        .collect()
}

fn read_positions(cursor: &mut Cursor<'_>) -> Result<Vec<u32>, BatchError> {
    let count = cursor.count(1)?;
    let mut last = 0i64;
    (0..count)
        .map(|_| {
            last = last.wrapping_add(cursor.signed()?);
            u32::try_from(last).map_err(|_| cursor.malformed("a position is out of range").into())
        })
        .collect()
}
