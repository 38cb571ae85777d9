//! Spans to an OpenTelemetry collector, over HTTP. The standard variables of the environment say
//! where to, how often and how many; without an endpoint among them nothing is exported.
//!
//! A collector that is away costs the spans that it would have got, and one line in the log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, Protocol, WithExportConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use stallwatch::service::spans;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

use super::Instance;

/// How long the end of the process waits for the last spans to be taken.
const LAST_SPANS: Duration = Duration::from_secs(3);
/// The one protocol that is built in.
const PROTOCOL: &str = "http/protobuf";

/// The way to the collector; what is under way is sent when this is dropped.
pub struct Export(SdkTracerProvider);

impl Export {
    /// The one that the environment asks for, if it does.
    ///
    /// # Errors
    /// When it asks for what cannot be.
    pub fn of_environment(instance: &Instance<'_>) -> Result<Option<Self>, String> {
        if !is_asked_for() {
            return Ok(None);
        }
        speaks_our_protocol()?;
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .build()
            .map_err(|error| error.to_string())?;
        let exporter = Reporting { exporter, failing: AtomicBool::new(false) };
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(instance))
            .with_batch_exporter(exporter)
            .build();
        Ok(Some(Self(provider)))
    }

    /// Hands our spans over, and nothing else.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + 'static
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("stallwatch"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target(spans::TARGET, LevelFilter::INFO))
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST_SPANS) {
            tracing::warn!("the last traces have not been taken: {error}");
        }
    }
}

/// The value of a variable; an empty one counts as none.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn is_asked_for() -> bool {
    let endpoints = [OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT];
    let disabled =
        variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let elsewhere = variable("OTEL_TRACES_EXPORTER")
        .is_some_and(|names| !names.split(',').any(|name| name.trim() == "otlp"));
    endpoints.into_iter().any(|name| variable(name).is_some()) && !disabled && !elsewhere
}

fn speaks_our_protocol() -> Result<(), String> {
    let names = [OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL];
    let said = names.into_iter().find_map(|name| Some((name, variable(name)?)));
    match said {
        Some((name, protocol)) if protocol != PROTOCOL => Err(format!(
            "{name} is {protocol:?}, and only {PROTOCOL} is spoken here: set it, with an endpoint on the collector's port for HTTP (4318 by default)"
        )),
        Some(_) | None => Ok(()),
    }
}

/// Where the spans come from. What the environment says of it comes before what we know.
fn resource(instance: &Instance<'_>) -> Resource {
    let known = [
        KeyValue::new("service.name", "stallwatch"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance.instance_id.to_owned()),
        KeyValue::new("messaging.consumer.group.name", instance.group_id.to_owned()),
    ];
    let name = variable("OTEL_SERVICE_NAME").map(|name| KeyValue::new("service.name", name));
    Resource::builder_empty()
        .with_attributes(known)
        .with_detectors(&[
            Box::new(TelemetryResourceDetector),
            Box::<EnvResourceDetector>::default(),
        ])
        .with_attributes(name)
        .build()
}

/// Tells once that the collector does not take spans, and once that it does again.
#[derive(Debug)]
struct Reporting {
    exporter: opentelemetry_otlp::SpanExporter,
    failing: AtomicBool,
}

impl SpanExporter for Reporting {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.exporter.export(batch).await;
        let failed_before = self.failing.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !failed_before => tracing::warn!(
                "the collector does not take traces: {error}; they are dropped until it does"
            ),
            Ok(()) if failed_before => tracing::info!("the collector takes traces again"),
            Ok(()) | Err(_) => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
