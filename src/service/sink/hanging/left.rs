//! What hangs of a producer, and whether it was committed.
//!
//! Each input partition is judged for itself: rows and cut of it in the open topic, its exceptions and
//! its dead letters are one, whatever else was in the transaction.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Taken;
use crate::config::Kafka;
use crate::protocol::cut::{CUT_KEY, CutRecord};
use crate::service::native::RecordView;
use crate::service::peer_name;

/// Records by the name of what they tell.
pub type Copies = BTreeMap<String, Record>;

/// A record that hangs, of exceptions or of dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it tells.
    pub name: String,
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in milliseconds since 1970 UTC.
    pub timestamp_ms: Option<i64>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Of a dead letter: partition and offset of the record that was rejected.
    rejected: Option<(i32, i64)>,
}

impl Record {
    /// A record as it was read; `None` where it is none of ours.
    pub fn of(topic: &str, record: &RecordView<'_>) -> Option<Self> {
        let rejected = rejected(record);
        let name = match rejected {
            Some((partition, offset)) => format!("dead {partition} {offset}"),
            None => name(record)?,
        };
        Some(Self {
            name,
            topic: topic.to_owned(),
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record
                .headers()
                .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
                .collect(),
            rejected,
        })
    }
}

/// The event that a record is of: exception and sequence.
fn name(record: &RecordView<'_>) -> Option<String> {
    header(record, "ce_id")
}

fn rejected(record: &RecordView<'_>) -> Option<(i32, i64)> {
    let partition = header(record, "__stallwatch.errors.partition")?.parse().ok()?;
    Some((partition, header(record, "__stallwatch.errors.offset")?.parse().ok()?))
}

/// The last header of this name; a rejected record may have brought one itself.
fn header(record: &RecordView<'_>, name: &str) -> Option<String> {
    let value = record.headers().filter(|(it, _)| *it == name).last()?.1?;
    String::from_utf8(value.to_vec()).ok()
}

/// What a stretch of a partition of the open topic holds of this instance.
#[derive(Debug, Default)]
pub struct OfOpen {
    /// The events of its rows.
    pub rows: BTreeSet<String>,
    /// Its cuts, in their order.
    pub cuts: Vec<CutRecord>,
    /// The last cut, whoever has written it.
    pub last: Option<CutRecord>,
    rows_without_cut: Vec<String>,
}

impl OfOpen {
    /// The next record. Rows stand in front of the cut that they belong to.
    pub fn see(&mut self, record: &RecordView<'_>, kafka: &Kafka) {
        if record.key != Some(CUT_KEY.as_bytes()) {
            self.rows_without_cut.extend(name(record));
            return;
        }
        let cut = record.value.and_then(|value| CutRecord::from_bytes(value).ok());
        if let Some(cut) = cut {
            self.see_cut(cut, kafka);
        }
    }

    fn see_cut(&mut self, cut: CutRecord, kafka: &Kafka) {
        let rows = std::mem::take(&mut self.rows_without_cut);
        if peer_name::is_of(&cut.owner, kafka) {
            self.rows.extend(rows);
            self.cuts.push(cut.clone());
        }
        self.last = Some(cut);
    }
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Left {
    /// What the broker said to be committed.
    pub taken: Taken,
    /// What hangs in the open topic, by partition.
    pub hanging: BTreeMap<i32, OfOpen>,
    /// What can be seen of the open topic, by partition.
    pub visible: BTreeMap<i32, OfOpen>,
    /// What hangs of exceptions and dead letters, and what has been aborted of them.
    pub others: Vec<Record>,
    /// Names of the events that can be seen, where rows hang.
    pub events: BTreeSet<String>,
    /// Metadata of the group's offsets.
    pub group: BTreeMap<i32, String>,
    /// The least timestamp of what hangs, in milliseconds since 1970 UTC.
    pub since_ms: Option<i64>,
}

impl Left {
    /// Whether what hangs at a place is to be committed there.
    pub fn is_committed_at(&self, open: &str, (topic, partition): &(String, i32)) -> bool {
        topic == open && self.is_committed(*partition)
    }

    /// Whether what hangs of an input partition was committed: the broker told us, or something of it
    /// can be seen. What nobody was told of and nobody has seen was not.
    fn is_committed(&self, partition: i32) -> bool {
        let Some(hanging) = self.hanging.get(&partition) else { return false };
        let told = self.taken.get(&partition);
        let by_offset = self.group.get(&partition).and_then(|it| numbered(it));
        hanging.cuts.iter().any(|cut| {
            let reaches = |owner: &str, commit| owner == cut.owner && commit >= cut.commit;
            told.is_some_and(|(owner, commit)| reaches(owner, *commit))
                || by_offset.is_some_and(|(commit, owner)| reaches(owner, commit))
        }) || !hanging.rows.is_disjoint(&self.events)
    }

