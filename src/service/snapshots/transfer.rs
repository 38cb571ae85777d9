//! How the bytes of a snapshot go to a store and come from it.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use hyper::body::Bytes;
use object_store::path::Path;
use object_store::{
    GetResultPayload, ObjectStore, ObjectStoreExt, PutPayload, Result, WriteMultipart,
};
use tokio::time::timeout;

/// Bytes of a part of what is sent in parts; at S3 at least 5 MiB.
const PART: usize = 8 << 20;
/// Parts that are under way at once.
const PARTS: usize = 4;
/// Bytes that have to come, or the end, within the time for a piece. A store that is slower than
/// that costs more time than the log.
const PIECE: u64 = 1 << 20;

/// Sends it whole or not at all.
pub(super) async fn put(store: &dyn ObjectStore, path: &Path, content: Vec<u8>) -> Result<()> {
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

/// Reads it whole, however long that takes, as long as one piece after the other comes within its
/// time; `None` once one did not.
pub(super) async fn fetch(
    store: &dyn ObjectStore,
    path: &Path,
    each: Duration,
) -> Option<Result<Vec<u8>>> {
    let answer = match timeout(each, store.get(path)).await.ok()? {
        Ok(answer) => answer,
        Err(error) => return Some(Err(error)),
    };
    let size = answer.meta.size;
    let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    let mut from = Source::of(answer.payload, store, path, size);
    loop {
        match timeout(each, from.piece(&mut content)).await.ok()? {
            Ok(true) => {}
            Ok(false) => return Some(Ok(content)),
            Err(error) => return Some(Err(error)),
        }
    }
}

/// Where pieces come from: a file is asked for each, as its stream would come in small change.
enum Source<'s> {
    File { store: &'s dyn ObjectStore, path: &'s Path, size: u64 },
    Stream(futures_util::stream::BoxStream<'static, Result<Bytes>>),
}

impl<'s> Source<'s> {
    fn of(
        payload: GetResultPayload,
        store: &'s dyn ObjectStore,
        path: &'s Path,
        size: u64,
    ) -> Self {
        match payload {
            GetResultPayload::File(..) => Self::File { store, path, size },
            GetResultPayload::Stream(stream) => Self::Stream(stream),
        }
    }

    /// Appends a piece; whether there may be more.
    async fn piece(&mut self, content: &mut Vec<u8>) -> Result<bool> {
        let begun = content.len() as u64;
        match self {
            Self::File { store, path, size } if begun < *size => {
                let end = (begun + PIECE).min(*size);
                let piece = store.get_range(path, begun..end).await?;
                content.extend_from_slice(&piece);
                Ok(!piece.is_empty())
            }
            Self::File { .. } => Ok(false),
            Self::Stream(stream) => {
                while content.len() as u64 - begun < PIECE {
                    match stream.try_next().await? {
                        Some(bytes) => content.extend_from_slice(&bytes),
                        None => return Ok(false),
                    }
                }
                Ok(true)
            }
        }
    }
}
