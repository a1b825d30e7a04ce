//! The wire: generated code, its conversions to and from the model, and the error table.
//!
//! Wire types stop here and in the roles: a library crate's public signature names none of them.

pub mod connect;
pub mod convert;
pub mod error;
pub mod frame;

/// Remote write 1.0 and remote read.
#[allow(missing_docs, clippy::all, reason = "generated")]
pub mod prometheus {
    include!(concat!(env!("OUT_DIR"), "/prometheus.rs"));
}

macro_rules! package {
    ($(#[$doc:meta])* $name:ident, $path:literal) => {
        $(#[$doc])*
        #[allow(missing_docs, clippy::all, reason = "generated")]
        pub mod $name {
            include!(concat!(env!("OUT_DIR"), "/", $path, ".rs"));
        }
    };
}

package!(
    /// Raft between replicas.
    raft, "norn.raft.v1"
);
package!(
    /// The control group.
    control, "norn.control.v1"
);
package!(
    /// Appends.
    ingest, "norn.ingest.v1"
);
package!(
    /// Reads.
    store, "norn.store.v1"
);
package!(
    /// PromQL for other roles.
    query, "norn.query.v1"
);
package!(
    /// Targets.
    scrape, "norn.scrape.v1"
);
