//! Where the log and the traces go: lines to standard error, spans to a collector, and neither into
//! the other.

#[cfg(feature = "otel")]
mod export;

use stallwatch::config::LogFormat;
use stallwatch::service::spans;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt, FilterFn, LevelFilter};
use tracing_subscriber::layer::{Filter, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Who it is that traces come from.
pub struct Instance<'a> {
    /// The consumer group.
    pub group_id: &'a str,
    /// The instance in it.
    pub instance_id: &'a str,
}

/// The export of traces; what is under way is sent when this is dropped.
pub struct Traces {
    #[cfg(feature = "otel")]
    export: Option<export::Export>,
}

impl Traces {
    /// Whether anyone is to get them.
    pub fn are_exported(&self) -> bool {
        #[cfg(feature = "otel")]
        return self.export.is_some();
        #[cfg(not(feature = "otel"))]
        false
    }
}

/// Lines go to standard error in this form, as far as the filter lets them; spans to the collector
/// that the environment names, if it names one.
pub fn start<F>(format: LogFormat, filter: F, instance: &Instance<'_>) -> Traces
where
    F: Filter<tracing_subscriber::Registry> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let filter = filter.and(no_spans());
    let lines = match format {
        LogFormat::Text => lines.with_ansi(false).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    let registry = tracing_subscriber::registry().with(lines);
    export(instance, registry)
}

/// Lines do not name the spans that they were written in. It has a level so that nothing is asked
/// for which the other filter does not want.
fn no_spans() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    let no_span: fn(&Metadata<'_>) -> bool = |of| of.target() != spans::TARGET;
    FilterFn::new(no_span).with_max_level_hint(LevelFilter::TRACE)
}

#[cfg(feature = "otel")]
fn export<S>(instance: &Instance<'_>, lines: S) -> Traces
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync + 'static,
{
    let export = export::Export::of_environment(instance);
    let wanted = export.as_ref().ok().and_then(Option::as_ref);
    lines.with(wanted.map(export::Export::layer)).init();
    match export {
        Ok(export) => Traces { export },
        Err(why) => {
            tracing::warn!("traces are not exported: {why}");
            Traces { export: None }
        }
    }
}

#[cfg(not(feature = "otel"))]
fn export<S>(_instance: &Instance<'_>, lines: S) -> Traces
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync + 'static,
{
    lines.init();
    Traces {}
}
