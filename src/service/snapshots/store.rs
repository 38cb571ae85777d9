//! The folder or bucket that snapshots stand in.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use tokio::runtime::{Builder, Runtime};

use super::bucket::Bucket;
use super::errors::{Refusal, StoreError};
use super::limits::{Limits, Patience};
use super::names::{Listed, aside, folder, listed, name};
use super::transfer::{fetch, put};
use crate::config::{SnapshotUrl, State};
use crate::detector::memory::BlockSource;
use crate::detector::policy::PolicySet;
use crate::detector::shard::Shard;
use crate::wire::snapshot::{Header, SnapshotError, read, read_header};

/// In the names of what has not been renamed yet: object_store puts `#` and a number behind it.
const STAGED: &str = ".snapshot#";
/// Bytes that nearly every header lies within.
const HEADER: u64 = 64 << 10;

/// A snapshot that is in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Older ones that were taken away.
    pub pruned: usize,
}

/// A snapshot that stands there, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its header.
    pub header: Header,
    path: Path,
}

impl Found {
    /// Its name.
    pub fn name(&self) -> &str {
        self.path.as_ref()
    }
}

/// The snapshots of a partition.
#[derive(Debug, Default)]
pub struct Listing {
    /// Newest first.
    pub found: Vec<Found>,
    /// Those of no use, by name.
    pub refused: Vec<(String, Refusal)>,
}

/// Where they stand.
enum Place {
    /// Opened, and made where it is not there, once it is needed: it may come later than the service.
    Folder(PathBuf, Mutex<Option<Arc<dyn ObjectStore>>>),
    Bucket(Bucket),
}

/// Snapshots of one consumer group. Its calls block, and are made off its own runtime.
pub struct SnapshotStore {
    runtime: Option<Runtime>,
    url: String,
    place: Place,
    root: Path,
    keep: usize,
    limits: Limits,
    /// What could not be put aside.
    unusable: Mutex<BTreeSet<Path>>,
}

impl SnapshotStore {
    /// `None` where no store is configured. It is not asked for anything yet; how to reach a bucket
    /// say those of the `variables` that begin with `AWS_`, normally of the environment.
    ///
    /// # Errors
    /// When what the environment says of the bucket has no meaning, or the system gives no thread.
    pub fn open(
        state: &State,
        group: &str,
        limits: Limits,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Option<Self>, StoreError> {
        let Some(url) = &state.url else {
            return Ok(None);
        };
        let unusable = |why: String| StoreError::Unusable { url: url.to_string(), why };
        let (place, root) = match url {
            SnapshotUrl::Folder(folder) => {
                (Place::Folder(folder.clone(), Mutex::default()), Path::default())
            }
            SnapshotUrl::Bucket { bucket, prefix } => {
                let clients = Bucket::of(bucket, &limits, variables)
                    .map_err(|error| unusable(all_of(&error)))?;
                let prefix = Path::parse(prefix).map_err(|error| unusable(error.to_string()))?;
                (Place::Bucket(clients), prefix)
            }
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("snapshot-store")
            .enable_all()
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        let (runtime, root) = (Some(runtime), root.join(group));
        let unusable = Mutex::default();
        let keep = state.keep.max(1);
        let url = url.to_string();
        Ok(Some(Self { runtime, url, place, root, keep, limits, unusable }))
    }

    /// Where it is, as it is configured.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What is asked and read from.
    fn store(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        match &self.place {
            Place::Bucket(clients) => Ok(clients.reading.clone()),
            Place::Folder(folder, opened) => self.opened(folder, opened),
        }
    }

    /// What is sent to.
    fn target(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        match &self.place {
            Place::Bucket(clients) => Ok(clients.sending.clone()),
            Place::Folder(folder, opened) => self.opened(folder, opened),
        }
    }

    fn opened(
        &self,
        folder: &std::path::Path,
        opened: &Mutex<Option<Arc<dyn ObjectStore>>>,
    ) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let locked = || opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = &*locked() {
            return Ok(store.clone());
        }
        // A file system that hangs is waited for like a bucket, and nothing is held meanwhile.
        let here = folder.to_owned();
        let patience = Patience::of(self.limits.listing);
        let opening = async {
            Ok(tokio::task::spawn_blocking(move || open_folder(&here))
                .await
                .map_err(io::Error::from))
        };
        let store = self.within("opening the folder of snapshots", patience, opening)?;
        let store = store.map_err(|error| error.to_string()).and_then(|opened| opened);
        let store = store.map_err(|why| StoreError::Unusable { url: self.url.clone(), why })?;
        Ok(locked().insert(store).clone())
    }

    /// Puts a snapshot in place, whole or not at all; then takes away older ones beyond those that
    /// are kept. Where the latter fails it is logged, and no error.
    ///
    /// # Errors
    /// When the snapshot is not in place. It may be all the same after an answer that got lost.
    pub fn save(&self, header: &Header, content: Vec<u8>) -> Result<Saved, StoreError> {
        let folder = folder(&self.root, &header.topic, header.partition);
        let path = name(&folder, header.offset, &content);
        let bytes = content.len() as u64;
        let store = self.target()?;
        self.sweep(&folder);
        let patience = Patience::of(self.limits.whole);
        self.within("saving a snapshot", patience, put(&*store, &path, content))?;
        let pruned = self.prune(&folder, header.offset).unwrap_or_else(|error| {
            tracing::warn!("old snapshots stay in {folder}: {error}");
            0
        });
        Ok(Saved { name: path.to_string(), bytes, pruned })
    }

    /// Writes an object of this name beside the snapshots, reads it, lists it and takes it away.
    ///
    /// # Errors
    /// What cannot be done.
    pub fn probe(&self, name: &str) -> Result<(), StoreError> {
        let (store, path) = (self.store()?, self.root.clone().join(name));
        let (content, target) = (name.as_bytes(), self.target()?);
        let each = || Patience::of(self.limits.listing);
        self.within("writing", each(), put(&*target, &path, content.to_vec()))?;
        let read = self.within("reading", each(), async { store.get(&path).await?.bytes().await });
        let listed = self.within("listing", each(), store.list_with_delimiter(Some(&self.root)));
        self.within("deleting", each(), store.delete(&path))?;
        let other = |action, why: &str| StoreError::Failed { action, why: why.to_owned() };
        if read? != content {
            return Err(other("reading", "it is not what was written"));
        }
        match listed?.objects.iter().any(|object| object.location == path) {
            true => Ok(()),
            false => Err(other("listing", "what was written is not listed")),
        }
    }

    /// In a folder a snapshot is written beside its name and renamed. What a process left there that
    /// was killed meanwhile is of no use; a partition has one owner, who is about to write.
    fn sweep(&self, folder: &Path) {
        let Place::Folder(local, _) = &self.place else { return };
        let Ok(entries) = std::fs::read_dir(local.join(folder.as_ref())) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().contains(STAGED)
                && let Err(error) = std::fs::remove_file(entry.path())
            {
                tracing::warn!("{} stays: {error}", entry.path().display());
            }
        }
    }

