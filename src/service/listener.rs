//! A socket that serves HTTP on a thread of its own: TLS where it is asked for, and bounds on what a
//! client may take: connections, the time for a request's head, the size of that head.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use openssl::ssl::{Ssl, SslAcceptor};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio_openssl::SslStream;

/// Bytes that the head of a request may have.
pub(super) const HEAD_BYTES: usize = 16 << 10;
/// How many times as long as its head a connection for one request may last.
pub(super) const LONGEST: u32 = 10;
/// The priority of a thread that gives way: about a tenth of another's share of a full processor.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;
/// Pause after the system has no socket for another connection.
const NO_SOCKET: Duration = Duration::from_millis(100);

/// What is served, and how.
pub struct Serving {
    /// Names the threads.
    pub name: &'static str,
    /// The bound socket.
    pub socket: std::net::TcpListener,
    /// What answers.
    pub router: Router,
    /// TLS, if the socket speaks it.
    pub tls: Option<SslAcceptor>,
    /// Connections at once; a further one waits until another is gone.
    pub connections: usize,
    /// How long a client may take for the head of a request and for the handshake of TLS.
    pub head: Duration,
    /// Whether a connection stays for further requests; if not it may not last longer than
    /// [`LONGEST`] times `head` either.
    pub keep_alive: bool,
    /// Whether its thread leaves the processor to the threads that read scans, where the system
    /// knows a priority for each thread (Linux).
    pub gives_way: bool,
}

/// What a connection may take.
#[derive(Clone, Copy)]
struct Bounds {
    head: Duration,
    keep_alive: bool,
}

/// A running listener; it ends, and its connections with it, when this is dropped.
pub struct Listener {
    local: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Listener {
    /// Serves on a thread of its own.
    ///
    /// # Errors
    /// When the socket or a thread cannot be had.
    pub fn start(serving: Serving) -> std::io::Result<Self> {
        serving.socket.set_nonblocking(true)?;
        let local = serving.socket.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread =
            std::thread::Builder::new().name(serving.name.to_owned()).spawn(move || {
                if serving.gives_way {
                    give_way();
                }
                runtime.block_on(serve(serving, stopped));
            })?;
        Ok(Self { local, stop: Some(stop), thread: Some(thread) })
    }

    /// The address that it listens on.
    pub fn local(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Lowers the priority of this thread. A system that refuses it loses nothing but the order.
fn give_way() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICE);
}

async fn serve(serving: Serving, mut stopped: oneshot::Receiver<()>) {
    let Serving { name, socket, router, tls, connections, head, keep_alive, .. } = serving;
    let bounds = Bounds { head, keep_alive };
    let socket = match TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(%error, "the {name} listener could not be used"),
    };
    let tls = tls.map(Arc::new);
    let room = Arc::new(Semaphore::new(connections));
    let mut open = JoinSet::new();
    loop {
        let accepted = async {
            let place = room.clone().acquire_owned().await;
            (place, socket.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = &mut stopped => return,
            Some(_) = open.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                let (router, tls) = (router.clone(), tls.clone());
                open.spawn(async move {
                    connection(stream, tls, router, bounds).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the {name} listener could not accept a connection");
                tokio::time::sleep(NO_SOCKET).await;
            }
        }
    }
}

/// Whatever goes wrong on a connection is the client's to notice.
async fn connection(
    stream: TcpStream,
    tls: Option<Arc<SslAcceptor>>,
    router: Router,
    bounds: Bounds,
) {
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return speak(stream, router, bounds).await;
    };
    let ssl = Ssl::new(tls.context()).and_then(|ssl| SslStream::new(ssl, stream));
    let mut stream = match ssl {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(%error, "TLS could not be begun"),
    };
    match tokio::time::timeout(bounds.head, std::pin::Pin::new(&mut stream).accept()).await {
        Ok(Ok(())) => speak(stream, router, bounds).await,
        Ok(Err(error)) => tracing::debug!(%error, "a client's TLS handshake failed"),
        Err(_) => tracing::debug!("a client took too long for its TLS handshake"),
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    bounds: Bounds,
) {
    let service = TowerToHyperService::new(router);
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .keep_alive(bounds.keep_alive)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let served = async {
        if let Err(error) = served.await {
            tracing::trace!(%error, "a connection ended");
        }
    };
    match bounds.keep_alive {
        true => served.await,
        false => drop(tokio::time::timeout(LONGEST * bounds.head, served).await),
    }
}
