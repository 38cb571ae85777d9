//! The demo as a whole: broker, network, service, onlooker, live table, summary.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::error::KafkaError;

use super::broker::ScanWriter;
use super::clock::{Pace, SimulatedClock};
use super::compare::compare;
use super::findings::Findings;
use super::ledger;
use super::network::{Network, Settings};
use super::onlooker::Onlooker;
use super::production::produce;
use super::screen::{Screen, View};
use super::summary::Summary;
use super::time::{END, START};
use crate::detector::policy::PolicySet;
use crate::service::clock::{Clock, Stopwatch};
use crate::wire::exception::ReadError;

/// Real time without any progress after which the demo gives up.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Between two looks at how things stand.
const LOOK: Duration = Duration::from_millis(50);

/// Why the demo could not be played to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The embedded broker or a client of it.
    #[error("the embedded broker: {0}")]
    Kafka(#[from] KafkaError),
    /// What came out of the service cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// What came out of the service is not the Avro that it should be.
    #[error("the exception cannot be read: {0}")]
    Avro(#[from] apache_avro::Error),
    /// The service could not be started, or ended before the demo did.
    #[error("the service: {0}")]
    Service(String),
    /// Nothing moves any more.
    #[error(
        "nothing has moved for {} s: {applied} of {scans} scans are applied, {exceptions} exceptions are out",
        STANDSTILL.as_secs()
    )]
    #[allow(missing_docs)]
    Standstill { applied: u64, scans: usize, exceptions: usize },
    /// The terminal.
    #[error("the live table cannot be written: {0}")]
    Screen(#[from] io::Error),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

/// The service as the demo sees it from outside.
pub trait Watched: Sync {
    /// Whether every partition is assigned and restored.
    fn is_ready(&self) -> bool;
    /// Scans applied so far, over all partitions.
    fn applied(&self) -> u64;
    /// The least frontier of all partitions up to which everything is committed, in seconds since
    /// 1970.
    fn committed_frontier(&self) -> Option<i64>;
    /// Packages that it watches.
    fn in_flight(&self) -> u64;
    /// Why it has ended, if it has.
    fn failure(&self) -> Option<String>;
}

/// Everything that takes part.
pub struct Show<'a> {
    /// Which network.
    pub settings: Settings,
    /// The network.
    pub network: &'a Network,
    /// The policies of the ledger and of the service.
    pub policies: &'a PolicySet,
    /// Where the embedded broker listens.
    pub bootstrap_servers: &'a str,
    /// The service's only clock.
    pub clock: &'a SimulatedClock,
    /// The service.
    pub watched: &'a dyn Watched,
    /// Set when a person has had enough.
    pub interrupted: &'a AtomicBool,
    /// Whether scans carry trace contexts: a trace for each package.
    pub traced: bool,
}

impl Show<'_> {
    /// Plays three weeks at `speed` simulated seconds a real second, and sums up.
    ///
    /// Returns once everything has been detected, committed, read back and compared; service and
    /// broker go on.
    pub fn play(&self, speed: f64) -> Result<Summary, DemoError> {
        let mut writer = ScanWriter::connect(self.bootstrap_servers)?;
        let mut onlooker = Onlooker::connect(self.bootstrap_servers, self.settings.partitions)?;
        let findings = Mutex::new(Findings::default());
        let mut lookout = Lookout::new(self, &findings);
        lookout.wait_until(|| self.watched.is_ready())?;
        let pace = Pace::from_now(speed);
        let (stop, all_is_out) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let feed = scope.spawn(|| {
                let fed = produce(self, &mut writer, pace, &stop);
                fed.inspect_err(|_| stop.store(true, Ordering::Relaxed))
            });
            let reader = scope.spawn(|| {
                let read = self.look_on(&mut onlooker, &findings, &all_is_out, &stop);
                read.inspect_err(|_| stop.store(true, Ordering::Relaxed))
            });
            let waited = lookout.wait_until(|| {
                stop.load(Ordering::Relaxed) || self.watched.committed_frontier() >= Some(END)
            });
            stop.fetch_or(waited.is_err(), Ordering::Relaxed);
            all_is_out.store(true, Ordering::Relaxed);
            let fed = feed.join().expect("the feed does not panic");
            let read = reader.join().expect("the onlooker does not panic");
            fed.and(read).and(waited)
        })?;
        let took = pace.elapsed();
        let findings = lock(&findings);
        lookout.last_look(&findings)?;
        let ledger = ledger::write(self.network, self.policies);
        let comparison = compare(self.network, &ledger, findings.said());
        let speed = (END - START) as f64 / took.as_secs_f64();
        Ok(Summary::new(self.settings.seed, self.network, &findings, comparison, (took, speed)))
    }

    /// Reads exceptions until all are out and read.
    fn look_on(
        &self,
        onlooker: &mut Onlooker,
        findings: &Mutex<Findings>,
        all_is_out: &AtomicBool,
        stop: &AtomicBool,
    ) -> Result<(), DemoError> {
        while !stop.load(Ordering::Relaxed) {
            match onlooker.poll()? {
                Some((event, detected_ms)) => lock(findings).add(event, detected_ms),
                None if all_is_out.load(Ordering::Relaxed) && onlooker.has_read_everything()? => {
                    return Ok(());
                }
                None => {}
            }
        }
        Ok(())
    }
}

fn lock(findings: &Mutex<Findings>) -> MutexGuard<'_, Findings> {
    findings.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at how things stand, shows it, and notices when nothing moves any more.
struct Lookout<'a> {
    show: &'a Show<'a>,
    findings: &'a Mutex<Findings>,
    screen: Screen,
    last: (u64, usize, i64),
    moved: Stopwatch,
}

impl<'a> Lookout<'a> {
    fn new(show: &'a Show<'a>, findings: &'a Mutex<Findings>) -> Self {
        Self {
            show,
            findings,
            screen: Screen::stderr(),
            last: (0, 0, 0),
            moved: Stopwatch::start(),
        }
    }

    fn wait_until(&mut self, done: impl Fn() -> bool) -> Result<(), DemoError> {
        self.moved = Stopwatch::start();
        while !done() {
            if self.show.interrupted.load(Ordering::Relaxed) {
                return Err(DemoError::Interrupted);
            }
            if let Some(failure) = self.show.watched.failure() {
                return Err(DemoError::Service(failure));
            }
            self.look()?;
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), DemoError> {
        let view = self.view();
        let findings = lock(self.findings);
        let now = (view.scans, findings.len(), view.now_ms);
        if now != self.last {
            self.last = now;
            self.moved = Stopwatch::start();
        }
        self.screen.show(view, &findings)?;
        if self.moved.elapsed() < STANDSTILL {
            return Ok(());
        }
        let (applied, exceptions) = (view.scans, findings.len());
        Err(DemoError::Standstill { applied, scans: self.show.network.stream.len(), exceptions })
    }

    fn last_look(&mut self, findings: &Findings) -> Result<(), DemoError> {
        Ok(self.screen.finish(self.view(), findings)?)
    }

    fn view(&self) -> View {
        let Show { watched, clock, .. } = self.show;
        View { now_ms: clock.now_ms(), in_flight: watched.in_flight(), scans: watched.applied() }
    }
}
