//! The writer schemas that are known, and how more come to be known while the service runs. Their files
//! are read anew by a signal, by a request, and every few seconds as long as a partition waits for a
//! schema; the registry is asked for an id that no file has.
//!
//! A record whose schema nobody has waits, named. It is given up only where the registry has answered
//! for `kafka.patience` that there is none, or where `input.on_unknown_schema` says so.

mod registry;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};

use super::clock::Stopwatch;
use super::policies::Asked;
use super::status::Status;
use crate::config::{self, Config, OnUnknownSchema, SchemaRegistry, SchemaText};
use crate::wire::reject::{Reason, Rejected};
use crate::wire::scan::framing::Mark;
use crate::wire::scan::{ScanDecoder, SchemaProblem, SchemaSource, UnknownSchema, WriterSchemas};
pub use registry::innermost;
use registry::{Answer, Client, Registry, Told};

/// An id that registries give to no schema.
const NO_ID: u32 = 0;
/// How often the registry's turn comes.
const TURN: Duration = Duration::from_millis(200);
/// How often files are looked at while a partition waits.
const LOOK: Duration = Duration::from_secs(5);
/// How long the registry has for an answer before its silence is told.
const TOLD_AFTER: Duration = Duration::from_secs(5);
/// How soon it is told once more that a partition waits; each time four times as long.
const TOLD_AGAIN: Duration = Duration::from_secs(60);
const TOLD_AT_LEAST: Duration = Duration::from_secs(3_600);

/// What becomes of a record whose schema is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It waits.
    Waits,
    /// It is rejected.
    GivenUp(Rejected),
}

/// What files in order came to.
#[derive(Clone, Debug)]
pub struct Read {
    /// The schemas that are known.
    pub schemas: WriterSchemas,
    /// Whether they are others than those before.
    pub changed: bool,
}

/// See the module's head.
pub struct Schemas {
    files: config::Schemas,
    registry: Option<Registry>,
    /// How long a registry may say that it has none.
    patience: Duration,
    /// What no registry is asked for is rejected at once.
    rejects: bool,
    status: Arc<Status>,
    known: RwLock<WriterSchemas>,
    /// Counts the changes of what is known.
    version: AtomicU64,
    /// One reading at a time, so that what was read last counts.
    read: Mutex<Texts>,
    waiting: Mutex<BTreeMap<i32, Waiting>>,
}

/// What schemas are known by.
#[derive(Default)]
struct Texts {
    files: Vec<SchemaText>,
    /// By their ids, from the registry.
    learned: BTreeMap<u32, String>,
    /// What was wrong with the files when they were last looked at.
    problems: Vec<SchemaProblem>,
}

/// A partition that waits for a schema.
struct Waiting {
    offset: i64,
    unknown: UnknownSchema,
    since: Stopwatch,
    tell_at: Duration,
    again: Duration,
}

impl Schemas {
    /// Those of the files.
    ///
    /// # Errors
    /// Every problem of the files.
    pub fn new(config: &Config, status: Arc<Status>) -> Result<Arc<Self>, Vec<SchemaProblem>> {
        let rejects = config.input.on_unknown_schema == OnUnknownSchema::Reject;
        let files = config.input.schemas.clone();
        let mut texts = Texts::default();
        (texts.files, texts.problems) = files.texts();
        if !texts.problems.is_empty() {
            return Err(texts.problems);
        }
        let known = texts.compiled()?;
        Ok(Arc::new(Self {
            files,
            registry: config.schema_registry.clone().map(Registry::new),
            patience: if rejects { Duration::ZERO } else { config.kafka.patience },
            rejects,
            status,
            known: RwLock::new(known),
            version: AtomicU64::new(1),
            read: Mutex::new(texts),
            waiting: Mutex::default(),
        }))
    }