    /// Snapshots of a later offset are left alone: they tell of another time of the log.
    fn prune(&self, folder: &Path, newest: i64) -> Result<usize, StoreError> {
        let listed = self.list(folder, Patience::of(self.limits.listing))?;
        let store = self.store()?;
        let old = listed.iter().filter(|it| it.offset <= newest).skip(self.keep);
        let mut pruned = 0;
        for old in old {
            let patience = Patience::of(self.limits.listing);
            self.within("taking away a snapshot", patience, store.delete(&old.path))?;
            pruned += 1;
        }
        Ok(pruned)
    }

    /// The snapshots of a partition and what they say of themselves; no more of them is read. What
    /// cannot be read, or is another partition's, is set aside.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub fn listing(&self, topic: &str, partition: i32) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        let patience = Patience::of(self.limits.listing);
        for Listed { path, offset } in self.list(&folder(&self.root, topic, partition), patience)? {
            match self.header(&path, (topic, partition, offset), patience)? {
                Some(Ok(header)) => listing.found.push(Found { header, path }),
                Some(Err(refusal)) => listing.refused.push(self.refused(&path, refusal, patience)),
                None => {}
            }
        }
        Ok(listing)
    }

    /// Reads a snapshot whole, as a shard in the state of [`Shard::rebuilding`]. What cannot be read
    /// is set aside.
    ///
    /// # Errors
    /// When the store cannot be asked. That a snapshot is of no use is the inner one.
    pub fn load(
        &self,
        found: &Found,
        policies: &Arc<PolicySet>,
        memory: &Arc<dyn BlockSource>,
    ) -> Result<Result<Shard, Refusal>, StoreError> {
        let store = self.store()?;
        let content = self.fetched(&*store, &found.path)?;
        let patience = Patience::of(self.limits.listing);
        let refused = |refusal| Err(self.refused(&found.path, refusal, patience).1);
        Ok(match read(&content, policies.clone(), memory.clone()) {
            Ok((header, shard)) if header == found.header => Ok(shard),
            Ok((Header { topic, partition, offset, .. }, _)) => {
                refused(Refusal::Misplaced { topic, partition, offset })
            }
            Err(error) => refused(error.into()),
        })
    }

    fn fetched(&self, store: &dyn ObjectStore, path: &Path) -> Result<Vec<u8>, StoreError> {
        let (action, limit) = ("fetching a snapshot", self.limits.piece);
        match self.runtime(action)?.block_on(fetch(store, path, limit)) {
            Some(Ok(content)) => Ok(content),
            Some(Err(error)) => Err(StoreError::Failed { action, why: all_of(&error) }),
            None => Err(StoreError::Stalled { action, limit }),
        }
    }

    /// The header alone, or all where it is longer than most; `None` for what has been taken away
    /// since it was listed.
    fn header(
        &self,
        path: &Path,
        expected: (&str, i32, i64),
        patience: Patience,
    ) -> Result<Option<Result<Header, Refusal>>, StoreError> {
        let store = self.store()?;
        let action = "fetching the header of a snapshot";
        let begin = async {
            let options = GetOptions::new().with_range(Some(GetRange::Bounded(0..HEADER)));
            match async { store.get_opts(path, options).await?.bytes().await }.await {
                // Of an empty one no range can be had.
                Err(error) if !matches!(error, object_store::Error::NotFound { .. }) => {
                    gone(async { store.get(path).await?.bytes().await }.await)
                }
                answer => gone(answer),
            }
        };
        let Some(mut content) = self.within(action, patience, begin)? else { return Ok(None) };
        let mut header = read_header(&content);
        if content.len() as u64 == HEADER && matches!(header, Err(SnapshotError::Truncated { .. }))
        {
            let whole = async { gone(async { store.get(path).await?.bytes().await }.await) };
            let Some(whole) = self.within(action, patience, whole)? else { return Ok(None) };
            content = whole;
            header = read_header(&content);
        }
        Ok(Some(header.map_err(Refusal::from).and_then(|header| {
            let Header { topic, partition, offset, .. } = &header;
            match (topic.as_str(), *partition, *offset) == expected {
                true => Ok(header),
                false => Err(Refusal::Misplaced {
                    topic: topic.clone(),
                    partition: *partition,
                    offset: *offset,
                }),
            }
        })))
    }

    fn refused(&self, path: &Path, refusal: Refusal, patience: Patience) -> (String, Refusal) {
        if matches!(refusal, Refusal::Damaged(_) | Refusal::Misplaced { .. }) {
            self.set_aside(path, patience);
        }
        (path.to_string(), refusal)
    }

    /// Newest first, without what has been set aside.
    fn list(&self, folder: &Path, patience: Patience) -> Result<Vec<Listed>, StoreError> {
        let store = self.store()?;
        let listing = store.list_with_delimiter(Some(folder));
        let all = self.within("listing snapshots", patience, listing)?;
        let unusable = self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
        let mut snapshots: Vec<_> = (all.objects.iter())
            .filter(|object| !unusable.contains(&object.location))
            .filter_map(|object| listed(&object.location))
            .collect();
        snapshots.sort_by(|a, b| (b.offset, &b.path).cmp(&(a.offset, &a.path)));
        Ok(snapshots)
    }

    /// What is of no use stays for somebody to look at, but is not looked at again.
    fn set_aside(&self, path: &Path, patience: Patience) {
        let moved = self.store().and_then(|store| {
            let renaming = async { store.rename(path, &aside(path)).await };
            self.within("setting a snapshot aside", patience, renaming)
        });
        if let Err(error) = moved {
            tracing::warn!("{path} is remembered as of no use: {error}");
            self.unusable.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
        }
    }

    fn within<T>(
        &self,
        action: &'static str,
        patience: Patience,
        task: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, StoreError> {
        // The timer belongs to the runtime, so it has to be made there.
        let task = async { tokio::time::timeout(patience.left(), task).await };
        match self.runtime(action)?.block_on(task) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(StoreError::Failed { action, why: all_of(&error) }),
            Err(_) => Err(StoreError::Slow { action, limit: patience.limit }),
        }
    }

    fn runtime(&self, action: &'static str) -> Result<&Runtime, StoreError> {
        let closed = || StoreError::Failed { action, why: "the store is closed".to_owned() };
        self.runtime.as_ref().ok_or_else(closed)
    }
}

impl Drop for SnapshotStore {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A folder, made where it is not there.
fn open_folder(folder: &std::path::Path) -> Result<Arc<dyn ObjectStore>, String> {
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| all_of(&error))?;
    Ok(Arc::new(store.with_fsync(true)))
}

/// An error and what is behind it.
fn all_of(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(behind) = source {
        let more = behind.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = behind.source();
    }
    text
}

/// What is no longer there is no error.
fn gone<T>(answer: object_store::Result<T>) -> object_store::Result<Option<T>> {
    match answer {
        Ok(there) => Ok(Some(there)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the encoder writes to: memory, as much as it takes.
pub(super) fn encoded(
    encoder: &mut crate::wire::snapshot::Encoder,
    image: &crate::detector::snapshot::Image,
    header: &Header,
) -> io::Result<Vec<u8>> {
    // What a package takes on most logs.
    let mut content = Vec::with_capacity(image.len() * 12);
    encoder.write(image, header, &mut content)?;
    Ok(content)
}
