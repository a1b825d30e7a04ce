//! The labels of a series on their way in: a label set, or the bytes a sender sent, decoded when somebody needs them.
//!
//! Most writes are of series whose writer needs no labels, since it knows what the shard calls the series. It recognises the
//! bytes, and nobody checks, sorts and copies the labels of such a series again. What the bytes mean is known to whoever
//! received them ([`SentLabels::decode`]).

use bytes::Bytes;
use model::LabelSet;

/// The full labels of a series, without external labels.
#[derive(Clone, Debug, PartialEq)]
pub enum SeriesLabels {
    /// A label set.
    Set(LabelSet),
    /// Labels as they were sent, not looked at yet.
    Sent(SentLabels),
}

/// Labels as they were sent.
#[derive(Clone, Debug)]
pub struct SentLabels {
    /// What was sent. Equal bytes are equal labels; the reverse need not hold.
    pub bytes: Bytes,
    /// Decodes the bytes. The error is the reason, in words for the sender, why the series cannot be stored.
    pub decode: fn(&[u8]) -> Result<LabelSet, String>,
}

impl PartialEq for SentLabels {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl From<LabelSet> for SeriesLabels {
    fn from(labels: LabelSet) -> Self {
        Self::Set(labels)
    }
}

impl SeriesLabels {
    /// Returns the label set; decodes sent labels each time.
    ///
    /// # Errors
    /// The reason, in words for the sender, why sent labels are none that can be stored.
    pub fn decode(&self) -> Result<LabelSet, String> {
        match self {
            Self::Set(labels) => Ok(labels.clone()),
            Self::Sent(sent) => (sent.decode)(&sent.bytes),
        }
    }
}
