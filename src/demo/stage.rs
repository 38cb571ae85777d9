//! The stage of the demo: the embedded broker and the real service at work on it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use super::broker::{DEAD_LETTERS, EXCEPTIONS, EmbeddedBroker, OPEN, SCANS};
use super::clock::{LONGEST_STEP_MS, MARGIN_MS, SimulatedClock};
use super::show::{DemoError, Watched};
use crate::config::{Config, Environment};
use crate::detector::package::Phase;
use crate::detector::policy::PolicySet;
use crate::service::status::{Halt, Status};
use crate::service::{Guards, Service, Shutdown};

/// How often the service asks for proof that the log is empty. In a second, as usual, simulated
/// days would go by.
const EVIDENCE_INTERVAL: Duration = Duration::from_millis(50);

/// The group of the demo's service.
pub const GROUP_ID: &str = "stallwatch-demo";
/// Its only instance.
pub const INSTANCE_ID: &str = "demo";

/// The embedded broker and the service, running until [`Stage::close`].
pub struct Stage {
    broker: EmbeddedBroker,
    listeners: Listeners,
    clock: Arc<SimulatedClock>,
    performer: Performer,
    shutdown: Shutdown,
    thread: Option<JoinHandle<()>>,
}

/// Where the service listens.
#[derive(Clone, Copy)]
struct Listeners {
    page: SocketAddr,
    probes: SocketAddr,
}

/// The running service.
pub struct Performer {
    status: Arc<Status>,
    partitions: usize,
    /// What it ended with.
    ended: Arc<OnceLock<Result<(), String>>>,
}

impl Stage {
    /// Starts the broker, creates the topics, starts the service with its page at an address, at a
    /// free one where none is given.
    pub fn open(
        partitions: i32,
        policies: Arc<PolicySet>,
        page: Option<SocketAddr>,
    ) -> Result<Self, DemoError> {
        let broker = EmbeddedBroker::start(partitions)?;
        let listeners = Listeners::find(page)?;
        let clock = Arc::new(SimulatedClock::at_the_start());
        let config = config(&broker.bootstrap_servers(), listeners);
        let guards = Guards { embedded: true, evidence_interval: EVIDENCE_INTERVAL };
        let service = Service::new(config, policies, clock.clone(), guards)
            .map_err(|error| DemoError::Service(error.to_string()))?;
        let ended = Arc::new(OnceLock::new());
        let partitions = partitions.unsigned_abs() as usize;
        let performer = Performer { status: service.status(), partitions, ended: ended.clone() };
        let shutdown = Shutdown::default();
        let stop = shutdown.clone();
        let thread = std::thread::Builder::new().name("service".to_owned()).spawn(move || {
            let end = service.run(&stop).map_err(|error| error.to_string());
            ended.get_or_init(|| end);
        })?;
        Ok(Self { broker, listeners, clock, performer, shutdown, thread: Some(thread) })
    }

    /// `host:port` of the broker.
    pub fn bootstrap_servers(&self) -> String {
        self.broker.bootstrap_servers()
    }

    /// Where the service's page and API are.
    pub fn page(&self) -> SocketAddr {
        self.listeners.page
    }

    /// Where its probes and metrics are.
    pub fn probes(&self) -> SocketAddr {
        self.listeners.probes
    }

    /// The service's only clock.
    pub fn clock(&self) -> &SimulatedClock {
        &self.clock
    }

    /// The service.
    pub fn performer(&self) -> &Performer {
        &self.performer
    }

    /// Stops the service, which commits what it has done, and then the broker.
    pub fn close(mut self) -> Result<(), DemoError> {
        self.stop();
        match self.performer.ended.get() {
            Some(Err(why)) => Err(DemoError::Service(why.clone())),
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn stop(&mut self) {
        self.shutdown.request();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the service does not panic");
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Watched for Performer {
    fn is_ready(&self) -> bool {
        self.status.not_ready().is_none() && self.status.partitions.len() == self.partitions
    }

    fn applied(&self) -> u64 {
        self.status.partitions.iter().map(|partition| partition.position.max(0) as u64).sum()
    }

    fn committed_frontier(&self) -> Option<i64> {
        self.status.partitions.iter().map(|partition| partition.settled).min().flatten()
    }

    fn in_flight(&self) -> u64 {
        let count = |packages: &[usize]| {
            let by_phase = Phase::ALL.iter().zip(packages);
            let watched = by_phase.filter(|(phase, _)| **phase != Phase::Settled);
            watched.map(|(_, count)| *count as u64).sum::<u64>()
        };
        self.status.partitions.iter().map(|partition| count(&partition.stats.packages)).sum()
    }

    fn failure(&self) -> Option<String> {
        let message = |halt: &Halt| halt.message.clone();
        let mut partitions = self.status.partitions.iter();
        let halted = partitions.find_map(|partition| partition.halted.as_ref().map(message));
        let ended = self.ended.get().map(|end| match end {
            Ok(()) => "stopped before the demo was over".to_owned(),
            Err(why) => why.clone(),
        });
        ended.or(halted)
    }
}

impl Listeners {
    /// Loopback addresses that nobody listens on at the moment, but for one that is given.
    fn find(page: Option<SocketAddr>) -> std::io::Result<Self> {
        // Held together until both are known, so that they differ.
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let (first, second) = (free()?, free()?);
        Ok(Self { page: page.unwrap_or(first.local_addr()?), probes: second.local_addr()? })
    }
}

/// The service as usual, but for the pace: what it does every half second by default takes
/// simulated hours.
fn config(bootstrap_servers: &str, Listeners { page, probes }: Listeners) -> Config {
    let (margin_s, skew_s) = (MARGIN_MS / 1000, 2 * LONGEST_STEP_MS / 1000);
    let text = format!(
        r#"
[kafka]
bootstrap_servers = "{bootstrap_servers}"
group_id = "{GROUP_ID}"
instance_id = "{INSTANCE_ID}"
[kafka.properties]
# The embedded broker sits out the wait even when something arrives.
"fetch.wait.max.ms" = "10"
[input]
topics = ["{SCANS}"]
start_from = "earliest"
backfill = "publish"
clock_margin = "{margin_s}s"
max_future_skew = "{skew_s}s"
[output]
exceptions = "{EXCEPTIONS}"
open = "{OPEN}"
dead_letter = "{DEAD_LETTERS}"
commit_interval = "100ms"
[engine]
workers = 2
[policies]
file = "policies.toml"
[admin]
listen = "{page}"
probe_listen = "{probes}"
"#
    );
    Config::parse("demo.toml", &text, Path::new(""), &Environment::ignored())
        .expect("the demo's own configuration is in order")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_of_the_demo_is_configured_in_order() {
        let page = SocketAddr::from((Ipv4Addr::LOCALHOST, 9464));
        let listeners = Listeners::find(Some(page)).unwrap();
        let config = config("127.0.0.1:9092", listeners);
        assert_eq!(config.input.clock_margin, Some(Duration::from_secs(2400)));
        assert_eq!(config.admin.listen, page);
        assert_eq!(config.admin.probe_listen, listeners.probes);
        let free = Listeners::find(None).unwrap();
        assert_ne!(free.page, free.probes);
    }
}
