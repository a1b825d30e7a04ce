//! The connections of one HTTP listener: at most so many at a time, and none that is idle for ever.
//!
//! Beyond the limit new ones wait in the kernel's queue. The defaults are Prometheus's `--web.max-connections` and
//! `--web.read-timeout`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// The most connections at a time.
pub(super) const CONNECTIONS_MAX: usize = 512;
/// How long a connection may neither receive nor send.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// A listener with a limit.
pub(super) struct Limited {
    listener: TcpListener,
    slots: Arc<Semaphore>,
    open: Gauge,
}

impl Limited {
    pub(super) fn new(listener: TcpListener, connections_max: usize, open: Gauge) -> Self {
        Self { listener, slots: Arc::new(Semaphore::new(connections_max)), open }
    }
}

impl Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let slot = Arc::clone(&self.slots).acquire_owned().await.expect("the semaphore is never closed");
        // Axum's own accept tries again after the errors of single connections.
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // Answers are written in one piece; a connection that refuses the option works without it.
        let _ = stream.set_nodelay(true);
        self.open.inc();
        let open = OpenConnection { gauge: self.open.clone(), _slot: slot };
        (Connection { stream, idle: Box::pin(tokio::time::sleep(IDLE_MAX)), _open: open }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Counts one connection until it is closed.
struct OpenConnection {
    gauge: Gauge,
    _slot: OwnedSemaphorePermit,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

/// A connection that holds its place, and fails its reads when it was idle for too long.
pub(super) struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    _open: OpenConnection,
}

impl Connection {
    /// Puts the end of the connection's patience off after progress.
    fn progressed<T>(&mut self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.idle.as_mut().reset(Instant::now() + IDLE_MAX);
        }
        result
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        if result.is_pending() {
            ready!(self.idle.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        self.progressed(result)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.progressed(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.progressed(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn limited(connections_max: usize) -> (Limited, SocketAddr, Gauge) {
        let open = Gauge::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Limited::new(listener, connections_max, open.clone()), address, open)
    }

    #[tokio::test]
    async fn one_beyond_the_limit_waits_for_a_place() {
        let (mut listener, address, open) = limited(1).await;
        let _clients =
            (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
        let (first, _) = listener.accept().await;
        assert_eq!(open.get(), 1);
        let mut second = Box::pin(listener.accept());
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        let _second = second.await;
        assert_eq!(open.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_and_a_busy_one_does_not() {
        let (mut listener, address, _) = limited(9).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut server, _) = listener.accept().await;
        let began = Instant::now();
        tokio::time::advance(IDLE_MAX / 2).await;
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'x');
        let error = server.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= IDLE_MAX + IDLE_MAX / 2);
    }
}
