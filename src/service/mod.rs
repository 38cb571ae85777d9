//! Carries records between Kafka and the detector, and decides nothing.
//!
//! ```text
//!   group member ──batches──► workers (shards) ──cuts──► commit cycle ──► one transaction
//!       ▲    ▲                     ▲                                        │
//!   rebalances restores ───────────┤ state, open exceptions                 ├ exceptions
//!            end offsets ──evidence┘                                        ├ open table, cut
//!                                                                           ├ dead letters
//!                                                                           └ offsets
//! ```
//!
//! [`Service`] is the way in. `supervise` sees to its end; `running` is what it holds, and its lives as
//! a `member` of the group; `engine` is the loop of one life; `worker` the threads that own shards; `restore`
//! rebuilds a partition beside the running ones; [`snapshots`] keep package state; `room` counts the
//! packages that all may know; `sink` is the transactional producer; `misrouted` notices packages in
//! two partitions, `unread` what of the input is not read, `settings` topics that are not set as they
//! should be; `native` holds the calls
//! that the bindings lack; [`clock`] is the
//! only reader of the wall clock.

pub mod admin;
mod allowed;
mod batch;
pub mod clock;
mod commands;
pub mod contents;
pub mod doctor;
mod engine;
mod evidence;
#[cfg(test)]
mod figures;
mod kafka;
mod listener;
pub mod log_level;
mod member;
mod misrouted;
mod native;
mod peer_name;
pub mod policies;
mod probes;
mod questions;
mod reach;
mod recent;
pub mod recover;
mod restore;
pub mod rights;
mod room;
mod running;
pub mod schemas;
mod settings;
mod sink;
pub mod snapshots;
pub mod spans;
mod standing;
pub mod status;
mod supervise;
pub mod telemetry;
mod time;
pub mod topics;
pub(crate) mod trace;
mod unread;
mod worker;

use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rdkafka::error::KafkaError;

use crate::config::{CLOCK_MARGIN_CREATE_TIME, CLOCK_MARGIN_LOG_APPEND_TIME, Config, Format};
use crate::detector::memory::SystemBlocks;
use crate::detector::policy::PolicySet;
use crate::prefault::ReadyBlocks;
use crate::protocol::cut::Source;
use crate::wire::scan::{AvroScans, JsonScans, ScanDecoder, SchemaProblem, WriterSchemas};
use clock::Clock;
use contents::ExceptionCodec;
pub use kafka::{check_clients, check_property};
use log_level::LogLevel;
use policies::Policies;
use recent::Recent;
use room::Room;
use running::Running;
use schemas::Schemas;
use snapshots::{Keeping, Limits, SnapshotStore, SnapshotWriter};
use status::Status;
use telemetry::Metrics;
use time::{Stamper, Time};
use unread::Unread;

/// Default of the client's `message.max.bytes`.
const MAX_BYTES: usize = 1_000_000;

/// What the broker at hand can be trusted with.
#[derive(Clone, Copy, Debug)]
pub struct Guards {
    /// The broker that the client library embeds: it fakes transactions, keeps no offsets sent with
    /// them and fences nobody, so the guards that ask it for these are off.
    pub embedded: bool,
    /// How often end offsets are asked for.
    pub evidence_interval: Duration,
}

impl Default for Guards {
    fn default() -> Self {
        Self { embedded: false, evidence_interval: Duration::from_secs(1) }
    }
}

/// Tells a running service to stop; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<AtomicBool>);

impl Shutdown {
    /// One that a signal handler can set.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }

    /// Asks for the stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether a stop has been asked for.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why the service ended.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The broker could not be reached, or refuses.
    #[error("{0}")]
    Broker(String),
    /// The client could not be made with this configuration.
    #[error("{}", kafka::explain(.0, "making a Kafka client"))]
    Client(#[from] KafkaError),
    /// Schemas of the input are of no use.
    #[error("schemas of the input: {}", listed(.0))]
    Schemas(Vec<SchemaProblem>),
    /// The schema registry cannot be asked.
    #[error("schema_registry: {0}")]
    Registry(String),
    /// A thread or a socket could not be had.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// A listener's address is taken or not allowed.
    #[error("{setting} {address}: {error}")]
    Listen {
        /// The setting that names it.
        setting: &'static str,
        /// The address.
        address: std::net::SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// A file of the admin listener's TLS is of no use.
    #[error("{setting}: {file} is of no use: {error}")]
    Tls {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        file: String,
        /// What OpenSSL says.
        error: openssl::error::ErrorStack,
    },
    /// The client that asks other instances could not be made.
    #[error("asking other instances: {0}")]
    Http(String),
    /// The environment says nothing sensible of the bucket of snapshots.
    #[error("state.url: {0}")]
    Snapshots(#[from] snapshots::StoreError),
    /// A metric could not be registered.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The work could not be committed in time.
    #[error(
        "stopping took longer than shutdown.deadline ({0:?}); what is missing is done again at the next start"
    )]
    Deadline(Duration),
}

impl ServiceError {
    /// Whether the configuration must be changed: no restart mends it.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Client(error) => {
                matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_))
            }
            Self::Schemas(_) | Self::Registry(_) | Self::Tls { .. } | Self::Http(_) => true,
            _ => false,
        }
    }
}

