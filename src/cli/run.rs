//! `run`: the service.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use signal_hook::consts::SIGHUP;
use signal_hook::iterator::{Handle, Signals};
use stallwatch::config::Config;
use stallwatch::service::clock::SystemClock;
use stallwatch::service::log_level::LogLevel;
use stallwatch::service::policies::{Asked, Policies};
use stallwatch::service::schemas::Schemas;
use stallwatch::service::{Guards, Service, Shutdown};
use stallwatch::wire::toml_reader::Problem;
use tracing_subscriber::{EnvFilter, reload};

use super::Failure;
use super::logging::{self, Instance, Traces};

/// Consumes carrier scans and publishes exceptions, until told to stop
///
/// SIGTERM or Ctrl-C: commits what has been done and ends with 0. SIGHUP: reads the policies file and
/// the schema files anew.
#[derive(Args)]
pub struct Arguments {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = super::load(&arguments.config)?;
    let policies = Arc::new(config.load_policies().map_err(Failure::Configuration)?);
    // Ends last: what the service does up to its end belongs to the traces.
    let (log_level, _traces) = start_logging(&config);
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
            let _hangups = Hangups::heard(service.policies(), service.schemas())?;
            service.run(&shutdown)
        })
        .map_err(|error| match error.is_configuration() {
            true => {
                let file = arguments.config.display().to_string();
                Failure::Configuration(vec![Problem::of_file(&file, error.to_string())])
            }
            false => Failure::Failed(error.to_string()),
        })
}

/// Ends the process at once: threads of the client may have been left behind, and what is done at an
/// orderly exit would take from under them what they work with.
pub fn end(code: u8) -> ! {
    // SAFETY: nothing of this process runs on, and nothing has to be written out.
    unsafe { libc::_exit(code.into()) }
}

/// Log lines in the configured form and level, which can be changed, and traces.
fn start_logging(config: &Config) -> (LogLevel, Traces) {
    let Config { log, kafka, .. } = config;
    let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let (filter, handle) = reload::Layer::new(filter);
    let instance = Instance { group_id: &kafka.group_id, instance_id: &kafka.instance_id };
    let traces = logging::start(log.format, filter, &instance);
    (LogLevel::new(handle, &log.level), traces)
}

/// SIGHUP has the policies file and the schema files read anew, until this is dropped. A file that
/// is being read then is not waited for: one on a lost mount may never be.
struct Hangups {
    signals: Handle,
}

impl Hangups {
    fn heard(policies: Arc<Policies>, schemas: Arc<Schemas>) -> std::io::Result<Self> {
        let mut hangups = Signals::new([SIGHUP])?;
        let signals = hangups.handle();
        std::thread::Builder::new().name("hangups".to_owned()).spawn(move || {
            for _ in hangups.forever() {
                // What was wrong has been told.
                let _ = policies.reload(Asked::Signal);
                let _ = schemas.reload(Asked::Signal);
            }
        })?;
        Ok(Self { signals })
    }
}

impl Drop for Hangups {
    fn drop(&mut self) {
        self.signals.close();
    }
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
