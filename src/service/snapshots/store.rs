//! The folder or bucket that snapshots stand in.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
    WriteMultipart,
};
use tokio::runtime::{Builder, Runtime};

use super::names::{Listed, aside, folder, listed, name};
use crate::config::{SnapshotUrl, State};
use crate::detector::memory::BlockSource;
use crate::detector::policy::PolicySet;
use crate::detector::shard::Shard;
use crate::wire::snapshot::{Header, SnapshotError, read, read_header};

/// In the names of what has not been renamed yet: object_store puts `#` and a number behind it.
const STAGED: &str = ".snapshot#";
/// Bytes of a part of what is sent in parts; at S3 at least 5 MiB.
const PART: usize = 8 << 20;
/// Bytes that nearly every header lies within.
const HEADER: u64 = 64 << 10;
/// Parts that are under way at once.
const PARTS: usize = 4;

/// How long the store is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One request of a bucket.
    pub request: Duration,
    /// All requests of one try: a snapshot to be saved, a listing, a snapshot to be fetched.
    pub whole: Duration,
    /// How often a request of a bucket that failed is made again.
    pub retries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { request: Duration::from_secs(30), whole: Duration::from_secs(300), retries: 3 }
    }
}

/// Why the store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such store, or it cannot be reached as it is configured.
    #[error("snapshots cannot be kept at {url}: {why}")]
    Unusable {
        /// The configured place.
        url: String,
        /// What the store says.
        why: String,
    },
    /// No answer.
    #[error("{action} took longer than {} s", .limit.as_secs_f64())]
    Slow {
        /// What was asked for.
        action: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// An answer that says no.
    #[error("{action} failed: {why}")]
    Failed {
        /// What was asked for.
        action: &'static str,
        /// What the store says.
        why: String,
    },
}

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

/// Why a snapshot is of no use, whatever is committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be read, or is of another log than its name says; it has been set aside.
    #[error("{0}; it has been set aside")]
    Damaged(SnapshotError),
    /// It is of another topic or partition than its name says; it has been set aside.
    #[error("it is of {topic}/{partition}, offset {offset}; it has been set aside")]
    Misplaced {
        /// What its header says.
        topic: String,
        /// What its header says.
        partition: i32,
        /// What its header says.
        offset: i64,
    },
    /// Written by a later version of the program; it stays where it is.
    #[error("it was written by a later version of the program (format {0})")]
    Newer(u32),
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
    Bucket(Arc<dyn ObjectStore>),
}