/// Topics that are written.
struct Topics {
    exceptions: Arc<str>,
    open: Arc<str>,
    dead_letter: Arc<str>,
}

/// What every part of the service looks at.
struct Shared {
    config: Config,
    policies: Arc<Policies>,
    clock: Arc<dyn Clock>,
    /// What time it is by the brokers.
    time: Arc<Time>,
    stamper: Arc<Stamper>,
    metrics: Arc<Metrics>,
    status: Arc<Status>,
    /// What was published lately.
    recent: Recent,
    /// What comes in and is not read.
    unread: Arc<Unread>,
    /// How the log's level is changed, where it can be.
    log: OnceLock<LogLevel>,
    room: Arc<Room>,
    /// Where shards get their memory from, ready before they need it.
    memory: Arc<ReadyBlocks>,
    exceptions: ExceptionCodec,
    input: Arc<str>,
    topics: Topics,
    schemas: Arc<Schemas>,
    owner: String,
    guards: Guards,
    max_bytes: usize,
    /// Partitions of the input, when last asked for.
    input_partitions: Arc<AtomicI32>,
    /// Where package state is kept.
    keeping: Option<Arc<Keeping>>,
    /// Who rebuilds a partition.
    turns: restore::Turns,
    /// Bars of the restores under way, where a terminal looks on.
    bars: indicatif::MultiProgress,
}

impl Shared {
    fn new(
        config: Config,
        policies: Arc<PolicySet>,
        clock: Arc<dyn Clock>,
        guards: Guards,
    ) -> Result<Arc<Self>, ServiceError> {
        native::heap::begin();
        let status = Status::new(config.engine.workers);
        let schemas = Schemas::new(&config, status.clone()).map_err(ServiceError::Schemas)?;
        let max_bytes = config.kafka.properties.get("message.max.bytes");
        let max_bytes = max_bytes.and_then(|text| text.parse().ok()).unwrap_or(MAX_BYTES);
        let metrics = Metrics::new(&policies, config.engine.max_packages)?;
        let input: Arc<str> = config.input.topics.first().map_or("", String::as_str).into();
        metrics.begin(&input);
        let input_partitions = Arc::new(AtomicI32::new(0));
        let of = (input.clone(), input_partitions.clone());
        let keeping = keeping(&config, of, &metrics, &clock)?;
        let file = config.policies.file.clone();
        let policies = Policies::new(file, policies, metrics.clone(), clock.clone());
        let owner = peer_name::of_owner(&config.kafka, &config.admin, clock.now_ms());
        let time = Time::new(clock.clone(), clock_margin_ms(&config, None));
        let open = &config.output.open;
        let stamper = Stamper::start(&config.kafka, open, owner.clone(), time.clone())?;
        Ok(Arc::new(Self {
            time,
            stamper: Arc::new(stamper),
            keeping,
            turns: restore::Turns::new(),
            bars: indicatif::MultiProgress::new(),
            status,
            recent: Recent::default(),
            unread: Unread::new(&config, metrics.clone()),
            metrics,
            log: OnceLock::new(),
            room: Room::new(config.engine.max_packages),
            memory: Arc::new(ReadyBlocks::start()?),
            exceptions: ExceptionCodec::new(config.output.format),
            input,
            topics: Topics {
                exceptions: config.output.exceptions.as_str().into(),
                open: config.output.open.as_str().into(),
                dead_letter: config.output.dead_letter.as_str().into(),
            },
            schemas,
            owner,
            guards,
            max_bytes,
            input_partitions,
            config,
            policies,
            clock,
        }))
    }

    fn decoder(&self) -> ScanDecoder {
        decoder(&self.config, self.schemas.get())
    }

    /// Shows that the engine and every worker live, before there are any.
    fn pulse_all(&self) {
        (0..=self.config.engine.workers).for_each(|pulse| self.status.pulse(pulse));
    }

