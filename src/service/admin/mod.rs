//! The admin listener: a read-only page and the API behind it, for operators and for the command
//! line. What it tells of packages it asks of the shards by message ([`super::questions`]); what it
//! tells of the instance is in [`super::status`] already. Nothing here stops or changes detection.
//!
//! `guard` decides who may ask and how much at once; `answer` is the form of every answer; `peers`
//! asks the other instances; the rest are the routes, a file each.

mod answer;
mod events;
mod exceptions;
mod guard;
mod log;
mod packages;
mod page;
mod partitions;
pub(super) mod peers;
mod policies;
mod query;
mod schemas;
mod summary;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Router, middleware};
use tokio::sync::Semaphore;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use super::listener::{Listener, Serving};
use super::questions::Questions;
use super::{ServiceError, Shared};
use guard::Guard;
use peers::Peers;
use summary::Counted;

/// Connections at once.
pub(super) const CONNECTIONS: usize = 512;
/// How long a client may take for the head of a request; so long an idle connection stays, too.
pub(super) const HEAD: Duration = Duration::from_secs(20);
/// Requests under way at once; one more is told to come again.
pub(super) const REQUESTS: usize = 256;
/// Clients that tap the events at once.
pub(super) const TAPS: usize = 64;
/// Bytes of a request's body.
pub(super) const BODY: usize = 16 << 10;
/// How long a request may take until its answer begins.
pub(super) const REQUEST: Duration = Duration::from_secs(10);

/// What the routes look at.
struct Admin {
    shared: Arc<Shared>,
    ask: Arc<Questions>,
    peers: Peers,
    guard: Guard,
    counted: Counted,
    taps: Arc<Semaphore>,
}

type Context = axum::extract::State<Arc<Admin>>;

/// Binds the address and serves on a thread of its own.
pub(super) fn start(shared: Arc<Shared>, ask: Arc<Questions>) -> Result<Listener, ServiceError> {
    let settings = &shared.config.admin;
    let address = settings.listen;
    let failed = |error| ServiceError::Listen { setting: "admin.listen", address, error };
    let tls = settings.tls.as_ref().map(tls::acceptor).transpose()?;
    let socket = std::net::TcpListener::bind(address).map_err(failed)?;
    let local = socket.local_addr()?;
    if settings.token.is_some() && tls.is_none() && !local.ip().is_loopback() {
        tracing::warn!(
            "admin.listen {local} takes its token unencrypted: set admin.tls_cert_file and admin.tls_key_file, or let a proxy do TLS"
        );
    }
    let admin = Arc::new(Admin {
        guard: Guard::new(settings, REQUESTS),
        peers: Peers::new(shared.clone())?,
        counted: Counted::default(),
        taps: Arc::new(Semaphore::new(TAPS)),
        shared,
        ask,
    });
    let has_tls = tls.is_some();
    let router = router(admin);
    let listener = Listener::start(Serving {
        name: "admin",
        socket,
        router,
        tls,
        connections: CONNECTIONS,
        head: HEAD,
        keep_alive: true,
        gives_way: true,
    })?;
    let scheme = if has_tls { "https" } else { "http" };
    tracing::info!("admin page and API at {scheme}://{}/", listener.local());
    Ok(listener)
}

fn router(admin: Arc<Admin>) -> Router {
    let timeout = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, REQUEST);
    let api = Router::new()
        .route("/v1/packages/{carrier}/{number}", get(packages::get))
        .route("/v1/exceptions", get(exceptions::get))
        .route("/v1/events", get(events::newest))
        .route("/v1/tap", get(events::tap))
        .route("/v1/summary", get(summary::get))
        .route("/v1/partitions", get(partitions::get))
        .route("/v1/policies", get(policies::get))
        .route("/v1/policies/reload", post(policies::reload))
        .route("/v1/schemas", get(schemas::get))
        .route("/v1/schemas/reload", post(schemas::reload))
        .route("/v1/log", get(log::get).put(log::put))
        .route("/openapi.json", get(page::openapi))
        .route_layer(middleware::from_fn_with_state(admin.clone(), guard::admit));
    Router::new()
        .route("/", get(page::index))
        .route("/page/{file}", get(page::file))
        .merge(api)
        .fallback(guard::not_found)
        .method_not_allowed_fallback(guard::wrong_method)
        .layer(middleware::from_fn_with_state(admin.clone(), guard::known_host))
        .layer(RequestBodyLimitLayer::new(BODY))
        .layer(timeout)
        .layer(middleware::map_response(guard::headers))
        .with_state(admin)
}
