//! The one table from error kind to gRPC code, HTTP status, Prometheus `errorType` and whether to retry.

use model::ErrorKind;
use tonic::{Code, Status};

/// What one kind of error becomes on each wire.
#[derive(Clone, Copy, Debug)]
pub struct ErrorRow {
    /// The kind.
    pub kind: ErrorKind,
    /// Its name on our own wire.
    pub name: &'static str,
    /// gRPC status code.
    pub code: Code,
    /// HTTP status of the Prometheus API.
    pub http: u16,
    /// `errorType` of the Prometheus API.
    pub prometheus: &'static str,
    /// Whether the same request may succeed later or elsewhere.
    pub retry: bool,
}

const fn row(
    kind: ErrorKind,
    name: &'static str,
    code: Code,
    http: u16,
    prometheus: &'static str,
    retry: bool,
) -> ErrorRow {
    ErrorRow { kind, name, code, http, prometheus, retry }
}

/// Every kind, once.
pub const ERROR_TABLE: [ErrorRow; 10] = [
    row(ErrorKind::Invalid, "invalid", Code::InvalidArgument, 400, "bad_data", false),
    row(ErrorKind::NotFound, "not_found", Code::NotFound, 404, "not_found", false),
    row(ErrorKind::LimitExceeded, "limit_exceeded", Code::ResourceExhausted, 422, "execution", false),
    row(ErrorKind::Conflict, "conflict", Code::Aborted, 503, "unavailable", true),
    row(ErrorKind::NotLeader, "not_leader", Code::FailedPrecondition, 503, "unavailable", true),
    row(ErrorKind::Unavailable, "unavailable", Code::Unavailable, 503, "unavailable", true),
    row(ErrorKind::Timeout, "timeout", Code::DeadlineExceeded, 503, "timeout", true),
    row(ErrorKind::Cancelled, "cancelled", Code::Cancelled, 503, "canceled", false),
    row(ErrorKind::Corrupt, "corrupt", Code::DataLoss, 500, "internal", false),
    row(ErrorKind::Internal, "internal", Code::Internal, 500, "internal", false),
];

/// Returns a kind's row.
pub fn row_of(kind: ErrorKind) -> &'static ErrorRow {
    ERROR_TABLE.iter().find(|row| row.kind == kind).expect("the table holds every kind")
}

/// Returns the kind of a name, [`ErrorKind::Internal`] for a name that this version does not know.
pub fn kind_of_name(name: &str) -> ErrorKind {
    ERROR_TABLE.iter().find(|row| row.name == name).map_or(ErrorKind::Internal, |row| row.kind)
}

/// Returns the kind of a gRPC status; a transport failure is [`ErrorKind::Unavailable`].
pub fn kind_of_status(status: &Status) -> ErrorKind {
    if status.code() == Code::Unknown {
        return ErrorKind::Unavailable;
    }
    ERROR_TABLE.iter().find(|row| row.code == status.code()).map_or(ErrorKind::Internal, |row| row.kind)
}

/// The metadata key under which a follower names the leader's address.
const LEADER_KEY: &str = "norn-leader";

/// Makes a gRPC status of a kind and a sentence.
pub fn status(kind: ErrorKind, message: impl Into<String>) -> Status {
    Status::new(row_of(kind).code, message)
}

/// Makes the answer of a node that does not lead: the leader's address travels in the metadata, when it is known.
pub fn not_leader(leader_address: Option<&str>) -> Status {
    let mut status = status(ErrorKind::NotLeader, "this node does not lead the group");
    if let Some(value) = leader_address.and_then(|address| address.parse().ok()) {
        status.metadata_mut().insert(LEADER_KEY, value);
    }
    status
}

/// Reads the leader's address from a [`not_leader`] answer.
pub fn leader_address(status: &Status) -> Option<String> {
    status.metadata().get(LEADER_KEY)?.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_and_each_code_stands_once() {
        for row in &ERROR_TABLE {
            assert_eq!(row_of(row.kind).name, row.name);
            assert_eq!(kind_of_name(row.name), row.kind);
            assert_eq!(kind_of_status(&status(row.kind, "x")), row.kind, "{}", row.name);
        }
    }

    #[test]
    fn a_follower_names_the_leader() {
        assert_eq!(leader_address(&not_leader(Some("127.0.0.1:9"))).as_deref(), Some("127.0.0.1:9"));
        assert_eq!(leader_address(&not_leader(None)), None);
    }
}
