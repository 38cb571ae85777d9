//! `file://`.

use std::path::{Path, PathBuf};

use stallwatch::service::snapshots::{Limits, Refusal, SnapshotStore, StoreError};
use stallwatch::wire::snapshot::{Decisions, Header, SnapshotError};

use crate::state::{PARTITION, TOPIC, decisions, found, header, restore, snapshot, state_at};

fn open(folder: &Path, keep: usize) -> SnapshotStore {
    let state = state_at(&format!("file://{}", folder.display()), keep);
    SnapshotStore::open(&state, "group", Limits::default(), []).unwrap().unwrap()
}

fn save(store: &SnapshotStore, offset: i64, packages: u64) -> PathBuf {
    let header = header(offset);
    let saved = store.save(&header, snapshot(packages, &header)).unwrap();
    PathBuf::from(saved.name)
}

fn files(folder: &Path) -> Vec<String> {
    let folder = folder.join(format!("group/{TOPIC}/{PARTITION}"));
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_newest_up_to_what_is_committed_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 10);
    assert_eq!(found(&store, 1_000), None, "nothing has been saved");
    for (offset, packages) in [(100, 1), (200, 2), (300, 3)] {
        save(&store, offset, packages);
    }
    assert_eq!(found(&store, 1_000), Some((300, 3)));
    assert_eq!(found(&store, 300), Some((300, 3)));
    assert_eq!(found(&store, 299), Some((200, 2)));
    assert_eq!(found(&store, 99), None);
    assert_eq!(files(folder.path()).len(), 3, "what is ahead stays");
    // Another store, as after a restart.
    assert_eq!(found(&open(folder.path(), 10), 250), Some((200, 2)));
}

#[test]
fn as_many_as_are_kept_are_left_and_those_ahead_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 2);
    save(&store, 900, 9);
    for offset in [100, 200, 300, 400] {
        save(&store, offset, 1);
    }
    let names = files(folder.path());
    assert_eq!(names.len(), 3, "{names:?}");
    for (name, offset) in names.iter().zip([300, 400, 900]) {
        assert!(name.starts_with(&format!("{offset:020}-")), "{name}");
    }
    save(&store, 400, 1);
    assert_eq!(files(folder.path()), names, "the same state has the same name");
}

#[test]
fn a_damaged_one_is_set_aside_and_the_one_before_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 10);
    save(&store, 100, 1);
    let damaged = save(&store, 200, 2);
    let cut = save(&store, 300, 3);
    let path = folder.path().join(&damaged);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let path = folder.path().join(&cut);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();

    let restored = restore(&store, 1_000).unwrap();
    assert_eq!(restored.found.map(|(header, _)| header.offset), Some(100));
    let refused = restored.refused;
    let length = whole.len() as u64 - 1;
    assert_eq!(refused[0], Refusal::Damaged(SnapshotError::Truncated { length }));
    assert!(matches!(refused[1], Refusal::Damaged(SnapshotError::Damaged { .. })), "{refused:?}");
    for name in [damaged, cut] {
        let aside = name.parent().unwrap().join("set-aside").join(name.file_name().unwrap());
        assert!(folder.path().join(aside).is_file(), "kept for somebody to look at");
        assert!(!folder.path().join(name).exists());
    }
    assert!(restore(&store, 1_000).unwrap().refused.is_empty(), "it is not looked at again");
}

#[test]
fn what_belongs_to_another_log_or_a_later_program_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 10);
    save(&store, 100, 1);
    // One of another partition that somebody copied here.
    let other = Header { partition: 8, ..header(400) };
    let content = snapshot(2, &other);
    let saved = store.save(&other, content).unwrap().name;
    let place = folder.path().join(format!("group/{TOPIC}/{PARTITION}"));
    let name = Path::new(&saved).file_name().unwrap();
    std::fs::rename(folder.path().join(&saved), place.join(name)).unwrap();
    let mut newer = snapshot(2, &header(500));
    newer[8] = 9;
    store.save(&header(500), newer).unwrap();

    let restored = restore(&store, 1_000).unwrap();
    let misplaced = Refusal::Misplaced { topic: TOPIC.to_owned(), partition: 8, offset: 400 };
    assert_eq!(restored.refused, [Refusal::Newer(9), misplaced]);
    assert_eq!(restored.found.map(|(header, _)| header.offset), Some(100));
    assert_eq!(
        files(folder.path()).len(),
        3,
        "the misplaced one is set aside, the newer one stays"
    );
}

#[test]
fn a_header_that_is_longer_than_most_is_read_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 10);
    let mixed = |at: i64| at * 1_000_000 + (at * 7_919 * 7_919) % 999_983;
    let refused = (0..60_000).map(mixed).map(|offset| (offset, offset)).collect();
    let long = Header { decisions: Decisions { refused, ..decisions() }, ..header(100) };
    let content = snapshot(2, &long);
    assert!(content.len() > 100 << 10, "{} bytes are not long", content.len());
    store.save(&long, content).unwrap();
    let listing = store.listing(TOPIC, PARTITION).unwrap();
    assert_eq!(listing.found[0].header, long);
}

#[test]
fn what_a_killed_process_left_half_written_is_swept_away() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 10);
    let saved = save(&store, 100, 1);
    let half = folder.path().join(format!("{}#1", saved.display()));
    std::fs::copy(folder.path().join(&saved), &half).unwrap();
    assert_eq!(found(&store, 1_000), Some((100, 1)));
    save(&store, 200, 2);
    assert!(!half.exists());
    assert_eq!(files(folder.path()).len(), 2);
}

#[test]
fn a_folder_that_cannot_be_is_an_error_that_names_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let below = format!("file://{}/below", file.path().display());
    let opened = SnapshotStore::open(&state_at(&below, 1), "group", Limits::default(), []);
    let store = opened.unwrap().unwrap();
    let header = header(100);
    let said = store.save(&header, snapshot(1, &header)).unwrap_err().to_string();
    assert!(said.contains(&below), "{said}");
    assert!(restore(&store, 100).is_err());
    std::fs::remove_file(file.path()).unwrap();
    store.save(&header, snapshot(1, &header)).unwrap();
    assert_eq!(found(&store, 100), Some((100, 1)), "it works once the folder can be");
    std::fs::remove_dir_all(file.path()).unwrap();
}

#[test]
fn a_folder_that_is_lost_is_an_error_and_works_again_once_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 2);
    save(&store, 100, 1);
    let group = folder.path().join("group");
    let gone = folder.path().join("gone");
    std::fs::rename(&group, &gone).unwrap();
    std::fs::write(&group, "in the way").unwrap();
    let header = header(200);
    let error = store.save(&header, snapshot(2, &header)).err();
    assert!(matches!(error, Some(StoreError::Failed { .. })), "{error:?}");
    std::fs::remove_file(&group).unwrap();
    std::fs::rename(&gone, &group).unwrap();
    save(&store, 200, 2);
    assert_eq!(found(&store, 1_000), Some((200, 2)));
}
