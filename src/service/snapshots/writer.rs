//! The thread that makes snapshots: it has images ready, sorts, encodes and sends.

use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::store::{Saved, SnapshotStore, encoded};
use crate::detector::memory::BlockSource;
use crate::detector::shard::Shard;
use crate::detector::snapshot::Image;
use crate::service::clock::{Clock, Stopwatch};
use crate::service::telemetry::Metrics;
use crate::wire::snapshot::{Encoder, Header};

/// After a failure no image is taken for so long, then twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// Slots that an image has room for beyond those asked for, as a share: a shard grows meanwhile.
const SPARE: usize = 8;

/// What became of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in place.
    Saved(Saved),
    /// It is not, and this is why.
    Failed(String),
}

/// Told once, when a snapshot is in place or has failed. It runs on the writer's thread.
type Done = Box<dyn FnOnce(Outcome) + Send>;

enum Job {
    /// Have an image ready for so many slots.
    Prepare(usize),
    Image(Box<Image>, Header, Done),
    Shard(Box<dyn AsShard>, Header, Done),
}

/// A shard, and whatever goes with it until it is written.
trait AsShard: Send {
    fn shard(&self) -> &Shard;
}

impl<S: Deref<Target = Shard> + Send> AsShard for S {
    fn shard(&self) -> &Shard {
        self
    }
}

#[derive(Default)]
struct State {
    /// The one image there is, while nobody has it, and the slots it has room for.
    idle: Option<(Box<Image>, usize)>,
    preparing: bool,
    /// Snapshots that were submitted and are neither in place nor given up.
    pending: usize,
    /// Since when the store fails, and how long it is left alone.
    failing: Option<(Stopwatch, Duration)>,
    /// What is still submitted is not written any more.
    given_up: bool,
}

