//! What comes in and is not read, of all instances together.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Deserialize;
use stallwatch::replay::grouped;

/// Reasons and texts that a line names.
const NAMED: usize = 5;

/// What one instance tells of it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Unread {
    last_15_min: Counts,
    rejected: Vec<OfReason>,
    unknown_texts: Vec<OfText>,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Counts {
    records: u64,
    rejected: u64,
    unknown_texts: u64,
}

#[derive(Deserialize)]
struct OfReason {
    reason: String,
    last_15_min: u64,
    last: Place,
}

#[derive(Deserialize)]
struct OfText {
    carrier: String,
    field: String,
    text: String,
    last_15_min: u64,
    last: Place,
}

#[derive(Clone, Copy, Deserialize)]
struct Place {
    partition: i32,
    offset: i64,
}

/// A line each, where there is something to say: records that are no scans, unknown texts.
pub fn lines<'u>(told: impl Iterator<Item = &'u Unread>) -> Vec<String> {
    let mut sum = Counts::default();
    let (mut reasons, mut texts) = (BTreeMap::new(), BTreeMap::new());
    for unread in told {
        let Counts { records, rejected, unknown_texts } = unread.last_15_min;
        sum.records += records;
        sum.rejected += rejected;
        sum.unknown_texts += unknown_texts;
        for of in &unread.rejected {
            add(&mut reasons, of.reason.clone(), of.last_15_min, of.last);
        }
        for of in &unread.unknown_texts {
            let text = format!("{} {} {:?}", of.carrier, of.field, of.text);
            add(&mut texts, text, of.last_15_min, of.last);
        }
    }
    let rejected = line(sum.rejected, sum.records, "records are no scans", reasons);
    rejected
        .into_iter()
        .chain(line(sum.unknown_texts, sum.records, "unknown texts", texts))
        .collect()
}

fn add(kinds: &mut BTreeMap<String, (u64, Place)>, kind: String, count: u64, last: Place) {
    if count > 0 {
        kinds.entry(kind).or_insert((0, last)).0 += count;
    }
}

fn line(
    count: u64,
    records: u64,
    what: &str,
    kinds: BTreeMap<String, (u64, Place)>,
) -> Option<String> {
    if count == 0 {
        return None;
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, (count, _))| Reverse(*count));
    let named: u64 = kinds.iter().take(NAMED).map(|(_, (count, _))| count).sum();
    let name = |(kind, (count, Place { partition, offset })): &(String, (u64, Place))| {
        format!("{} {kind} (partition {partition}, offset {offset})", grouped(*count))
    };
    let mut named_ones: Vec<_> = kinds.iter().take(NAMED).map(name).collect();
    if count > named {
        named_ones.push(format!("{} others", grouped(count - named)));
    }
    let share = count as f64 * 100.0 / records.max(count) as f64;
    Some(format!(
        "not read in the last 15 min: {} {what}, {share:.1} % of {} records: {}",
        grouped(count),
        grouped(records),
        named_ones.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_read_is_added_up_and_named_with_a_place() {
        let told = |rejected: u64, partition: i32| -> Unread {
            let last = json!({ "partition": partition, "offset": 17 });
            let unread = json!({
                "last_15_min": { "records": 1000, "rejected": rejected, "unknown_texts": 0 },
                "rejected": [{ "reason": "not_json", "count": 9999, "last_15_min": rejected,
                    "last": last, "says": "no" }],
                "unknown_texts": [{ "carrier": "dhl", "field": "milestone", "text": "SORTED",
                    "count": 3, "last_15_min": 0, "last": last }],
            });
            serde_json::from_value(unread).unwrap()
        };
        assert_eq!(
            lines([told(30, 0), told(2, 1)].iter()),
            [
                "not read in the last 15 min: 32 records are no scans, 1.6 % of 2,000 records: 32 not_json (partition 0, offset 17)"
            ]
        );
        let mut with_text = told(0, 3);
        with_text.last_15_min.unknown_texts = 5;
        with_text.unknown_texts[0].last_15_min = 3;
        assert_eq!(
            lines([with_text].iter()),
            [
                "not read in the last 15 min: 5 unknown texts, 0.5 % of 1,000 records: 3 dhl milestone \"SORTED\" (partition 3, offset 17), 2 others"
            ]
        );
        assert_eq!(lines([told(0, 3), Unread::default()].iter()), [""; 0]);
    }
}
