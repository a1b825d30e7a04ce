//! What can go wrong while a querier is built.

/// Why there is no querier.
#[derive(Debug, thiserror::Error)]
pub enum QuerierError {
    /// A limit that lets nothing through.
    #[error("{name} is 0, so no query could run: expected at least 1")]
    ZeroLimit {
        /// The flag that sets it.
        name: &'static str,
    },
}
