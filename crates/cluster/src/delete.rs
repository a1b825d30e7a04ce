//! Requests to delete samples: what they name, and what the catalogue keeps of one until no block holds such a sample.
//!
//! Life cycle:
//! 1. each shard's log takes the order as an entry; its head masks what it holds. The entry's index tells which blocks are
//!    older: those cut before it hold samples as they were before the delete;
//! 2. the catalogue takes the order with the indexes of all shards ([`crate::Command::RequestDelete`]) and notes it at every
//!    block that was cut before; a window that is frozen and not published yet is waited for;
//! 3. readers of a block leave out what is noted at it; merges fold it in, and what was noted later goes over to the output;
//! 4. the request leaves when it is noted nowhere and no frozen window is waited for.
//!
//! Not here: which samples a selector means (`selection`), and when a block is rewritten (the compactor's planner).

use std::collections::BTreeMap;
use std::fmt;

use model::{BlockId, BlockMeta, MatchOp, Matcher, ShardId, TimeRange, regexp};
use serde::{Deserialize, Serialize};

/// How many requests the catalogue holds at the most.
pub const DELETES_MAX: usize = 1000;
/// How many notes, each of one request at one block, the catalogue holds at the most.
pub const DELETE_NOTES_MAX: usize = 1_000_000;
/// How many bytes the selectors of one request take at the most, as text.
pub const DELETE_SELECTORS_BYTES_MAX: usize = 16 << 10;
/// How many requests that left are remembered, so that a late repetition does not delete what was written since.
pub(crate) const DELETES_REMEMBERED_MAX: usize = 1000;

/// Names a request: random, made by whoever accepted it, so that every step can be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct DeleteId(pub u128);

impl fmt::Display for DeleteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl From<DeleteId> for String {
    fn from(id: DeleteId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for DeleteId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let id = u128::from_str_radix(&text, 16).ok().filter(|_| text.len() == 32);
        id.map(Self)
            .ok_or_else(|| format!("{text:?} is not the id of a delete: expected 32 hexadecimal digits"))
    }
}

/// A matcher as it is kept: its text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MatcherText {
    /// The label's name.
    pub name: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub op: String,
    /// The value or the pattern.
    pub value: String,
}

impl From<&Matcher> for MatcherText {
    fn from(matcher: &Matcher) -> Self {
        let (name, value) = (matcher.name.to_string(), matcher.value.to_string());
        Self { name, op: matcher.op.as_str().to_owned(), value }
    }
}

impl MatcherText {
    /// Returns the matcher.
    ///
    /// # Errors
    /// A sentence when the operator is none or the pattern does not compile.
    pub fn compile(&self) -> Result<Matcher, String> {
        let all = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
        let op = all.into_iter().find(|op| op.as_str() == self.op);
        let op = op.ok_or_else(|| format!("{:?} is no operator of a matcher", self.op))?;
        let compiled = Matcher::new(op, self.name.as_str(), self.value.as_str());
        compiled.map_err(|error: regexp::RegexpError| error.to_string())
    }
}

/// What is to be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteOrder {
    /// Its name.
    pub id: DeleteId,
    /// Series that satisfy all matchers of one of these, external labels included.
    pub selectors: Vec<Vec<MatcherText>>,
    /// First millisecond, inclusive.
    pub start_ms: i64,
    /// Last millisecond, inclusive.
    pub end_ms: i64,
}

impl DeleteOrder {
    /// Returns the order's encoding, JSON like that of commands.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers")
    }

    /// Reads an order.
    ///
    /// # Errors
    /// A sentence when the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|e| format!("not an order to delete of this version: {e}"))
    }

    /// Returns the time it is about.
    pub fn range(&self) -> TimeRange {
        TimeRange::new(self.start_ms, self.end_ms)
    }

    /// Returns its selectors.
    ///
    /// # Errors
    /// As [`MatcherText::compile`].
    pub fn compile(&self) -> Result<Vec<Vec<Matcher>>, String> {
        let selector = |matchers: &Vec<MatcherText>| matchers.iter().map(MatcherText::compile).collect();
        self.selectors.iter().map(selector).collect()
    }

    /// Tells what is wrong with the order itself, if anything is.
    ///
    /// # Errors
    /// A sentence when its selectors do not compile or are too long.
    pub fn check(&self) -> Result<(), String> {
        let text = |matcher: &MatcherText| matcher.name.len() + matcher.op.len() + matcher.value.len();
        let bytes: usize = self.selectors.iter().flatten().map(text).sum();
        if bytes > DELETE_SELECTORS_BYTES_MAX {
            return Err(format!(
                "the selectors of a delete take {bytes} bytes, more than {DELETE_SELECTORS_BYTES_MAX}"
            ));
        }
        self.compile().map(drop)
    }
}

/// Where a shard's log took an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardDelete {
    /// Which shard.
    pub shard: ShardId,
    /// The entry's index: blocks cut before it are subject to the order.
    pub index: u64,
    /// The end (exclusive, ms) of the window that was frozen then and may not be published yet.
    pub frozen_until_ms: Option<i64>,
}

/// A request that some block is subject to, or will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteRequest {
    /// What is to be deleted.
    pub order: DeleteOrder,
    /// The proposer's wall clock, ms.
    pub at_ms: i64,
    /// Whether blocks are to be rewritten for it even when little of them is deleted.
    #[serde(default)]
    pub clean: bool,
    /// Shards with a window that was frozen before the delete and is not published: the entry's index and the window's end.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) awaits: BTreeMap<ShardId, (u64, i64)>,
}

impl DeleteRequest {
    /// Tells whether a block that is published now was cut before the delete.
    pub(crate) fn concerns_published(&self, meta: &BlockMeta) -> bool {
        let cut_before = self.awaits.get(&meta.shard).is_some_and(|(index, _)| meta.cut_index < *index);
        cut_before && meta.range.overlaps(&self.order.range())
    }
}

/// What a job has to leave out of its inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobDelete {
    /// What is deleted.
    pub order: DeleteOrder,
    /// Of which inputs, ascending; the others were cut after the delete.
    pub inputs: Vec<BlockId>,
}

/// How many samples of a block a request deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessment {
    /// Of which block.
    pub block: BlockId,
    /// By which request.
    pub delete: DeleteId,
    /// At the most so many; 0 when there is none.
    pub samples: u64,
}
