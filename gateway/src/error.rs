//! Why a gateway cannot be built.

/// An error of starting up. What goes wrong later is answered to callers.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A limit has a value that cannot work.
    #[error("gateway configuration: {key} is 0, expected at least 1")]
    ZeroLimit {
        /// Which limit.
        key: &'static str,
    },
    /// The worker that opens or reads the cache directory died.
    #[error("reading the cache directory ended")]
    Cache(#[source] tokio::task::JoinError),
}