impl State {
    fn leaves_store_alone(&self) -> bool {
        self.failing.is_some_and(|(since, pause)| since.elapsed() < pause)
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands images out and takes them back filled. The thread ends with this, after what was
/// submitted.
pub struct SnapshotWriter {
    shared: Arc<Shared>,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
}

impl SnapshotWriter {
    /// Starts the thread. `memory`: where images have their blocks from.
    ///
    /// # Errors
    /// When the system gives no thread, or zstd no context.
    pub fn start(
        store: Arc<SnapshotStore>,
        memory: Arc<dyn BlockSource>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<Self> {
        let idle = Some((Box::new(Image::with_memory(memory.clone())), 0));
        let state = Mutex::new(State { idle, ..State::default() });
        let shared = Arc::new(Shared { state, changed: Condvar::new() });
        let (jobs, work) = unbounded();
        let encoder = Encoder::new()?;
        let (told, time) = (metrics.clone(), clock.clone());
        let worker = Worker { shared: shared.clone(), store, memory, metrics, clock, encoder };
        let thread = std::thread::Builder::new()
            .name("snapshots".to_owned())
            .spawn(move || worker.run(&work))?;
        Ok(Self { shared, jobs: Some(jobs), thread: Some(thread), metrics: told, clock: time })
    }

    /// There is nothing that the last snapshots do not have.
    pub fn nothing_new(&self) {
        self.metrics.snapshots_up_to_date(self.clock.now_ms());
    }

    /// An image with memory ready for a shard of so many slots ([`Shard::slots`]). Never waits:
    /// `None` while the one image is at work or being prepared, and while the store is left alone
    /// after a failure. Ask again a little later.
    pub fn ready(&self, slots: usize) -> Option<Box<Image>> {
        let mut state = self.shared.lock();
        if state.leaves_store_alone() {
            return None;
        }
        match &state.idle {
            Some((_, room)) if *room >= slots => state.idle.take().map(|(image, _)| image),
            Some(_) if !state.preparing => {
                state.preparing = true;
                self.send(Job::Prepare(slots));
                None
            }
            _ => None,
        }
    }

    /// Gives an image back that was not filled.
    pub fn give_back(&self, image: Box<Image>, slots: usize) {
        self.shared.lock().idle = Some((image, slots));
    }

    /// Has a filled image written. `done` is told of it on the writer's thread.
    pub fn submit(
        &self,
        image: Box<Image>,
        header: Header,
        done: impl FnOnce(Outcome) + Send + 'static,
    ) {
        self.shared.lock().pending += 1;
        self.send(Job::Image(image, header, Box::new(done)));
    }

    /// Whether the store is left alone after a failure.
    pub fn leaves_store_alone(&self) -> bool {
        self.shared.lock().leaves_store_alone()
    }

    /// Has the state of a shard written that is not needed any more: nothing waits for an image. It
    /// is dropped once that is done.
    pub fn submit_shard(
        &self,
        shard: impl Deref<Target = Shard> + Send + 'static,
        header: Header,
        done: impl FnOnce(Outcome) + Send + 'static,
    ) {
        self.shared.lock().pending += 1;
        self.send(Job::Shard(Box::new(shard), header, Box::new(done)));
    }

    /// Waits until everything that was submitted is in place or has failed, at most so long; returns
    /// whether it is.
    pub fn wait(&self, at_most: Duration) -> bool {
        let state = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(state, at_most, |it| it.pending > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.pending == 0
    }

    /// What is not in place by now is of no interest any more: the writer's end waits for nothing.
    pub fn give_up(&self) {
        self.shared.lock().given_up = true;
    }

    fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // The thread lives as long as this does.
            let _ = jobs.send(job);
        }
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        self.jobs.take();
        let given_up = self.shared.lock().given_up;
        if let Some(thread) = self.thread.take().filter(|_| !given_up) {
            let _ = thread.join();
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    store: Arc<SnapshotStore>,
    memory: Arc<dyn BlockSource>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    encoder: Encoder,
}

impl Worker {
    fn run(mut self, work: &Receiver<Job>) {
        while let Ok(job) = work.recv() {
            if self.shared.lock().given_up {
                return;
            }
            match job {
                Job::Prepare(slots) => self.prepare(slots),
                Job::Image(image, header, done) => {
                    let outcome = self.write(&image, &header);
                    let room = image.slots();
                    self.shared.lock().idle = Some((image, room));
                    self.tell(outcome, done);
                }
                Job::Shard(shard, header, done) => {
                    let outcome = self.write_shard(shard.shard(), &header);
                    drop(shard);
                    self.tell(outcome, done);
                }
            }
        }
    }

    fn prepare(&self, slots: usize) {
        let Some((mut image, _)) = self.shared.lock().idle.take() else {
            self.shared.lock().preparing = false;
            return;
        };
        let slots = slots + slots / SPARE;
        image.prepare(slots);
        let mut state = self.shared.lock();
        state.idle = Some((image, slots));
        state.preparing = false;
        self.shared.changed.notify_all();
    }

    fn write_shard(&mut self, shard: &Shard, header: &Header) -> Outcome {
        let mut image = Image::with_memory(self.memory.clone());
        match shard.image(&mut image) {
            Ok(()) => self.write(&image, header),
            Err(busy) => Outcome::Failed(busy.to_string()),
        }
    }

    fn write(&mut self, image: &Image, header: &Header) -> Outcome {
        let content = match encoded(&mut self.encoder, image, header) {
            Ok(content) => content,
            Err(error) => return self.failed(header, &format!("encoding failed: {error}")),
        };
        match self.store.save(header, content) {
            Ok(saved) => self.saved(header, saved),
            Err(error) => self.failed(header, &error.to_string()),
        }
    }

    fn saved(&self, header: &Header, saved: Saved) -> Outcome {
        self.metrics.snapshot_saved(header.partition, saved.bytes, self.clock.now_ms());
        if self.shared.lock().failing.take().is_some() {
            tracing::info!("snapshots are saved again: {}", saved.name);
        }
        tracing::debug!("{} is saved, {} bytes", saved.name, saved.bytes);
        Outcome::Saved(saved)
    }

    /// Said once until a snapshot is saved again; counted each time.
    fn failed(&self, header: &Header, why: &str) -> Outcome {
        self.metrics.snapshot_failed();
        let mut state = self.shared.lock();
        let pause = match state.failing {
            None => FIRST_PAUSE,
            Some((_, pause)) => (pause * 2).min(LONGEST_PAUSE),
        };
        if state.failing.is_none() {
            tracing::warn!(
                "no snapshot of partition {} at offset {}: {why}; detection goes on, and a restart \
                 would take longer; tried again until it works",
                header.partition,
                header.offset
            );
        }
        state.failing = Some((Stopwatch::start(), pause));
        Outcome::Failed(why.to_owned())
    }

    fn tell(&self, outcome: Outcome, done: Done) {
        done(outcome);
        self.shared.lock().pending -= 1;
        self.shared.changed.notify_all();
    }
}
