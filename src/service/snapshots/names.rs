//! Names of snapshots: `{group}/{topic}/{partition}/{offset}-{content}.snapshot`, so that they sort
//! by offset, and a name never stands for two contents.

use object_store::path::Path;
use twox_hash::XxHash3_64;

const SUFFIX: &str = ".snapshot";

/// A snapshot that a listing has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) path: Path,
    /// The first offset whose record is not in it.
    pub(super) offset: i64,
}

/// Where the snapshots of a partition stand.
pub(super) fn folder(root: &Path, topic: &str, partition: i32) -> Path {
    root.clone().join(topic).join(partition.to_string())
}

/// The name of a snapshot with this content.
pub(super) fn name(folder: &Path, offset: i64, content: &[u8]) -> Path {
    let content = XxHash3_64::oneshot(content);
    folder.clone().join(format!("{offset:020}-{content:016x}{SUFFIX}"))
}

/// What a name says; `None` for what is no name of a snapshot.
pub(super) fn listed(path: &Path) -> Option<Listed> {
    let (offset, content) = path.filename()?.strip_suffix(SUFFIX)?.split_once('-')?;
    let digits = offset.len() == 20 && offset.bytes().all(|byte| byte.is_ascii_digit());
    let content = content.len() == 16 && content.bytes().all(|byte| byte.is_ascii_hexdigit());
    let offset = offset.parse().ok().filter(|_| digits && content)?;
    Some(Listed { path: path.clone(), offset })
}

/// Where a snapshot goes that cannot be used.
pub(super) fn aside(path: &Path) -> Path {
    let mut parts: Vec<_> = path.parts().collect();
    let name = parts.pop();
    let folder: Path = parts.into_iter().collect();
    folder.join("set-aside").join(name.as_ref().map_or("", |name| name.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_offset_and_say_it() {
        let folder = folder(&Path::from("a/b"), "carrier.scans.v1", 7);
        assert_eq!(folder.as_ref(), "a/b/carrier.scans.v1/7");
        let offsets = [0, 9, 10, 4_000_000_000, i64::MAX];
        let names = offsets.map(|offset| name(&folder, offset, b"content"));
        assert!(names.is_sorted());
        for (name, offset) in names.iter().zip(offsets) {
            assert_eq!(listed(name).map(|listed| listed.offset), Some(offset));
            let put = aside(name);
            assert!(put.prefix_matches(&folder));
            assert!(put.as_ref().contains("/7/set-aside/0"), "{put}");
        }
        for foreign in ["a/notes.txt", "a/7.snapshot", "a/00000000000000000007.snapshot"] {
            assert_eq!(listed(&Path::from(foreign)), None, "{foreign}");
        }
    }
}