    /// Those that are known.
    pub fn get(&self) -> WriterSchemas {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Which state of what is known it is; another with each change.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Gives a decoder what is known if that has changed since it was last given it.
    pub fn renew(&self, decoder: &mut ScanDecoder, given: &mut u64) -> bool {
        let version = self.version();
        let changed = version != *given;
        if changed {
            *given = version;
            decoder.set_schemas(self.get());
        }
        changed
    }

    /// What becomes of the record at this offset, whose schema its decoder does not know; one that was
    /// read before may not be given up. One that waits is told in the log, and again as long as it
    /// lasts.
    pub fn look(
        &self,
        partition: i32,
        offset: i64,
        unknown: UnknownSchema,
        may_give_up: bool,
    ) -> Verdict {
        if self.get().knows(unknown.mark) {
            return Verdict::Waits;
        }
        let answer = match (unknown.mark, &self.registry) {
            (Mark::Id(id), Some(registry)) => Some(registry.want(id)),
            _ => None,
        };
        let given_up = match &answer {
            Some(Answer::Missing(lasted)) => *lasted >= self.patience,
            Some(_) => false,
            None => self.rejects,
        };
        if given_up && may_give_up {
            let why = format!("{unknown}{}", self.says(answer.as_ref()));
            return Verdict::GivenUp(Rejected::new(Reason::UnknownSchema, why));
        }
        self.tell((partition, offset), unknown, answer.as_ref());
        Verdict::Waits
    }

    fn tell(
        &self,
        (partition, offset): (i32, i64),
        unknown: UnknownSchema,
        answer: Option<&Answer>,
    ) {
        let mut waiting = lock(&self.waiting);
        let is_it = |it: &Waiting| (it.offset, it.unknown) == (offset, unknown);
        if !waiting.get(&partition).is_some_and(is_it) {
            let tell_at = answer.map_or(Duration::ZERO, |_| TOLD_AFTER);
            let since = Stopwatch::start();
            let again = TOLD_AGAIN;
            waiting.insert(partition, Waiting { offset, unknown, since, tell_at, again });
        }
        let Some(waits) = waiting.get_mut(&partition) else { return };
        let lasted = waits.since.elapsed();
        if lasted < waits.tell_at {
            return;
        }
        waits.tell_at = lasted + waits.again;
        waits.again = (waits.again * 4).min(TOLD_AT_LEAST);
        let says = format!("offset {offset}: {unknown}{}", self.says(answer));
        tracing::warn!(
            partition,
            seconds = lasted.as_secs(),
            "the partition waits at {says}; nothing is lost, it goes on once the schema is known"
        );
        self.status.update(partition, |status| status.waits_for = Some(says));
    }

    /// What the registry says, behind a semicolon.
    fn says(&self, answer: Option<&Answer>) -> String {
        match (&self.registry, answer) {
            (Some(registry), Some(answer)) => {
                format!("; the schema registry {} {answer}", registry.url())
            }
            _ if self.rejects => "; input.on_unknown_schema = \"reject\"".to_owned(),
            _ => String::new(),
        }
    }

    /// The partition waits for no schema, or is held no more.
    pub fn goes_on(&self, partition: i32) {
        if lock(&self.waiting).remove(&partition).is_some() {
            self.status.update(partition, |status| status.waits_for = None);
        }
    }

    /// Has the files read anew: from here on what they say is known, and what the registry said.
    ///
    /// # Errors
    /// Every problem of the files: what was known stays.
    pub fn reload(&self, asked: Asked) -> Result<Read, Vec<SchemaProblem>> {
        let by = asked.as_str();
        let mut read = lock(&self.read);
        let (files, problems) = self.files.texts();
        let before = std::mem::take(&mut read.problems);
        let changed = files != read.files;
        let next = Texts { files, learned: read.learned.clone(), problems: Vec::new() };
        let compiled = match problems.is_empty() {
            true if changed => next.compiled().map(Some),
            true => Ok(None),
            false => Err(problems),
        };
        match compiled {
            Ok(None) => {
                if asked != Asked::File {
                    tracing::info!(by, "the schema files say what is known already");
                }
                Ok(Read { schemas: self.get(), changed: false })
            }
            Ok(Some(schemas)) => {
                read.files = next.files;
                tracing::info!(by, "other schemas are known: {}", Names(&schemas));
                self.put(schemas.clone());
                Ok(Read { schemas, changed: true })
            }
            Err(problems) => {
                let is_told = asked == Asked::File && problems == before;
                for problem in problems.iter().filter(|_| !is_told) {
                    tracing::error!(by, "the schemas that are known stay: {problem}");
                }
                read.problems = problems.clone();
                Err(problems)
            }
        }
    }

    fn put(&self, schemas: WriterSchemas) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = schemas;
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The registry has a schema of this id. Says what is wrong with it, if scans cannot be read by it.
    fn learn(&self, id: u32, text: String) -> Result<(), String> {
        let registry = self.registry.as_ref().map_or("", Registry::url);
        let mut read = lock(&self.read);
        let before = read.learned.insert(id, text);
        match read.compiled() {
            Ok(schemas) => {
                tracing::info!(id, registry, "the schema registry has the schema of this id");
                self.put(schemas);
                Ok(())
            }
            Err(problems) => {
                match before {
                    Some(before) => read.learned.insert(id, before),
                    None => read.learned.remove(&id),
                };
                Err(problems.first().map_or_else(String::new, |it| it.problem.clone()))
            }
        }
    }

    /// Asks the registry for what is wanted of it, and has what it tells known.
    fn ask(&self, client: &Client) {
        let Some(registry) = &self.registry else { return };
        for id in registry.due() {
            let answer = match client.ask(id) {
                Told::Schema(text) => match self.learn(id, text) {
                    Ok(()) => Answer::Schema,
                    Err(why) => Answer::Useless(why),
                },
                Told::Missing => Answer::Missing(Duration::ZERO),
                Told::Useless(why) => Answer::Useless(why),
                Told::Silent(why) => Answer::Silent(why),
            };
            registry.answered(id, answer);
        }
    }

    /// Has the registry asked for the schema of a mark, and waits for its answer; whether it is known
    /// then. For those who cannot come again.
    pub fn ask_now(&self, mark: Mark) -> bool {
        if let (Mark::Id(id), Some(registry)) = (mark, &self.registry)
            && registry.want(id) == Answer::None
            && let Ok(client) = registry.client()
        {
            self.ask(&client);
        }
        self.get().knows(mark)
    }

    /// Looks after files and registry until the watch is dropped.
    ///
    /// # Errors
    /// When there is no thread to be had, or no client of the registry.
    pub fn watch(self: &Arc<Self>) -> Result<Watch, WatchError> {
        let client = self.registry.as_ref().map(Registry::client).transpose()?;
        let (stop, stopped) = bounded::<()>(0);
        let schemas = self.clone();
        std::thread::Builder::new().name("schemas".to_owned()).spawn(move || {
            let mut looked = Stopwatch::start();
            while stopped.recv_timeout(TURN).is_err_and(|it| it.is_timeout()) {
                if let Some(client) = &client {
                    schemas.ask(client);
                }
                if looked.elapsed() >= LOOK {
                    looked = Stopwatch::start();
                    if !lock(&schemas.waiting).is_empty() {
                        // What was wrong has been told.
                        let _ = schemas.reload(Asked::File);
                    }
                }
            }
        })?;
        Ok(Watch { _stop: stop })
    }
}

impl Texts {
    fn compiled(&self) -> Result<WriterSchemas, Vec<SchemaProblem>> {
        let files = self.files.iter().map(SchemaText::source);
        let has = |id: u32| self.files.iter().any(|file| file.id == Some(id));
        let learned = self.learned.iter().filter(|(id, _)| !has(**id));
        let learned =
            learned.map(|(id, text)| SchemaSource { name: "the registry's", text, id: Some(*id) });
        WriterSchemas::of(files.chain(learned))
    }
}

/// Whether a registry answers as one; if not, why.
///
/// # Errors
/// What it says instead, or why nothing comes.
pub fn reach(registry: &SchemaRegistry) -> Result<(), String> {
    let client = Client::new(registry).map_err(|error| error.to_string())?;
    match client.ask(NO_ID) {
        Told::Silent(why) => Err(why),
        Told::Schema(_) | Told::Missing | Told::Useless(_) => Ok(()),
    }
}

/// Files and registry that are looked after. A question under way is not waited for.
pub struct Watch {
    _stop: Sender<()>,
}

/// Why files and registry cannot be looked after.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// There is no thread to be had.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// The client of the registry could not be made.
    #[error("schema_registry: {0}")]
    Client(#[from] registry::NoClient),
}

/// Each schema and what it is known by.
pub struct Names<'a>(pub &'a WriterSchemas);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, marks)) in self.0.names().enumerate() {
            let marks: Vec<_> = marks.iter().map(ToString::to_string).collect();
            write!(f, "{}{name} ({})", if at > 0 { ", " } else { "" }, marks.join(", "))?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
