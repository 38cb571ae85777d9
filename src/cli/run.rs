//! `run`: the service.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use stallwatch::config::{Config, Environment, Log, LogFormat};
use stallwatch::service::clock::SystemClock;
use stallwatch::service::log_level::LogLevel;
use stallwatch::service::{Guards, Service, Shutdown};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, reload};

use super::Failure;

/// Consumes carrier scans and publishes exceptions, until told to stop
///
/// SIGTERM or Ctrl-C: commits what has been done and ends with 0.
#[derive(Args)]
pub struct Arguments {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = Config::load(&arguments.config, &Environment::of_process())
        .map_err(Failure::Configuration)?;
    let policies = Arc::new(config.load_policies().map_err(Failure::Configuration)?);
    let log_level = start_logging(&config.log);
    let shutdown = Shutdown::default();
    stop_on_signals(&shutdown)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        group_id = config.kafka.group_id,
        instance_id = config.kafka.instance_id,
        policies = policies.hash().as_ref(),
        "starting"
    );
    Service::new(config, policies, Arc::new(SystemClock), Guards::default())
        .and_then(|service| {
            service.set_log_level(log_level);
            service.run(&shutdown)
        })
        .map_err(|error| Failure::Failed(error.to_string()))
}

/// Log lines go to standard error, in the configured form and level.
fn start_logging(log: &Log) -> LogLevel {
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    match log.format {
        LogFormat::Text => registry.with(lines.with_ansi(false)).init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
    }
    LogLevel::new(handle, &log.level)
}

/// SIGTERM and SIGINT ask for a stop; a second one ends the process at once.
pub fn stop_on_signals(shutdown: &Shutdown) -> Result<(), Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, shutdown.flag())
            .and_then(|_| signal_hook::flag::register(signal, shutdown.flag()))
            .map_err(|error| Failure::Failed(format!("signals cannot be handled: {error}")))?;
    }
    Ok(())
}
