//! The probe listener: liveness, readiness, metrics and a small status page.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use tokio::sync::oneshot;

use super::{ServiceError, Shared};

/// A running listener; it ends when this is dropped.
pub struct Listener {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Listener {
    /// Binds the address and serves on a thread of its own.
    pub fn start(shared: Arc<Shared>) -> Result<Self, ServiceError> {
        let address = shared.config.admin.probe_listen;
        let failed = |error| ServiceError::Listen { address, error };
        let socket = std::net::TcpListener::bind(address).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("http")
            .enable_all()
            .build()?;
        let local = socket.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("probe".to_owned()).spawn(move || {
            runtime.block_on(serve(socket, shared, stopped));
        })?;
        tracing::info!(%local, "probes and metrics");
        Ok(Self { stop: Some(stop), thread: Some(thread) })
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

async fn serve(socket: std::net::TcpListener, shared: Arc<Shared>, stopped: oneshot::Receiver<()>) {
    let router = Router::new()
        .route("/", get(page))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/startupz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(shared);
    let listener = match tokio::net::TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the probe listener could not be used"),
    };
    let served = axum::serve(listener, router).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    if let Err(error) = served.await {
        tracing::error!(%error, "the probe listener ended");
    }
}

async fn livez(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    match shared.status.dead_loop() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(name) => (StatusCode::SERVICE_UNAVAILABLE, format!("{name} does not turn\n")),
    }
}

async fn readyz(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    match shared.status.not_ready() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let now_ms = shared.clock.now_ms();
    let text = shared.metrics.render(&shared.input, &shared.status, now_ms);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

async fn page(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(render_page(&shared)))
}

fn render_page(shared: &Shared) -> String {
    let mut partitions: Vec<_> = shared.status.partitions.iter().collect();
    partitions.sort_by_key(|status| *status.key());
    let mut rows = String::new();
    let mut open = std::collections::BTreeMap::new();
    let mut packages = 0;
    for status in &partitions {
        packages += status.stats.packages.iter().sum::<usize>();
        for (key, count) in &status.stats.open {
            *open.entry(key.clone()).or_insert(0) += count;
        }
        let lag = status.lag().map_or("?".to_owned(), |lag| lag.to_string());
        let frontier =
            status.frontier.map_or("–".to_owned(), crate::wire::time_text::format_seconds);
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{lag}</td><td>{frontier}</td><td>{}</td></tr>",
            status.key(),
            status.stage.as_str(),
            status.position,
            escape(status.halted.as_ref().map_or("", |halt| &halt.message)),
        );
    }
    let mut stalls = String::new();
    for ((carrier, kind, severity), count) in open {
        let (kind, severity) = (kind.as_str(), severity.as_str());
        let carrier = escape(&carrier);
        let _ = writeln!(
            stalls,
            "<tr><td>{carrier}</td><td>{kind}</td><td>{severity}</td><td>{count}</td></tr>"
        );
    }
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"5\">\
<title>stallwatch</title><style>{STYLE}</style><h1>stallwatch</h1>\
<p>{packages} packages known. <a href=\"/metrics\">metrics</a> <a href=\"/readyz\">readiness</a></p>\
<h2>Open exceptions</h2><table><tr><th>carrier</th><th>kind</th><th>severity</th><th>open</th></tr>{stalls}</table>\
<h2>Partitions</h2><table><tr><th>partition</th><th>stage</th><th>position</th><th>lag</th><th>frontier</th><th></th></tr>{rows}</table></html>"
    )
}

const STYLE: &str = ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25rem .75rem;border-bottom:1px solid #8884}";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
