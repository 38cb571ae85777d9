//! What the log says of it.

use super::ledger::{Minute, Newness, Place};
use crate::wire::reject::{Reason, Rejected};
use crate::wire::scan::unknown::{UnknownText, Vocabulary};

/// Texts that the line of a minute names; new ones go first.
const NAMED: usize = 20;

/// What a line says of every record alike.
#[derive(Debug)]
pub struct Feed {
    /// The topic.
    pub topic: String,
    /// What becomes of a rejected record.
    pub becomes: String,
}

impl Feed {
    /// The first record of its reason that is no scan.
    pub fn first_rejected(&self, Place { partition, offset }: Place, rejected: &Rejected) {
        let Self { topic, becomes } = self;
        let (reason, remedy) = (rejected.reason.as_str(), remedy(rejected.reason));
        tracing::warn!(
            topic,
            partition,
            offset,
            reason,
            "a record is no scan: {}; {becomes}; {remedy}; more like it are told of once a minute",
            rejected.message
        );
    }

    /// The first text of a carrier that is none of its vocabulary.
    pub fn first_unknown(&self, Place { partition, offset }: Place, text: &UnknownText) {
        let (topic, carrier, field) = (&self.topic, text.carrier.as_str(), text.field.as_str());
        let counts_as = match text.field {
            Vocabulary::Milestone => "info, which only informs: the package counts as silent",
            Vocabulary::Evidence => "predicted, which only informs: the package counts as silent",
        };
        tracing::warn!(
            topic,
            partition,
            offset,
            carrier,
            field,
            text = text.text,
            "a scan's {field} is {:?}, which is none that is known; it counts as {counts_as}; map the carrier's words to those of schemas/scan.v1.avsc in front of the topic; more like it are told of once a minute",
            text.text
        );
    }

    /// How many there were in a minute.
    pub fn minute(&self, minute: &Minute) {
        let topic = &self.topic;
        if let Some(line) = rejected(minute) {
            tracing::warn!(topic, "{line}");
        }
        if let Some(line) = unknown(minute) {
            tracing::warn!(topic, "{line}");
        }
    }
}

/// What to do about records that are rejected for a reason.
pub fn remedy(reason: Reason) -> &'static str {
    match reason {
        Reason::NotJson | Reason::NotAvro | Reason::UnknownSchema => {
            "set input.format and input.schema_files (input.schemas by id) to what the feed writes, or correct the feed"
        }
        Reason::FutureLogTime => "set the producer's clock",
        _ => "correct the feed: schemas/scan.v1.avsc says what is read",
    }
}

fn rejected(minute: &Minute) -> Option<String> {
    let (_, _, Place { partition, offset }, says) = minute.rejected.first()?;
    let count: u64 = minute.rejected.iter().map(|(_, count, ..)| count).sum();
    let reasons = minute.rejected.iter().map(|(reason, count, ..)| format!("{count} {reason}"));
    let reasons = reasons.collect::<Vec<_>>().join(", ");
    let share = share(count, minute.records);
    Some(format!(
        "of {} records of the last minute {count} are no scans ({share}): {reasons}; one lies in partition {partition} at offset {offset}: {says}",
        minute.records
    ))
}

fn unknown(minute: &Minute) -> Option<String> {
    let listed: u64 = minute.unknown.iter().map(|(_, count, _)| count).sum();
    let count = listed + minute.more;
    if count == 0 {
        return None;
    }
    let name = |(text, count, newness): &(UnknownText, u64, Newness)| {
        format!("{count} {text}{}", if *newness == Newness::New { " (new)" } else { "" })
    };
    let mut texts: Vec<_> = minute.unknown.iter().take(NAMED).map(name).collect();
    let named: u64 = minute.unknown.iter().take(NAMED).map(|(_, count, _)| count).sum();
    if count > named {
        texts.push(format!("{} others, see /v1/partitions", count - named));
    }
    let (records, share) = (minute.records, share(count, minute.records));
    Some(format!(
        "in {records} records of the last minute {count} texts are none of their vocabulary ({share}) and only inform: {}",
        texts.join(", ")
    ))
}

fn share(part: u64, of: u64) -> String {
    match of {
        0 => "all".to_owned(),
        _ => format!("{:.1} %", part as f64 * 100.0 / of as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_one_line_with_share_reasons_place_and_texts() {
        let at = Place { partition: 3, offset: 17 };
        let text = |text: &str| UnknownText {
            carrier: "dhl".into(),
            field: Vocabulary::Milestone,
            text: text.to_owned(),
        };
        let minute = Minute {
            records: 200,
            rejected: vec![
                (Reason::NotJson, 150, at, "expected value at column 1".to_owned()),
                (Reason::BadCarrier, 1, at, "carrier: too long".to_owned()),
            ],
            unknown: vec![(text("PARKED"), 1, Newness::New), (text("SORTED"), 7, Newness::Known)],
            more: 2,
        };
        assert_eq!(
            rejected(&minute).unwrap(),
            "of 200 records of the last minute 151 are no scans (75.5 %): 150 not_json, 1 bad_carrier; one lies in partition 3 at offset 17: expected value at column 1"
        );
        assert_eq!(
            unknown(&minute).unwrap(),
            "in 200 records of the last minute 10 texts are none of their vocabulary (5.0 %) and only inform: 1 dhl milestone \"PARKED\" (new), 7 dhl milestone \"SORTED\", 2 others, see /v1/partitions"
        );
        assert_eq!(rejected(&Minute::default()), None);
        assert_eq!(unknown(&Minute::default()), None);
    }
}