    /// What cannot be seen was aborted, perhaps by a process that ended what hung and did not live to send it
    /// once more. What hangs still counts more.
    pub fn add_aborted(&mut self, unseen: Vec<Record>) {
        let may_hang = |(partition, offset): &(i32, i64)| {
            let before = self.visible.get(partition).and_then(|it| it.last.as_ref());
            self.hanging.contains_key(partition) && before.is_none_or(|cut| cut.offset <= *offset)
        };
        let aborted: Vec<_> = unseen
            .into_iter()
            .filter(|record| record.rejected.as_ref().is_none_or(may_hang))
            .collect();
        self.others.splice(0..0, aborted);
    }

    /// What was committed of exceptions and dead letters, and cannot be seen.
    pub fn copies(&self) -> impl Iterator<Item = (String, Record)> {
        let committed = self.others.iter().filter(|record| match record.rejected {
            Some(rejected) => self.is_past(rejected),
            None => self.has_row(&record.name),
        });
        committed.map(|record| (record.name.clone(), record.clone()))
    }

    fn has_row(&self, name: &str) -> bool {
        let hung = self.hanging.iter().find(|(_, hanging)| hanging.rows.contains(name));
        match hung {
            Some((partition, _)) => self.is_committed(*partition),
            None => self.visible.values().any(|visible| visible.rows.contains(name)),
        }
    }

    /// Whether a record of the input lies before a cut of ours that was committed.
    fn is_past(&self, (partition, offset): (i32, i64)) -> bool {
        let reaches = |cuts: Option<&OfOpen>| {
            cuts.is_some_and(|it| it.cuts.iter().any(|cut| cut.offset > offset))
        };
        reaches(self.visible.get(&partition))
            || self.is_committed(partition) && reaches(self.hanging.get(&partition))
    }

