//! The life of a process that runs roles.
//!
//! 1. Logs, the data directory's lock, the listening sockets: what a person can get wrong, as one line each.
//! 2. [`roles::build`] makes the roles; recovery of logs happens here, and HTTP says meanwhile that the process lives.
//! 3. HTTP and gRPC are served, the roles' workers start, and the process becomes ready when every gate is open.
//! 4. SIGTERM or SIGINT: not ready, no new requests, workers end within a deadline, the Raft log is closed.
//!
//! `kill -9` at any moment is safe; a graceful stop only spares the others the wait for a lease.

use std::fmt::Display;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use object_store::ObjectStore;
use proto::connect::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES};
use service::Context;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tracing::info;

use crate::cli::LogFlags;
use crate::data_dir::DataDir;
use crate::fault::Fault;
use crate::settings::{self, Mode, Settings};
use crate::signals::Signals;
use crate::{listen, roles};

/// How long the workers have to end after a signal.
const STOP_DEADLINE: Duration = Duration::from_secs(8);
/// How often readiness is looked at to tell a person about it.
const READY_PAUSE: Duration = Duration::from_millis(20);
/// HTTP/2 keep-alive of the server: a silent peer is found within this time plus its timeout.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Runs roles until a signal.
///
/// # Errors
/// One line, when the process cannot start.
pub(crate) fn run(settings: Settings, logs: &LogFlags) -> Result<(), Fault> {
    service::logs::init(logs.level.as_str(), logs.format.as_str()).map_err(Fault::usage)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Fault::failed(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(serve(settings))
}

async fn serve(mut settings: Settings) -> Result<(), Fault> {
    let began = Instant::now();
    let cannot_listen = |error: &dyn Display| Fault::failed(format!("signals: {error}"));
    let mut signals = Signals::listen().map_err(|error| cannot_listen(&error))?;
    let context = Context::new(settings.mode.as_str());
    let http = listen::bind(&settings.node.http.address, settings.node.http.setting).await?;
    let grpc = match &settings.node.grpc {
        Some(grpc) => Some(listen::bind(&grpc.address, grpc.setting).await?),
        None => None,
    };
    let http_address = settings.node.advertised(address_of(&http)?);
    let grpc_address =
        grpc.as_ref().map(address_of).transpose()?.map(|bound| settings.node.advertised(bound));
    let _held = hold_data_dir(&settings)?;
    settings.features.report();
    settings::report(&settings.config);
    if settings.scrapes_itself {
        let own = settings::scrape_itself(&http_address);
        settings.config = config::Config { norn: settings.config.norn, ..own };
    }
    let objects = open_objects(&settings)?;
    let place = roles::Place { http_address: http_address.clone(), grpc_address, objects };
    let gate = context.gate("roles");
    let early = serve_early(&context, &http)?;
    let mut built = tokio::select! {
        built = roles::build(&settings, place, &context) => built?,
        _ = signals.next() => return Ok(()),
    };
    let router = service::http::base_router(&context).merge(std::mem::take(&mut built.http));
    context.spawn("http server", service::http::serve(&context, http, router));
    drop(early);
    if let (Some(listener), Some(routes)) = (grpc, built.grpc.take()) {
        context.spawn("grpc server", serve_grpc(&context, listener, routes));
    }
    built.start();
    gate.open();
    tokio::select! {
        () = until_stopped(&context, &settings, &http_address, began) => {}
        signal = signals.next() => info!(signal, "stopping"),
        reason = log_failed(built.ingester.as_deref()) => {
            let what = "the log cannot be written any more";
            return Err(Fault::failed(format!("{what}: {reason}: check the disk, then start this node again")));
        }
    }
    if let Some(ingester) = &built.ingester {
        ingester.hand_over().await;
    }
    tokio::select! {
        _pending = context.stop(STOP_DEADLINE) => {}
        signal = signals.next() => {
            info!(signal, "stopping at once");
            return Ok(());
        }
    }
    if let Some(ingester) = &built.ingester {
        ingester.stop().await;
    }
    info!("stopped");
    Ok(())
}

/// Answers health, readiness and metrics, and 503 to everything else, until what it returns is dropped: while a log is
/// recovered the process must not look dead.
///
/// A second handle of the same socket is used, so no connection is lost when the full server takes over.
fn serve_early(context: &Context, listener: &TcpListener) -> Result<DropGuard, Fault> {
    let second = || -> io::Result<TcpListener> {
        let socket = listener.as_fd().try_clone_to_owned()?;
        TcpListener::from_std(std::net::TcpListener::from(socket))
    };
    let second = second().map_err(|error| Fault::failed(format!("a listening socket: {error}")))?;
    let unavailable = async || (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
    let router = service::http::base_router(context).fallback(unavailable);
    let over = CancellationToken::new();
    let end = over.clone().cancelled_owned();
    context.spawn("early http server", async move {
        axum::serve(second, router).with_graceful_shutdown(end).await
    });
    Ok(over.drop_guard())
}

/// Returns the reason once the log of this process's ingester has failed; never where there is none.
async fn log_failed(ingester: Option<&ingester::Ingester>) -> String {
    match ingester {
        Some(ingester) => ingester.log_failed().await,
        None => std::future::pending().await,
    }
}

/// Says once that the process is ready; never returns.
async fn until_stopped(context: &Context, settings: &Settings, http_address: &str, began: Instant) {
    while context.ready().is_err() {
        tokio::time::sleep(READY_PAUSE).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    info!(role = settings.mode.as_str(), http_address, seconds, "Server is ready to receive web requests.");
    if settings.mode == Mode::Standalone {
        println!("ready in {seconds:.1} s: http://{http_address} (data in {})", settings.data_dir.display());
    }
    std::future::pending::<()>().await;
}

fn address_of(listener: &TcpListener) -> Result<std::net::SocketAddr, Fault> {
    listener
        .local_addr()
        .map_err(|error| Fault::failed(format!("a listening socket has no address: {error}")))
}

/// Locks the data directory, where this process keeps one. An ingester by itself locks its own.
fn hold_data_dir(settings: &Settings) -> Result<Option<DataDir>, Fault> {
    match settings.mode {
        Mode::Standalone | Mode::Role(cluster::Role::Gateway) => DataDir::open(&settings.data_dir).map(Some),
        Mode::Role(_) => Ok(None),
    }
}

fn open_objects(settings: &Settings) -> Result<Option<Arc<dyn ObjectStore>>, Fault> {
    let open =
        |objects| block::open_store(objects).map_err(|error| Fault::usage(format!("object store: {error}")));
    settings.objects.as_ref().map(open).transpose()
}

fn serve_grpc(
    context: &Context,
    listener: TcpListener,
    routes: Routes,
) -> impl Future<Output = Result<(), tonic::transport::Error>> + Send + 'static + use<> {
    let shutdown = context.shutdown();
    let router = tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .add_routes(routes);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    router.serve_with_incoming_shutdown(incoming, shutdown.cancelled_owned())
}
