//! Why an ingester cannot be built.

use std::path::PathBuf;

/// An error of starting up. What goes wrong later is answered to callers or ends a supervised worker.
#[derive(Debug, thiserror::Error)]
pub enum IngesterError {
    /// The data directory cannot be used.
    #[error("data directory {}: {what}", path.display())]
    DataDir {
        /// Which.
        path: PathBuf,
        /// What failed and what to do.
        what: String,
        /// The operating system's word.
        #[source]
        source: Option<std::io::Error>,
    },
    /// The identity in the data directory is another one's.
    #[error("data directory {}: belongs to {found}, but this is {expected}: use another --data.dir or restore the name", path.display())]
    WrongIdentity {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asks.
        expected: String,
    },
    /// The ingester's name is not among the first ones.
    #[error("ingester {name:?} is not in norn.cluster.ingesters, which names {known}")]
    UnknownName {
        /// Its name.
        name: String,
        /// The names that are there.
        known: String,
    },
    /// The cluster knows this node with another disk.
    #[error("the cluster refuses this node: {0}")]
    Refused(#[source] session::SessionError),
    /// The Raft host does not open.
    #[error("cannot open the Raft log: {0}")]
    Consensus(#[from] consensus::ConsensusError),
}
