//! What a caller can do about an error: the few kinds that every crate's error type maps to.
//!
//! The one table from kind to gRPC code, HTTP status, Prometheus `errorType` and retry stands in `proto`.

/// The prescriptive kinds of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request itself is wrong: the caller must change it.
    Invalid,
    /// What was asked for does not exist.
    NotFound,
    /// A named limit was reached: ask for less, or raise the limit.
    LimitExceeded,
    /// Somebody else was first, or the caller's view is out of date: refresh, then decide again.
    Conflict,
    /// This node does not lead the group: go to the leader.
    NotLeader,
    /// Cannot be served at this moment: try again later, or elsewhere.
    Unavailable,
    /// The deadline passed; a write may or may not have happened.
    Timeout,
    /// The caller went away.
    Cancelled,
    /// Stored bytes are damaged; the message names the place.
    Corrupt,
    /// A fault of ours.
    Internal,
}
