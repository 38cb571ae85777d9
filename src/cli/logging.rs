//! Where the log and the traces go: lines to standard error, spans to a collector, and neither into
//! the other.

#[cfg(feature = "otel")]
mod export;
mod repeats;

use repeats::Repeats;
use stallwatch::config::LogFormat;
use stallwatch::service::spans;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt, FilterFn, LevelFilter};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Filter, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// Who it is that traces come from.
#[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "only an exporter asks"))]
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
    let registry = tracing_subscriber::registry().with(lines(format, filter, std::io::stderr));
    export(instance, registry)
}

fn lines<S, F>(
    format: LogFormat,
    filter: F,
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    F: Filter<S> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let filter = filter.and(no_spans()).and(Repeats::new());
    match format {
        LogFormat::Text => lines.with_ansi(false).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    }
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::{EnvFilter, Registry, reload};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// A layer that takes every span of ours, as an exporter does.
    struct Exporter;

    impl<S: Subscriber> Layer<S> for Exporter {}

    /// What is written of one line within a span, or without one.
    fn line(format: LogFormat, within: bool) -> String {
        let written = Written::default();
        let into = written.clone();
        let lines = lines::<Registry, _>(format, EnvFilter::new("info"), move || into.clone());
        let subscriber = tracing_subscriber::registry().with(lines).with(Exporter);
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!(target: spans::TARGET, "commit", events = 7);
            assert!(!span.is_disabled());
            let _within = within.then(|| span.enter());
            tracing::info!(partition = 3, "a line");
            tracing::debug!("not asked for");
        });
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_line_within_a_span_is_the_same_as_without_it() {
        let behind_the_time = |line: String| line.split_once(' ').unwrap().1.to_owned();
        let text = behind_the_time(line(LogFormat::Text, true));
        assert_eq!(text, behind_the_time(line(LogFormat::Text, false)));
        assert!(text.ends_with("a line partition=3\n"), "{text}");
        let json = |within| {
            let line = line(LogFormat::Json, within);
            let mut fields: serde_json::Map<String, serde_json::Value> =
                serde_json::from_str(&line).unwrap();
            assert!(fields.remove("timestamp").is_some());
            fields
        };
        assert_eq!(json(true), json(false));
        let mut names: Vec<String> = json(true).keys().cloned().collect();
        names.sort();
        assert_eq!(names, ["level", "message", "partition", "target"]);
    }

    #[test]
    fn a_warning_that_lasts_is_written_once_whatever_its_numbers_and_once_for_each_partition() {
        let written = Written::default();
        let into = written.clone();
        let lines =
            lines::<Registry, _>(LogFormat::Text, EnvFilter::new("info"), move || into.clone());
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, || {
            for left in 0..100 {
                tracing::warn!("the broker is away; trying again for {left} s");
                tracing::warn!(partition = left % 2, "away");
                tracing::info!("a round");
                tracing::error!("halted at {left}");
                tracing::error!("kafka client: refused after {left} ms");
            }
        });
        let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let count = |what: &str| written.matches(what).count();
        let told = ["trying again", "away partition", "a round", "halted", "refused"].map(count);
        assert_eq!(told, [1, 2, 100, 100, 1], "{written}");
    }

    #[test]
    fn the_level_of_lines_can_be_changed_and_spans_are_taken_at_every_level() {
        let written = Written::default();
        let into = written.clone();
        let (filter, handle) = reload::Layer::new(EnvFilter::new("error"));
        let lines = lines::<Registry, _>(LogFormat::Text, filter, move || into.clone());
        let subscriber = tracing_subscriber::registry().with(lines).with(Exporter);
        tracing::subscriber::with_default(subscriber, || {
            for level in ["error", "debug", "error"] {
                handle.reload(EnvFilter::new(level)).unwrap();
                tracing::debug!("at {level}");
                assert!(!tracing::info_span!(target: spans::TARGET, "commit").is_disabled());
            }
        });
        let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written.lines().count(), 1, "{written}");
        assert!(written.ends_with("at debug\n"), "{written}");
    }
}
