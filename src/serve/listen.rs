//! The accept loop: loopback only, so many connections at once, so long for a request's head, and an orderly end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::flight::Cut;
use super::{AppState, router};

/// Connections at once; more wait in the system's queue.
const MAX_CONNECTIONS: usize = 256;
/// How long a client may take to send a request's head, and to sit idle between requests.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// How long a connection lives at most, so that one that never reads its answer does not stay.
const CONNECTION_TIME: Duration = Duration::from_secs(600);
/// How long requests under way may take to end at shutdown.
const SHUTDOWN_TIME: Duration = Duration::from_secs(5);
/// Bytes of a request's line and headers.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Everybody in the network could read the alerts.
    #[error(
        "will not listen on {address}: alerts would be open to the network, because there is no authentication yet; \
         use a loopback address such as 127.0.0.1:{port}, and a tunnel (ssh -L) from elsewhere",
        port = address.port()
    )]
    NotLoopback {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The listener does not say where it listens.
    #[error("cannot tell the address listened on")]
    Listener(#[source] io::Error),
}

/// Refuses any address but a loopback one.
///
/// # Errors
/// [`ServeError::NotLoopback`].
pub fn check_listen(address: SocketAddr) -> Result<(), ServeError> {
    // Of the IPv4 addresses written as IPv6 only the plain form is loopback for every program.
    if address.ip().is_loopback() { Ok(()) } else { Err(ServeError::NotLoopback { address }) }
}

/// Serves until `shutdown` is ready; then takes no more connections and gives those under way a few seconds.
///
/// # Errors
/// If the listener is not on a loopback address.
pub async fn serve(
    listener: TcpListener,
    app: AppState,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let address = listener.local_addr().map_err(ServeError::Listener)?;
    check_listen(address)?;
    serve_router(listener, router(AppState { listen: address, ..app }), shutdown).await;
    Ok(())
}

async fn serve_router(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()> + Send) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            (stream, permit) = accept(&listener, &permits) => {
                // Where connections run short, none is kept for a next request.
                let keep = permits.available_permits() > MAX_CONNECTIONS / 2;
                connections.spawn(connection(stream, router.clone(), stopped.clone(), permit, keep));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    drop(stop);
    if timeout(SHUTDOWN_TIME, async { while connections.join_next().await.is_some() {} }).await.is_err() {
        tracing::warn!(left = connections.len(), "requests did not end in time and were cut off");
        connections.shutdown().await;
    }
}

/// The next connection, once there is room for one.
async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            // Out of file descriptors, or the client is gone already: both pass.
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    mut stopped: watch::Receiver<()>,
    _permit: OwnedSemaphorePermit,
    keep: bool,
) {
    let cut = Cut::default();
    let (asked, router) = (cut.clone(), TowerToHyperService::new(router));
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(cut.clone());
        router.call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(keep)
        .header_read_timeout(HEAD_TIME)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let ended = timeout(CONNECTION_TIME, async {
        tokio::select! {
            result = serving.as_mut() => result,
            () = asked.asked() => Ok(()),
            // The sender is dropped at shutdown.
            _ = stopped.changed() => {
                serving.as_mut().graceful_shutdown();
                tokio::select! {
                    result = serving.as_mut() => result,
                    () = asked.asked() => Ok(()),
                }
            }
        }
    });
    match ended.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended early"),
        Err(_) => tracing::debug!("a connection was open for too long"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::serve::flight::Flights;
    use crate::serve::guard::{Door, guard};
    use crate::serve::tests::app;
    use crate::state::testing::state;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    #[test]
    fn only_loopback_addresses_are_listened_on() {
        for (address, expected) in [
            ("127.0.0.1:8474", true),
            ("127.9.9.9:1", true),
            ("[::1]:8474", true),
            ("0.0.0.0:8474", false),
            ("[::]:8474", false),
            ("192.168.0.10:8474", false),
            ("203.0.113.5:80", false),
            ("[::ffff:127.0.0.1]:80", false),
        ] {
            assert_eq!(check_listen(address.parse().unwrap()).is_ok(), expected, "{address}");
        }
        let message = check_listen("0.0.0.0:8474".parse().unwrap()).unwrap_err().to_string();
        assert!(message.contains("0.0.0.0:8474") && message.contains("127.0.0.1:8474"), "{message}");
    }

    /// A running server: its address, what ends it, and its end.
    async fn running() -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<Result<(), ServeError>>) {
        let (dir, state) = state();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(async move {
            let _dir = dir;
            let stopped = async {
                let _ = stopped.await;
            };
            serve(listener, app(state), stopped).await
        });
        (address, stop, server)
    }

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // A server that refuses early may close before it has read everything.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn serves_and_ends_when_told_to_even_with_an_idle_connection() {
        let (address, stop, server) = running().await;
        let _idle = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        let answer = ask(address, &request).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("{\"status\":\"ok\"}"), "{answer}");
        let foreign = request.replace(&address.to_string(), "evil.example");
        assert!(ask(address, &foreign).await.starts_with("HTTP/1.1 403"));
        let old = "GET /api/v1/alerts HTTP/1.0\r\n\r\n";
        assert!(ask(address, old).await.starts_with("HTTP/1.0 403"), "no Host at all");
        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn slow_readers_are_cut_off_and_the_others_told_to_come_back() {
        /// Far more than the system's buffers take off our hands.
        const BIG: usize = 24 << 20;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let flights = Flights::at((Duration::from_secs(3), usize::MAX));
        let router = Router::new()
            .route("/big", get(|| async { vec![b'x'; BIG] }))
            .route("/small", get(|| async { "small" }))
            .layer(from_fn_with_state(Door { listen: address, flights }, guard));
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve_router(listener, router, async {
            let _ = stopped.await;
        }));
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        let mut slow = Vec::new();
        for _ in 0..30 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(get("/big").as_bytes()).await.unwrap();
            slow.push(stream);
        }
        // Two large answers have room; the third is refused at once, and small ones go out.
        let refused = loop {
            let answer = ask(address, &get("/big")).await;
            if !answer.starts_with("HTTP/1.1 200") {
                break answer.to_lowercase();
            }
        };
        assert!(refused.starts_with("http/1.1 503") && refused.contains("retry-after: 5"), "{refused}");
        assert!(ask(address, &get("/small")).await.ends_with("small"));
        // Whoever does not read is cut off: what comes is less than the answer, and then there is room again.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let again = ask(address, &get("/big")).await;
        assert!(again.starts_with("HTTP/1.1 200") && again.len() > BIG, "{}", again.len());
        let mut cut = 0;
        for mut stream in slow {
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            assert!(answer.len() < BIG, "an answer of {} bytes went to one who did not read", answer.len());
            cut += usize::from(answer.starts_with(b"HTTP/1.1 200"));
        }
        assert!(cut > 0);
        stop.send(()).unwrap();
        server.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn heads_that_are_too_long_are_refused() {
        let (address, stop, server) = running().await;
        let long = "x".repeat(2 * MAX_HEAD);
        let many: String = (0..2 * MAX_HEADERS).map(|i| format!("X-{i}: 1\r\n")).collect();
        for head in [format!("X-Long: {long}\r\n"), many] {
            let answer = ask(address, &format!("GET / HTTP/1.1\r\nHost: localhost\r\n{head}\r\n")).await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
        }
        let answer = ask(address, &format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
    }
}
