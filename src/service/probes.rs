//! The probe listener: liveness, readiness, metrics; nothing that tells of a package.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::listener::{Listener, Serving};
use super::{ServiceError, Shared};

/// Connections at once. Each is for one request and short, so that nobody who idles keeps probes out.
pub(super) const CONNECTIONS: usize = 256;
/// How long a client may take for the head of its request.
pub(super) const HEAD: Duration = Duration::from_secs(3);

/// Binds the address and serves on a thread of its own.
pub fn start(shared: Arc<Shared>) -> Result<Listener, ServiceError> {
    let address = shared.config.admin.probe_listen;
    let failed = |error| ServiceError::Listen { setting: "admin.probe_listen", address, error };
    let socket = std::net::TcpListener::bind(address).map_err(failed)?;
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .route("/metrics", get(metrics))
        .with_state(shared);
    let listener = Listener::start(Serving {
        name: "probe",
        socket,
        router,
        tls: None,
        connections: CONNECTIONS,
        head: HEAD,
        keep_alive: false,
        gives_way: false,
    })?;
    tracing::info!(local = %listener.local(), "probes and metrics");
    Ok(listener)
}

fn verdict(missing: Option<String>) -> impl IntoResponse {
    match missing {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn livez(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    verdict(shared.status.dead_loop().map(|name| format!("{name} does not turn")))
}

async fn readyz(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    verdict(shared.status.not_ready())
}

async fn startupz(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    verdict(shared.status.not_started().map(str::to_owned))
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let now_ms = shared.now_ms();
    let text = shared.metrics.render(&shared.input, &shared.status, now_ms);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
