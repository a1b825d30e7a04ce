//! An S3 server in memory: one bucket, one pair of keys, real HTTP and real signatures on a loopback port.
//!
//! It holds what Norn needs of S3 to the letter: conditional puts are atomic, ranges are exact, lists are paged, a request
//! with a wrong signature is refused. It forgets everything when it is dropped. It is not a general S3 server: no
//! versions, no access rules, no second bucket.
//!
//! Life cycle:
//! 1. [`MemS3::start`] binds a free port and serves on a thread of its own, so that a test may block its own threads;
//! 2. the test hands [`MemS3::endpoint`] or [`MemS3::thanos_yaml`] to whatever shall use the server, switches faults by
//!    [`MemS3::faults`], and looks at [`MemS3::counters`], [`MemS3::keys`] and [`MemS3::object`];
//! 3. dropping it closes the port and all connections.

mod bucket;
mod counters;
mod faults;
mod list;
mod operations;
mod server;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use bucket::Bucket;
pub use counters::Counters;
use counters::Counting;
pub use faults::Faults;

/// The one bucket.
pub const BUCKET: &str = "norn-test";
/// The region that signatures must name.
pub const REGION: &str = "us-east-1";
/// The one access key.
pub const ACCESS_KEY: &str = "norn-test-access-key";
/// Its secret.
pub const SECRET_KEY: &str = "norn-test-secret-key";

/// What the parts of one server share.
#[derive(Default)]
struct Shared {
    bucket: Bucket,
    counting: Counting,
    faults: Faults,
}

/// A running server; stops when dropped.
pub struct MemS3 {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl MemS3 {
    /// Starts an empty server on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be bound or no thread started.
    pub fn start() -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let stop = CancellationToken::new();
        let serve = server::prepare(listener, Arc::clone(&shared), stop.clone())?;
        let thread = std::thread::Builder::new().name("mem-s3".to_owned()).spawn(serve)?;
        Ok(Self { shared, address, stop, thread: Some(thread) })
    }

    /// Returns `host:port`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the endpoint's URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the text of an object store configuration file that names this server, keys included.
    pub fn thanos_yaml(&self, prefix: &str) -> String {
        format!(
            "type: S3\nconfig:\n  bucket: {BUCKET}\n  endpoint: {}\n  region: {REGION}\n  insecure: true\n  \
             access_key: {ACCESS_KEY}\n  secret_key: {SECRET_KEY}\nprefix: {prefix:?}\n",
            self.address
        )
    }

    /// Returns the switches of the faults.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Returns what was asked for until now.
    pub fn counters(&self) -> Counters {
        self.shared.counting.snapshot()
    }

    /// Returns the keys of all objects in order.
    pub fn keys(&self) -> Vec<String> {
        self.shared.bucket.keys()
    }

    /// Returns the contents of an object.
    pub fn object(&self, key: &str) -> Option<Bytes> {
        self.shared.bucket.get(key).map(|object| object.bytes)
    }

    /// Sets the contents of an object behind everybody's back, as damage would; `None` deletes it.
    pub fn tamper(&self, key: &str, bytes: Option<Bytes>) {
        self.shared.bucket.tamper(key, bytes);
    }
}

impl Drop for MemS3 {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic of the server's thread was printed by it; the test that saw its effects has failed by itself.
            drop(thread.join());
        }
    }
}
