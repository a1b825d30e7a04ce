//! The HTTP side: one thread, one connection a task, faults before and after the S3 service.

use std::io;
use std::sync::Arc;

use http::{Method, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError, HttpResponse, s3_error};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::counters::Count;
use super::operations::Operations;
use super::{ACCESS_KEY, SECRET_KEY, Shared};

/// Returns what the server's thread runs; everything that can fail is done before.
pub(super) fn prepare(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    stop: CancellationToken,
) -> io::Result<impl FnOnce() + Send + 'static> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _entered = runtime.enter();
        TcpListener::from_std(listener)?
    };
    let mut builder = S3ServiceBuilder::new(Operations::new(Arc::clone(&shared)));
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    let service = builder.build();
    Ok(move || runtime.block_on(accept(listener, service, shared, stop)))
}

async fn accept(listener: TcpListener, service: S3Service, shared: Arc<Shared>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // A client that went away before it was accepted.
                Err(_) => continue,
            },
        };
        let (service, shared) = (service.clone(), Arc::clone(&shared));
        connections.spawn(async move {
            let answer = service_fn(|request| answer(request, &service, &shared));
            // A broken connection is the client's business, and sometimes the fault that a test asked for.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    service: &S3Service,
    shared: &Shared,
) -> Result<HttpResponse, HttpError> {
    tokio::time::sleep(shared.faults.current_delay()).await;
    if shared.faults.take_slow_down() {
        shared.counting.add(Count::Slowed, 1);
        let error = s3_error!(SlowDown, "Please reduce your request rate.");
        return error.to_http_response().map_err(|error| HttpError::new(Box::new(error)));
    }
    let is_put = request.method() == Method::PUT;
    let response = service.call(request.map(Body::from)).await?;
    if is_put && response.status().is_success() && shared.faults.take_drop() {
        shared.counting.add(Count::Dropped, 1);
        return Err(HttpError::new("dropped after commit, as the test wished".into()));
    }
    Ok(response)
}