    /// The group's offsets as they ought to be, of the partitions that are ours, if any is not so.
    pub fn offsets(&self, input: &str) -> Result<Option<TopicPartitionList>, KafkaError> {
        let (mut list, mut differs) = (TopicPartitionList::new(), false);
        let partitions: BTreeSet<_> = self.hanging.keys().chain(self.visible.keys()).collect();
        for &partition in partitions {
            let committed = self.hanging.get(&partition).filter(|_| self.is_committed(partition));
            let hung = committed.and_then(|it| it.cuts.last());
            let seen = self.visible.get(&partition).and_then(|it| it.last.as_ref());
            let ours = |cut: &&CutRecord| {
                let visible = self.visible.get(&partition);
                visible.is_some_and(|it| it.cuts.last() == Some(*cut))
                    || self.hanging.contains_key(&partition)
            };
            let Some(cut) = hung.or(seen.filter(ours)) else { continue };
            differs |= self.group.get(&partition) != Some(&cut.metadata());
            let mut element = list.add_partition(input, partition);
            element.set_offset(Offset::Offset(cut.offset))?;
            element.set_metadata(cut.metadata());
        }
        Ok(differs.then_some(list))
    }
}

/// Number and owner of the commit that an offset's metadata names.
fn numbered(metadata: &str) -> Option<(u64, &str)> {
    let mut words = metadata.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::cut::example;

    const OURS: &str = "a/1";

    /// A stretch of the open topic: rows, then the cut that they belong to.
    fn of_open(rows: &[&str], cut: Option<CutRecord>) -> OfOpen {
        let rows = rows.iter().map(|row| (*row).to_owned()).collect();
        OfOpen { rows, cuts: cut.clone().into_iter().collect(), last: cut, ..OfOpen::default() }
    }

    /// An event that hangs.
    fn event(name: &str) -> Record {
        record(name, None)
    }

    fn record(name: &str, rejected: Option<(i32, i64)>) -> Record {
        let (name, topic) = (name.to_owned(), "exceptions".to_owned());
        let (key, value, headers) = (None, None, Vec::new());
        let (partition, offset, timestamp_ms) = (0, 7, None);
        Record { name, topic, partition, offset, timestamp_ms, key, value, headers, rejected }
    }

    /// Partition 3 hangs with two rows and our cut number 5 at offset 12; the one before is visible.
    fn left() -> Left {
        Left {
            hanging: BTreeMap::from([(3, of_open(&["x:0", "y:1"], Some(example(12, 5))))]),
            visible: BTreeMap::from([(3, of_open(&["w:0"], Some(example(9, 4))))]),
            group: BTreeMap::from([(3, example(9, 4).metadata())]),
            others: vec![event("x:0"), event("w:0"), event("foreign:0")],
            ..Left::default()
        }
    }

    fn copied(left: &Left) -> Vec<String> {
        left.copies().map(|(name, _)| name).collect()
    }

    fn offsets(left: &Left) -> Option<Vec<(i32, Offset, String)>> {
        let list = left.offsets("scans").unwrap()?;
        let elements = list.elements();
        let each = elements.iter();
        Some(each.map(|it| (it.partition(), it.offset(), it.metadata().to_owned())).collect())
    }

    #[test]
    fn what_nobody_was_told_of_and_nobody_has_seen_was_not_committed() {
        let left = left();
        assert!(!left.is_committed(3));
        assert_eq!(copied(&left), ["w:0"], "what has a row that can be seen was");
        assert_eq!(offsets(&left), None, "the group's offsets are those of what was");
    }

    #[test]
    fn an_answer_an_offset_or_an_event_that_can_be_seen_tells_that_it_was_committed() {
        let taken = |owner: &str, commit| Taken::from([(3, (owner.to_owned(), commit))]);
        let told = Left { taken: taken(OURS, 5), ..left() };
        let by_offset = Left { group: BTreeMap::from([(3, example(12, 5).metadata())]), ..left() };
        let seen = Left { events: BTreeSet::from(["y:1".to_owned()]), ..left() };
        for left in [told, by_offset, seen] {
            assert!(left.is_committed(3));
            assert!(left.is_committed_at("open", &("open".to_owned(), 3)));
            assert!(!left.is_committed_at("open", &("exceptions".to_owned(), 3)));
            assert_eq!(copied(&left), ["x:0", "w:0"]);
        }
        for (owner, commit) in [(OURS, 4), ("a/2", 5), ("b/1", 5)] {
            assert!(!Left { taken: taken(owner, commit), ..left() }.is_committed(3));
        }
        let elsewhere = Left { events: BTreeSet::from(["w:0".to_owned()]), ..left() };
        assert!(!elsewhere.is_committed(3));
    }

    #[test]
    fn what_was_committed_and_aborted_by_a_process_that_died_then_is_sent_once_more() {
        let of = |name: &str, offset| Record { offset, ..event(name) };
        let letter = |at| record(&format!("dead 3 {at}"), Some((3, at)));
        let events = [of("x:0", 3), of("x:0", 4), of("y:1", 5), of("other:0", 6)];
        let unseen = [&events[..], &[letter(8), letter(9), letter(12)]].concat();
        let mut nobody_knows = Left { others: Vec::new(), ..left() };
        nobody_knows.add_aborted(unseen.clone());
        assert_eq!(copied(&nobody_knows), [""; 0], "what was not committed stays aborted");
        let others = vec![of("y:1", 9)];
        let group = BTreeMap::from([(3, example(12, 5).metadata())]);
        let mut by_offset = Left { others, group, ..left() };
        by_offset.add_aborted(unseen);
        let copies: Copies = by_offset.copies().collect();
        let found: Vec<_> = copies.values().map(|it| (it.name.as_str(), it.offset)).collect();
        let expected = [("dead 3 9", 7), ("x:0", 4), ("y:1", 9)];
        assert_eq!(found, expected, "the last of each, what hangs before all");
    }

    #[test]
    fn offsets_that_hang_become_those_of_the_cuts_that_were_committed() {
        let hung = Left { group: BTreeMap::new(), ..left() };
        let metadata = example(9, 4).metadata();
        assert_eq!(offsets(&hung), Some(vec![(3, Offset::Offset(9), metadata)]));
        let told = Left { taken: Taken::from([(3, (OURS.to_owned(), 5))]), ..left() };
        let metadata = example(12, 5).metadata();
        assert_eq!(offsets(&told), Some(vec![(3, Offset::Offset(12), metadata)]));
    }

    #[test]
    fn a_dead_letter_was_committed_with_the_cut_behind_its_record() {
        let others = [(3, 8), (3, 9), (3, 12), (4, 1)].map(|(partition, offset)| {
            record(&format!("dead {partition} {offset}"), Some((partition, offset)))
        });
        let left = Left { others: others.to_vec(), ..left() };
        assert_eq!(copied(&left), ["dead 3 8"]);
        let told = Left { taken: Taken::from([(3, (OURS.to_owned(), 5))]), ..left };
        assert_eq!(copied(&told), ["dead 3 8", "dead 3 9"]);
    }
}
