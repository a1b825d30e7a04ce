//! Channels to other nodes: over TCP, or within the process when all roles run in one.
//!
//! A [`Connector`] gives one shared [`Channel`] an address. Services registered with [`Connector::serve_in_process`] are
//! called directly, through the same generated clients and servers, without a socket.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tonic::body::Body;
use tonic::transport::Endpoint;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

/// A connection that generated clients take; cheap to clone, safe to share.
pub type Channel = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, ChannelError>;

/// A call that did not reach its peer, or broke on the way.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ChannelError(tower::BoxError);

/// How long connecting may take before the peer counts as unreachable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// HTTP/2 keep-alive: a silent peer is found within this time plus its timeout.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// HTTP/2 flow-control windows; the default of 64 KiB throttles streams of batches and frames.
pub const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// The connection's window, shared by its streams.
pub const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// The largest message either side accepts.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Gives channels by address. Clones share the same channels.
#[derive(Clone, Default)]
pub struct Connector {
    channels: Arc<Mutex<HashMap<String, Channel>>>,
}

impl Connector {
    /// Answers calls to `address` by `routes` within this process from now on.
    pub fn serve_in_process(&self, address: &str, routes: tonic::service::Routes) {
        let service =
            ServiceExt::<http::Request<Body>>::map_err(routes.prepare(), |error| ChannelError(error.into()));
        let channel = BoxCloneSyncService::new(service);
        self.channels.lock().expect("no code panics under this lock").insert(address.to_owned(), channel);
    }

    /// Returns the channel to `host:port`; it connects when first used and reconnects by itself.
    ///
    /// # Errors
    /// A sentence when the address is not `host:port`.
    pub fn channel(&self, address: &str) -> Result<Channel, String> {
        let mut channels = self.channels.lock().expect("no code panics under this lock");
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|e| format!("{address:?} is not an address of the form host:port: {e}"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .tcp_nodelay(true);
        let channel =
            BoxCloneSyncService::new(endpoint.connect_lazy().map_err(|error| ChannelError(error.into())));
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }
}