/// Snapshots of one consumer group. Its calls block, and are made off its own runtime.
pub struct SnapshotStore {
    runtime: Option<Runtime>,
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
                let store = bucket_of(bucket, &limits, variables)
                    .map_err(|error| unusable(all_of(&error)))?;
                let prefix = Path::parse(prefix).map_err(|error| unusable(error.to_string()))?;
                (Place::Bucket(store), prefix)
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
        Ok(Some(Self { runtime, place, root, keep, limits, unusable }))
    }

    fn store(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        let (folder, opened) = match &self.place {
            Place::Bucket(store) => return Ok(store.clone()),
            Place::Folder(folder, opened) => (folder, opened),
        };
        let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = &*opened {
            return Ok(store.clone());
        }
        let unusable =
            |why: String| StoreError::Unusable { url: format!("file://{}", folder.display()), why };
        std::fs::create_dir_all(folder).map_err(|error| unusable(error.to_string()))?;
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|error| unusable(all_of(&error)))?
            .with_fsync(true);
        let store: Arc<dyn ObjectStore> = Arc::new(store);
        Ok(opened.insert(store).clone())
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
        let store = self.store()?;
        self.sweep(&folder);
        self.within("saving a snapshot", put(&*store, &path, content))?;
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
        let content = name.as_bytes();
        self.within("writing", put(&*store, &path, content.to_vec()))?;
        let read = self.within("reading", async { store.get(&path).await?.bytes().await });
        let listed = self.within("listing", store.list_with_delimiter(Some(&self.root)));
        self.within("deleting", store.delete(&path))?;
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
        let listed = self.list(folder)?;
        let store = self.store()?;
        let old = listed.iter().filter(|it| it.offset <= newest).skip(self.keep);
        let mut pruned = 0;
        for old in old {
            self.within("taking away a snapshot", store.delete(&old.path))?;
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
        for Listed { path, offset } in self.list(&folder(&self.root, topic, partition))? {
            match self.header(&path, (topic, partition, offset))? {
                Some(Ok(header)) => listing.found.push(Found { header, path }),
                Some(Err(refusal)) => listing.refused.push(self.refused(&path, refusal)),
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
        let content = self
            .within("fetching a snapshot", async { store.get(&found.path).await?.bytes().await })?;
        Ok(match read(&content, policies.clone(), memory.clone()) {
            Ok((header, shard)) if header == found.header => Ok(shard),
            Ok((Header { topic, partition, offset, .. }, _)) => {
                Err(self.refused(&found.path, Refusal::Misplaced { topic, partition, offset }).1)
            }
            Err(error) => Err(self.refused(&found.path, refusal(error)).1),
        })
    }

    /// The header alone, or all where it is longer than most; `None` for what has been taken away
    /// since it was listed.
    fn header(
        &self,
        path: &Path,
        expected: (&str, i32, i64),
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
        let Some(mut content) = self.within(action, begin)? else { return Ok(None) };
        let mut header = read_header(&content);
        if content.len() as u64 == HEADER && matches!(header, Err(SnapshotError::Truncated { .. }))
        {
            let whole = async { gone(async { store.get(path).await?.bytes().await }.await) };
            let Some(whole) = self.within(action, whole)? else { return Ok(None) };
            content = whole;
            header = read_header(&content);
        }
        Ok(Some(header.map_err(refusal).and_then(|header| {
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

    fn refused(&self, path: &Path, refusal: Refusal) -> (String, Refusal) {
        if matches!(refusal, Refusal::Damaged(_) | Refusal::Misplaced { .. }) {
            self.set_aside(path);
        }
        (path.to_string(), refusal)
    }

    /// Newest first, without what has been set aside.
    fn list(&self, folder: &Path) -> Result<Vec<Listed>, StoreError> {
        let store = self.store()?;
        let all = self.within("listing snapshots", store.list_with_delimiter(Some(folder)))?;
        let unusable = self.unusable.lock().unwrap_or_else(PoisonError::into_inner);
        let mut snapshots: Vec<_> = (all.objects.iter())
            .filter(|object| !unusable.contains(&object.location))
            .filter_map(|object| listed(&object.location))
            .collect();
        snapshots.sort_by(|a, b| (b.offset, &b.path).cmp(&(a.offset, &a.path)));
        Ok(snapshots)
    }

    /// What is of no use stays for somebody to look at, but is not looked at again.
    fn set_aside(&self, path: &Path) {
        let moved = self.store().and_then(|store| {
            self.within("setting a snapshot aside", store.rename(path, &aside(path)))
        });
        if let Err(error) = moved {
            tracing::warn!("{path} is remembered as of no use: {error}");
            self.unusable.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
        }
    }

    fn within<T>(
        &self,
        action: &'static str,
        task: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, StoreError> {
        let limit = self.limits.whole;
        let Some(runtime) = &self.runtime else {
            return Err(StoreError::Failed { action, why: "the store is closed".to_owned() });
        };
        // The timer belongs to the runtime, so it has to be made there.
        match runtime.block_on(async { tokio::time::timeout(limit, task).await }) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(StoreError::Failed { action, why: all_of(&error) }),
            Err(_) => Err(StoreError::Slow { action, limit }),
        }
    }
}

impl Drop for SnapshotStore {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn bucket_of(
    bucket: &str,
    limits: &Limits,
    variables: impl IntoIterator<Item = (String, String)>,
) -> object_store::Result<Arc<dyn ObjectStore>> {
    let options =
        ClientOptions::new().with_timeout(limits.request).with_connect_timeout(limits.request);
    let retry = RetryConfig {
        max_retries: limits.retries,
        retry_timeout: limits.whole,
        ..RetryConfig::default()
    };
    let mut builder = AmazonS3Builder::new()
        .with_client_options(options)
        .with_bucket_name(bucket)
        .with_retry(retry);
    for (name, value) in variables {
        // Those that only other clients know are none of ours.
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>()
            && name.starts_with("AWS_")
        {
            // An endpoint that is named without TLS is meant.
            if key == AmazonS3ConfigKey::Endpoint && value.starts_with("http://") {
                builder = builder.with_allow_http(true);
            }
            builder = builder.with_config(key, value);
        }
    }
    Ok(Arc::new(builder.build()?))
}

async fn put(store: &dyn ObjectStore, path: &Path, content: Vec<u8>) -> object_store::Result<()> {
    if content.len() <= PART {
        store.put(path, PutPayload::from(content)).await?;
        return Ok(());
    }
    let upload = store.put_multipart(path).await?;
    let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
    for part in content.chunks(PART) {
        if let Err(error) = upload.wait_for_capacity(PARTS).await {
            // What was sent is not to be paid for.
            let _ = upload.abort().await;
            return Err(error);
        }
        upload.write(part);
    }
    upload.finish().await?;
    Ok(())
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

fn refusal(error: SnapshotError) -> Refusal {
    match error {
        SnapshotError::Newer { found } => Refusal::Newer(found),
        error => Refusal::Damaged(error),
    }
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
