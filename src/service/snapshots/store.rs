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
    ClientOptions, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig, WriteMultipart,
};
use tokio::runtime::{Builder, Runtime};

use super::names::{Listed, aside, folder, listed, name};
use crate::config::{SnapshotUrl, State};
use crate::detector::memory::BlockSource;
use crate::detector::policy::PolicySet;
use crate::detector::shard::Shard;
use crate::wire::snapshot::{Decisions, Header, SnapshotError, read, read_header};

/// In the names of what has not been renamed yet: object_store puts `#` and a number behind it.
const STAGED: &str = ".snapshot#";
/// Bytes of a part of what is sent in parts; at S3 at least 5 MiB.
const PART: usize = 8 << 20;
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

/// Which snapshot a restore asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    /// The input topic.
    pub topic: &'w str,
    /// Its partition.
    pub partition: i32,
    /// How many partitions it has.
    pub partitions: i32,
    /// C: no snapshot of a later offset is right.
    pub committed: i64,
    /// The decisions of the cut.
    pub decisions: &'w Decisions,
}

/// Why a snapshot was not taken.
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
    /// It reaches past what has been committed; it stays where it is.
    #[error("its offset {0} lies behind what is committed")]
    Ahead(i64),
    /// The topic had another number of partitions then; it stays where it is.
    #[error("the topic had {0} partitions when it was taken")]
    Partitions(i32),
    /// It was taken under other decisions than the cut names; it stays where it is.
    #[error("it was taken under other decisions than those committed")]
    Decisions,
    /// What the caller has against it; it stays where it is.
    #[error("{0}")]
    Unaccepted(String),
}

/// What a restore found.
pub struct Restoration {
    /// The newest snapshot that fits, as a shard in the state of [`Shard::rebuilding`].
    pub found: Option<(Header, Shard)>,
    /// Newer ones that were not taken, by name.
    pub refused: Vec<(String, Refusal)>,
}

/// Snapshots of one consumer group. Its calls block, and are made off its own runtime.
pub struct SnapshotStore {
    runtime: Option<Runtime>,
    store: Arc<dyn ObjectStore>,
    root: Path,
    /// The folder, where it is one.
    local: Option<PathBuf>,
    keep: usize,
    limits: Limits,
    /// What could not be put aside.
    unusable: Mutex<BTreeSet<Path>>,
}

impl SnapshotStore {
    /// Opens the store; `None` where none is configured. A folder is made if it is not there. A
    /// bucket is not asked for anything yet; how to reach it say those of the `variables` that begin
    /// with `AWS_`, normally of the environment.
    ///
    /// # Errors
    /// When the folder cannot be made, or what the environment says of the bucket has no meaning.
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
        let (store, root, local) = match url {
            SnapshotUrl::Folder(folder) => {
                std::fs::create_dir_all(folder).map_err(|error| unusable(error.to_string()))?;
                let store = LocalFileSystem::new_with_prefix(folder)
                    .map_err(|error| unusable(all_of(&error)))?
                    .with_fsync(true);
                (Arc::new(store) as Arc<dyn ObjectStore>, Path::default(), Some(folder.clone()))
            }
            SnapshotUrl::Bucket { bucket, prefix } => {
                let store = bucket_of(bucket, &limits, variables)
                    .map_err(|error| unusable(all_of(&error)))?;
                let prefix = Path::parse(prefix).map_err(|error| unusable(error.to_string()))?;
                (store, prefix, None)
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
        Ok(Some(Self { runtime, store, root, local, keep, limits, unusable }))
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
        self.sweep(&folder);
        self.within("saving a snapshot", put(&*self.store, &path, content))?;
        let pruned = self.prune(&folder, header.offset).unwrap_or_else(|error| {
            tracing::warn!("old snapshots stay in {folder}: {error}");
            0
        });
        Ok(Saved { name: path.to_string(), bytes, pruned })
    }

    /// In a folder a snapshot is written beside its name and renamed. What a process left there that
    /// was killed meanwhile is of no use; a partition has one owner, who is about to write.
    fn sweep(&self, folder: &Path) {
        let Some(local) = &self.local else { return };
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
        let old = listed.iter().filter(|it| it.offset <= newest).skip(self.keep);
        let mut pruned = 0;
        for old in old {
            self.within("taking away a snapshot", self.store.delete(&old.path))?;
            pruned += 1;
        }
        Ok(pruned)
    }

    /// The newest snapshot that fits, read whole. `accept` may have something against one, by its
    /// header: that the log has another record where its last one was.
    ///
    /// # Errors
    /// When the store cannot be asked. What stands there and cannot be used is no error.
    pub fn restore(
        &self,
        wanted: &Wanted<'_>,
        policies: &Arc<PolicySet>,
        memory: &Arc<dyn BlockSource>,
        accept: &mut dyn FnMut(&Header) -> Result<(), String>,
    ) -> Result<Restoration, StoreError> {
        let folder = folder(&self.root, wanted.topic, wanted.partition);
        let mut refused = Vec::new();
        for Listed { path, offset } in self.list(&folder)? {
            let found = if offset > wanted.committed {
                Err(Refusal::Ahead(offset))
            } else {
                let content = self.within("fetching a snapshot", async {
                    self.store.get(&path).await?.bytes().await
                })?;
                check(&content, offset, wanted)
                    .and_then(|header| accept(&header).map_err(Refusal::Unaccepted))
                    .and_then(|()| {
                        read(&content, policies.clone(), memory.clone()).map_err(refusal)
                    })
            };
            match found {
                Ok(found) => return Ok(Restoration { found: Some(found), refused }),
                Err(refusal) => {
                    if matches!(refusal, Refusal::Damaged(_) | Refusal::Misplaced { .. }) {
                        self.set_aside(&path);
                    }
                    refused.push((path.to_string(), refusal));
                }
            }
        }
        Ok(Restoration { found: None, refused })
    }

    /// Newest first, without what has been set aside.
    fn list(&self, folder: &Path) -> Result<Vec<Listed>, StoreError> {
        let all = self.within("listing snapshots", self.store.list_with_delimiter(Some(folder)))?;
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
        let moved = self.within("setting a snapshot aside", self.store.rename(path, &aside(path)));
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

fn check(content: &[u8], offset: i64, wanted: &Wanted<'_>) -> Result<Header, Refusal> {
    let header = read_header(content).map_err(refusal)?;
    let of = (&*header.topic, header.partition, header.offset);
    if of != (wanted.topic, wanted.partition, offset) {
        let Header { topic, partition, offset, .. } = header;
        return Err(Refusal::Misplaced { topic, partition, offset });
    }
    if header.partitions != wanted.partitions {
        return Err(Refusal::Partitions(header.partitions));
    }
    match header.decisions == wanted.decisions.below(offset) {
        true => Ok(header),
        false => Err(Refusal::Decisions),
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
