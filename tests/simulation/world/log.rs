//! One partition of a topic: records, transactions and what each kind of reader sees.

use std::collections::BTreeMap;

/// Whoever writes in transactions: producer and number of its transaction.
pub type Writer = (u32, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Committed,
    Pending,
    Aborted,
    /// A control record: it has an offset, and nobody is given it.
    Marker,
}

/// A record as it stands in the log.
#[derive(Clone, Debug)]
pub struct Entry<V> {
    pub offset: i64,
    pub writer: Option<Writer>,
    /// `None` in control records.
    pub value: Option<V>,
    state: State,
}

/// One partition.
#[derive(Debug)]
pub struct Log<V> {
    start: i64,
    end: i64,
    entries: Vec<Entry<V>>,
    /// First offset of each transaction that is pending.
    pending: BTreeMap<Writer, i64>,
}

impl<V> Default for Log<V> {
    fn default() -> Self {
        Self { start: 0, end: 0, entries: Vec::new(), pending: BTreeMap::new() }
    }
}

impl<V> Log<V> {
    /// Appends a record, as part of a transaction or not.
    pub fn append(&mut self, writer: Option<Writer>, value: V) -> i64 {
        let state = match writer {
            Some(writer) => {
                self.pending.entry(writer).or_insert(self.end);
                State::Pending
            }
            None => State::Committed,
        };
        self.push(Entry { offset: self.end, writer, value: Some(value), state })
    }

    /// Ends a transaction with a control record; nothing happens where it wrote nothing.
    pub fn end_transaction(&mut self, writer: Writer, commit: bool) {
        let Some(first) = self.pending.remove(&writer) else { return };
        let from = self.entries.partition_point(|entry| entry.offset < first);
        for entry in &mut self.entries[from..] {
            if entry.writer == Some(writer) && entry.state == State::Pending {
                entry.state = if commit { State::Committed } else { State::Aborted };
            }
        }
        self.push(Entry { offset: self.end, writer: None, value: None, state: State::Marker });
    }

    fn push(&mut self, entry: Entry<V>) -> i64 {
        self.entries.push(entry);
        self.end += 1;
        self.end - 1
    }

    /// First offset that is still there.
    pub fn start(&self) -> i64 {
        self.start
    }

    /// The end as a reader of uncommitted data sees it.
    pub fn high_watermark(&self) -> i64 {
        self.end
    }

    /// The end as a reader of committed data sees it.
    pub fn last_stable_offset(&self) -> i64 {
        self.pending.values().copied().min().unwrap_or(self.end)
    }

    /// Records before this offset are deleted; it stays within the log.
    pub fn truncate(&mut self, start: i64) {
        self.start = self.start.max(start.min(self.end));
    }

    /// Committed records from an offset on, up to the last stable offset.
    pub fn committed(&self, from: i64) -> impl Iterator<Item = (&Entry<V>, &V)> {
        let stable = self.last_stable_offset();
        let first = self.entries.partition_point(|entry| entry.offset < from.max(self.start));
        self.entries[first..]
            .iter()
            .take_while(move |entry| entry.offset < stable)
            .filter(|entry| entry.state == State::Committed)
            .filter_map(|entry| Some((entry, entry.value.as_ref()?)))
    }

    /// Committed records whatever has been deleted since: for an oracle that has seen them.
    pub fn history(&self, from: i64, to: i64) -> impl Iterator<Item = (&Entry<V>, &V)> {
        let first = self.entries.partition_point(|entry| entry.offset < from);
        self.entries[first..]
            .iter()
            .take_while(move |entry| entry.offset < to)
            .filter(|entry| entry.state == State::Committed)
            .filter_map(|entry| Some((entry, entry.value.as_ref()?)))
    }

    /// Of the records before `end`, removes every committed one that a later committed one of them
    /// with the same key replaces, and tombstones that are older than `keep_tombstones_from`.
    pub fn compact<K: Ord>(
        &mut self,
        key: impl Fn(&V) -> K,
        is_tombstone: impl Fn(&V) -> bool,
        keep_tombstones_from: i64,
        end: i64,
    ) {
        let stable = self.last_stable_offset().min(end);
        let mut newest: BTreeMap<K, i64> = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| entry.offset < stable) {
            if let (State::Committed, Some(value)) = (entry.state, &entry.value) {
                newest.insert(key(value), entry.offset);
            }
        }
        self.entries.retain(|entry| {
            let Some(value) = entry.value.as_ref().filter(|_| entry.offset < stable) else {
                return entry.offset >= stable;
            };
            let old_tombstone = is_tombstone(value) && entry.offset < keep_tombstones_from;
            entry.state == State::Committed
                && newest.get(&key(value)) == Some(&entry.offset)
                && !old_tombstone
        });
    }
}
