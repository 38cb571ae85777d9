//! The policies in force, and how others come into force while the service runs: by a signal, by a
//! request, or because their file has changed. A file with problems changes nothing.
//!
//! Each partition goes over to them behind its next cut.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};

use super::clock::Clock;
use super::telemetry::Metrics;
use crate::config;
use crate::detector::policy::PolicySet;
use crate::wire::toml_reader::Problem;

/// How often the file is looked at, where it is watched.
const LOOK: Duration = Duration::from_secs(5);

/// Who wants the file to be read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SIGHUP.
    Signal,
    /// A request to the admin listener.
    Request,
    /// The file itself, which has changed.
    File,
}

impl Asked {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Request => "request",
            Self::File => "file",
        }
    }
}

/// What a file in order came to.
#[derive(Clone, Debug)]
pub struct Read {
    /// The policies that it holds.
    pub set: Arc<PolicySet>,
    /// Whether they are others than those in force before.
    pub changed: bool,
}

struct InForce {
    set: Arc<PolicySet>,
    since_ms: i64,
}

/// See the module's head.
pub struct Policies {
    file: PathBuf,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    in_force: RwLock<InForce>,
    /// One reading at a time, so that what was read last is in force.
    reading: Mutex<()>,
}

impl Policies {
    /// These are in force; others are read from this file.
    pub fn new(
        file: PathBuf,
        set: Arc<PolicySet>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let since_ms = clock.now_ms();
        let in_force = RwLock::new(InForce { set, since_ms });
        Arc::new(Self { file, metrics, clock, in_force, reading: Mutex::new(()) })
    }

    /// Those in force.
    pub fn get(&self) -> Arc<PolicySet> {
        self.in_force.read().unwrap_or_else(PoisonError::into_inner).set.clone()
    }

    /// Since when, in milliseconds since 1970 UTC.
    pub fn since_ms(&self) -> i64 {
        self.in_force.read().unwrap_or_else(PoisonError::into_inner).since_ms
    }

    /// What the file says now, without putting it in force.
    ///
    /// # Errors
    /// Every problem of the file.
    pub fn look(&self) -> Result<Read, Vec<Problem>> {
        let read = config::load_policies(&self.file);
        self.metrics.policies_read(read.is_ok());
        let set = Arc::new(read?);
        let changed = set.hash() != self.get().hash();
        Ok(Read { set, changed })
    }

    /// Puts in force what the file says now.
    ///
    /// # Errors
    /// Every problem of the file: those in force stay.
    pub fn reload(&self, asked: Asked) -> Result<Read, Vec<Problem>> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let by = asked.as_str();
        let read = self.look().inspect_err(|problems| {
            for problem in problems {
                tracing::error!(by, "the policies in force stay: {problem}");
            }
        })?;
        if read.changed {
            let since_ms = self.clock.now_ms();
            let set = read.set.clone();
            self.metrics.policies_in_force(&set);
            let mut in_force = self.in_force.write().unwrap_or_else(PoisonError::into_inner);
            let before = std::mem::replace(&mut *in_force, InForce { set, since_ms });
            let (policies, before) = (read.set.hash().as_ref(), before.set.hash().as_ref());
            tracing::info!(by, policies, before, "other policies are in force");
        } else if asked != Asked::File {
            tracing::info!(by, "the policies file says what is in force already");
        }
        Ok(read)
    }

    /// Looks at the file every few seconds, and puts in force what it says once that has changed,
    /// until the watch is dropped.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn watch(self: &Arc<Self>) -> std::io::Result<Watch> {
        let (stop, stopped) = bounded::<()>(0);
        let policies = self.clone();
        let thread = std::thread::Builder::new().name("policies".to_owned()).spawn(move || {
            let bytes = || std::fs::read(&policies.file).map_err(|error| error.kind());
            // What happened to it since it was read for the start is seen at the first look.
            let mut known = None;
            while stopped.recv_timeout(LOOK).is_err_and(|it| it.is_timeout()) {
                let now = Some(bytes());
                if now != known {
                    known = now;
                    // What was wrong has been told.
                    let _ = policies.reload(Asked::File);
                }
            }
        })?;
        Ok(Watch { stop: Some(stop), thread: Some(thread) })
    }
}

/// A file that is watched.
pub struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