    fn input_partitions(&self) -> i32 {
        self.input_partitions.load(Ordering::Relaxed)
    }

    /// Our group and the input; which topic that is each partition knows for itself.
    fn source(&self) -> Source {
        let group = self.config.kafka.group_id.clone();
        Source { group, topic_id: None, partitions: self.input_partitions() }
    }

    /// How long a record may still arrive with an earlier log time, in milliseconds.
    fn clock_margin_ms(&self, log_append_time: Option<bool>) -> i64 {
        clock_margin_ms(&self.config, log_append_time)
    }

    /// What time it is by the brokers, else by our own clock, in milliseconds since 1970 UTC: for
    /// whoever is told a time, not for a decision.
    fn now_ms(&self) -> i64 {
        let trusted = self.time.evidence(self.clock_margin_ms(None));
        trusted.unwrap_or_else(|_| self.clock.now_ms())
    }

    fn max_future_skew_ms(&self) -> i64 {
        millis(self.config.input.max_future_skew)
    }
}

/// How long a record may still arrive with an earlier log time, in milliseconds.
fn clock_margin_ms(config: &Config, log_append_time: Option<bool>) -> i64 {
    millis(config.input.clock_margin.unwrap_or(match log_append_time {
        Some(true) => CLOCK_MARGIN_LOG_APPEND_TIME,
        Some(false) | None => CLOCK_MARGIN_CREATE_TIME,
    }))
}

fn listed(problems: &[SchemaProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// A decoder of the input.
fn decoder(config: &Config, schemas: WriterSchemas) -> ScanDecoder {
    let decoder = match config.input.format {
        Format::Json => ScanDecoder::Json(JsonScans::new()),
        Format::Avro => ScanDecoder::Avro(AvroScans::of(schemas)),
    };
    decoder.with_no_time(config.input.no_time.clone())
}

/// Where package state is kept, if it is.
fn keeping(
    config: &Config,
    of: (Arc<str>, Arc<AtomicI32>),
    metrics: &Arc<Metrics>,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<Keeping>>, ServiceError> {
    let texts = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let variables = std::env::vars_os().filter_map(texts);
    let (group, limits) = (&config.kafka.group_id, Limits::default());
    let Some(store) = SnapshotStore::open(&config.state, group, limits, variables)? else {
        return Ok(None);
    };
    let store = Arc::new(store);
    // Memory of images is made ready by the writer itself: what is ready for shards is theirs.
    let memory = Arc::new(SystemBlocks);
    let writer = SnapshotWriter::start(store.clone(), memory, metrics.clone(), clock.clone())?;
    Ok(Some(Arc::new(Keeping::new(store, writer, of, config.state.snapshot_interval))))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The service of one instance.
pub struct Service(Arc<Shared>);

impl Service {
    /// Everything that can be made before the broker is asked.
    ///
    /// # Errors
    /// When the input's schema is of no use.
    pub fn new(
        config: Config,
        policies: Arc<PolicySet>,
        clock: Arc<dyn Clock>,
        guards: Guards,
    ) -> Result<Self, ServiceError> {
        Ok(Self(Shared::new(config, policies, clock, guards)?))
    }

    /// The log's level can be changed this way. Said once, before it runs.
    pub fn set_log_level(&self, log: LogLevel) {
        let _ = self.0.log.set(log);
    }

    /// The policies in force, and the way to others.
    pub fn policies(&self) -> Arc<Policies> {
        self.0.policies.clone()
    }

    /// The writer schemas that are known, and the way to others.
    pub fn schemas(&self) -> Arc<Schemas> {
        self.0.schemas.clone()
    }

    /// What is known of the partitions while it runs.
    pub fn status(&self) -> Arc<Status> {
        self.0.status.clone()
    }

    /// Its numbers.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.0.metrics.clone()
    }

    /// Consumes scans and publishes exceptions until it is told to stop. Blocks, and ends within five
    /// seconds more than `shutdown.deadline` whatever the client does: threads may be left behind.
    ///
    /// # Errors
    /// When the broker stays out of reach at the start for `kafka.patience`, a topic or a right is
    /// missing, another process has the same `kafka.instance_id`, or the work could not be committed
    /// before `shutdown.deadline`.
    pub fn run(&self, shutdown: &Shutdown) -> Result<(), ServiceError> {
        let shared = self.0.clone();
        let (deadline, stop) = (shared.config.shutdown.deadline, shutdown.clone());
        supervise::supervised(deadline, shutdown, move |tell| {
            let mut running = Running::new(shared);
            tell(running.run(&stop));
        })
    }
}
