//! What `top` shows: the answers of all instances as one table of partitions and one of carriers.

use std::collections::BTreeMap;
use std::fmt::Write;

use comfy_table::{CellAlignment, Table, TableComponent, presets};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use stallwatch::demo::time::display_span;
use stallwatch::replay::grouped;

use super::unread::{self, Unread};
use crate::cli::client::{Coverage, Unanswered};

/// What one instance tells.
pub struct Told {
    partitions: Partitions,
    summary: Summary,
    said: Value,
}

#[derive(Deserialize)]
struct Partitions {
    instance_id: String,
    ready: bool,
    not_ready: Option<String>,
    #[serde(default)]
    unread: Unread,
    rows: Vec<Partition>,
    #[serde(flatten)]
    coverage: Coverage,
}

#[derive(Deserialize)]
struct Partition {
    partition: i32,
    stage: String,
    lag: Option<u64>,
    frontier: Option<Time>,
    hold: Option<String>,
    halted: Option<String>,
    packages: BTreeMap<String, u64>,
    open: u64,
}

#[derive(Deserialize)]
struct Summary {
    at: Time,
    rows: Vec<Carrier>,
    rest: Option<Counts>,
    #[serde(default)]
    opened: Opened,
}

/// Since when it is counted what opened.
#[derive(Default, Deserialize)]
struct Opened {
    counted_since: Option<[Time; 2]>,
}

impl Summary {
    /// Whether all that opened in the present hour is counted.
    fn counts_the_hour(&self) -> bool {
        let now = self.at.0.as_second();
        let since = self.opened.counted_since.map(|[_, last]| last.0.as_second());
        since.is_none_or(|since| since <= now - now.rem_euclid(3_600))
    }
}

/// RFC 3339.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Time(Timestamp);

impl TryFrom<String> for Time {
    type Error = jiff::Error;

    fn try_from(text: String) -> Result<Self, jiff::Error> {
        text.parse().map(Self)
    }
}

#[derive(Deserialize)]
struct Carrier {
    carrier: String,
    #[serde(flatten)]
    counts: Counts,
    #[serde(default)]
    opened_by_hour: Vec<u64>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Counts {
    open: u64,
    notice: u64,
    warning: u64,
    critical: u64,
    missing_first_scan: u64,
    no_movement: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.open += other.open;
        self.notice += other.notice;
        self.warning += other.warning;
        self.critical += other.critical;
        self.missing_first_scan += other.missing_first_scan;
        self.no_movement += other.no_movement;
    }
}

impl Told {
    /// Of two answers.
    pub fn read(partitions: Value, summary: Value) -> Result<Self, serde_json::Error> {
        Ok(Self {
            partitions: serde_json::from_value(partitions.clone())?,
            summary: serde_json::from_value(summary.clone())?,
            said: json!({ "partitions": partitions, "summary": summary }),
        })
    }

    /// Seconds that a partition's frontier is behind the instance's clock.
    fn age(&self, partition: &Partition) -> Option<i64> {
        Some((self.summary.at.0.as_second() - partition.frontier?.0.as_second()).max(0))
    }
}

/// What all tell together.
pub struct Picture {
    told: Vec<Told>,
    unanswered: Vec<Unanswered>,
    coverage: Coverage,
}

impl Picture {
    /// Of what each instance answered.
    pub fn of(answers: Vec<Result<Told, Unanswered>>) -> Self {
        let mut picture =
            Self { told: Vec::new(), unanswered: Vec::new(), coverage: Coverage::default() };
        for answer in answers {
            match answer {
                Ok(told) => {
                    picture.coverage.add(&told.partitions.coverage);
                    picture.told.push(told);
                }
                Err(error) => picture.unanswered.push(error),
            }
        }
        picture
    }

    /// How many answered.
    pub fn instances(&self) -> usize {
        self.told.len()
    }

    /// Why others did not.
    pub fn unanswered(&self) -> &[Unanswered] {
        &self.unanswered
    }

    /// For a script: what each instance said, as it said it.
    pub fn json(&self) -> Value {
        let told: Vec<_> = self.told.iter().map(|told| &told.said).collect();
        let unanswered: Vec<_> = self.unanswered.iter().map(ToString::to_string).collect();
        json!({
            "instances": told,
            "unanswered": unanswered,
            "partitions": self.coverage.partitions,
            "input_partitions": self.coverage.input_partitions,
            "complete": self.coverage.complete,
        })
    }

    /// For a person, in about so many lines.
    pub fn text(&self, height: usize) -> String {
        let mut text = self.headline();
        for problem in self.problems() {
            let _ = writeln!(text, "  {problem}");
        }
        let carriers = self.carriers().to_string();
        let used = text.lines().count() + carriers.lines().count() + 5;
        let _ = write!(text, "\n{}\n\n{carriers}", self.partitions(height.saturating_sub(used)));
        text
    }

    fn headline(&self) -> String {
        let (told, all) = (self.told.len(), self.told.len() + self.unanswered.len());
        let open = self.told.iter().flat_map(|told| &told.partitions.rows);
        let open = open.map(|row| row.open).sum::<u64>();
        let mut text = format!(
            "{told} of {all} instances   {}{}   lag {}   {} open",
            self.coverage.text(),
            if self.coverage.complete { "" } else { " (not complete)" },
            self.lag().map_or("?".to_owned(), grouped),
            grouped(open),
        );
        if let Some(at) = self.told.iter().map(|told| told.summary.at.0).max() {
            let _ = write!(text, "   {at}");
        }
        text.push('\n');
        text
    }

    fn lag(&self) -> Option<u64> {
        let rows = || self.told.iter().flat_map(|told| &told.partitions.rows);
        rows().map(|row| row.lag).sum()
    }

    /// Who does not answer, who is not ready, what has halted, what is not read.
    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<_> = self.unanswered.iter().map(ToString::to_string).collect();
        for Told { partitions, .. } in &self.told {
            if !partitions.ready {
                let why = partitions.not_ready.as_deref().unwrap_or("no reason is given");
                problems.push(format!("{} is not ready: {why}", partitions.instance_id));
            }
            problems.extend(partitions.rows.iter().filter_map(|row| {
                Some(format!("partition {} halted: {}", row.partition, row.halted.as_ref()?))
            }));
        }
        problems.extend(unread::lines(self.told.iter().map(|told| &told.partitions.unread)));
        problems
    }

    /// The partitions in their order; where there is not room for all, those in the worst state.
    fn partitions(&self, room: usize) -> Table {
        let mut rows: Vec<_> = self
            .told
            .iter()
            .flat_map(|told| told.partitions.rows.iter().map(move |row| (told, row)))
            .collect();
        let left_out = rows.len().saturating_sub(room.max(3));
        if left_out > 0 {
            rows.sort_by_key(|(told, row)| {
                std::cmp::Reverse((row.stage != "live", told.age(row), row.lag))
            });
            rows.truncate(room.max(3));
        }
        rows.sort_by_key(|(_, row)| row.partition);
        let header =
            ["partition", "instance", "stage", "lag", "frontier", "packages", "open", "held"];
        let mut table = table(&header);
        for (told, row) in rows {
            table.add_row([
                row.partition.to_string(),
                told.partitions.instance_id.clone(),
                row.stage.clone(),
                row.lag.map_or("?".to_owned(), grouped),
                told.age(row).map_or("none yet".to_owned(), display_span),
                grouped(row.packages.values().sum()),
                grouped(row.open),
                row.hold.clone().unwrap_or_default(),
            ]);
        }
        if left_out > 0 {
            table.add_row([format!("and {left_out} more")]);
        }
        right(&mut table, &[0, 3, 4, 5, 6]);
        table
    }

    fn carriers(&self) -> Table {
        let mut carriers: BTreeMap<&str, (Counts, u64)> = BTreeMap::new();
        let mut rest = Counts::default();
        for Told { summary, .. } in &self.told {
            for row in &summary.rows {
                let (counts, this_hour) = carriers.entry(&row.carrier).or_default();
                counts.add(row.counts);
                *this_hour += row.opened_by_hour.last().copied().unwrap_or(0);
            }
            rest.add(summary.rest.unwrap_or_default());
        }
        let mut rows: Vec<_> = carriers.into_iter().collect();
        rows.sort_by_key(|(_, (counts, _))| std::cmp::Reverse(counts.open));
        let mut table = table(&[
            "carrier",
            "open",
            "critical",
            "warning",
            "notice",
            "missing_first_scan",
            "no_movement",
            "opened this hour",
        ]);
        let counted = self.told.iter().all(|told| told.summary.counts_the_hour());
        let at_least = if counted { "" } else { "≥ " };
        for (carrier, (counts, this_hour)) in rows {
            table.add_row(row(carrier, counts, format!("{at_least}{}", grouped(this_hour))));
        }
        if rest.open > 0 {
            table.add_row(row("others", rest, String::new()));
        }
        right(&mut table, &[1, 2, 3, 4, 5, 6, 7]);
        table
    }
}

fn row(carrier: &str, counts: Counts, this_hour: String) -> [String; 8] {
    let Counts { open, notice, warning, critical, missing_first_scan, no_movement } = counts;
    let numbers = [open, critical, warning, notice, missing_first_scan, no_movement].map(grouped);
    let [open, critical, warning, notice, first, movement] = numbers;
    [carrier.to_owned(), open, critical, warning, notice, first, movement, this_hour]
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header.iter());
    table.set_style(TableComponent::HeaderLines, '─');
    table.set_style(TableComponent::MiddleHeaderIntersections, '─');
    table
}

fn right(table: &mut Table, columns: &[usize]) {
    for &column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(instance: &str, partitions: &[i32], halted: Option<&str>) -> Told {
        since("2026-03-04T09:00:00Z", instance, partitions, halted)
    }

    fn since(since: &str, instance: &str, partitions: &[i32], halted: Option<&str>) -> Told {
        let rows: Vec<_> = partitions
            .iter()
            .map(|partition| {
                json!({ "partition": partition, "stage": "live", "position": 10, "end": 15,
                    "lag": 5 * partition, "committed": 9, "log_clock": null,
                    "frontier": "2026-03-04T08:00:00Z", "hold": null,
                    "halted": if *partition == 2 { halted } else { None },
                    "packages": { "moving": 1200, "settled": 34 }, "open": 6 })
            })
            .collect();
        let partitions = json!({ "instance_id": instance, "version": "0", "group_id": "g",
            "input": "i", "ready": true, "not_ready": null, "rows": rows,
            "partitions": partitions, "input_partitions": 4, "complete": false });
        let hours = |last: u64| {
            let mut hours = [0; 24];
            hours[23] = last;
            hours.to_vec()
        };
        let carrier = |name: &str, open: u64| {
            json!({ "carrier": name, "open": open, "notice": 0, "warning": open - 1, "critical": 1,
                "missing_first_scan": 1, "no_movement": open - 1, "opened_by_hour": hours(3) })
        };
        let summary = json!({ "by": ["carrier"], "at": "2026-03-04T09:30:00Z",
            "rows": [carrier("ups", 4), carrier("dhl", 8)], "rest": { "open": 0 },
            "opened": { "by_hour": hours(6), "whole": false,
                "counted_since": ["2026-03-04T08:00:00Z", since] },
            "partitions": [0], "input_partitions": 4, "complete": false });
        Told::read(partitions, summary).unwrap()
    }

    fn words(text: &str, start: &str) -> String {
        let line = text.lines().find(|line| line.trim_start().starts_with(start));
        line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn instances_add_up_to_one_picture() {
        let answers = vec![Ok(told("a", &[0, 1], None)), Ok(told("b", &[2, 3], None))];
        let text = Picture::of(answers).text(usize::MAX);
        let head = "2 of 2 instances 4 of 4 partitions lag 30 24 open 2026-03-04T09:30:00Z";
        assert_eq!(words(&text, "2 of"), head);
        assert_eq!(words(&text, "3 "), "3 b live 15 1h 30m 1,234 6");
        assert_eq!(words(&text, "ups"), "ups 8 2 6 0 2 6 6");
        assert!(text.find("dhl") < text.find("ups"), "most open first: {text}");
    }

    #[test]
    fn an_hour_that_is_counted_from_its_middle_on_is_a_lower_bound() {
        let later = since("2026-03-04T09:00:01Z", "b", &[2, 3], None);
        let text = Picture::of(vec![Ok(told("a", &[0, 1], None)), Ok(later)]).text(usize::MAX);
        assert_eq!(words(&text, "ups"), "ups 8 2 6 0 2 6 ≥ 6");
    }

    #[test]
    fn what_stands_still_and_who_is_silent_is_said_first() {
        let silent = Unanswered::Silent { address: "c:1".to_owned(), why: "gone".to_owned() };
        let answers = vec![Ok(told("b", &[2, 3], Some("the log is gone"))), Err(silent)];
        let picture = Picture::of(answers);
        let text = picture.text(usize::MAX);
        assert!(words(&text, "1 of").contains("2 of 4 partitions (not complete)"), "{text}");
        assert_eq!(words(&text, "c:1"), "c:1 did not answer: gone");
        assert_eq!(words(&text, "partition 2"), "partition 2 halted: the log is gone");
        assert_eq!(picture.json()["complete"], false);
        assert_eq!(picture.json()["unanswered"][0], "c:1 did not answer: gone");
    }

    #[test]
    fn many_partitions_leave_out_those_that_are_well() {
        let partitions: Vec<i32> = (0..64).collect();
        let picture = Picture::of(vec![Ok(told("a", &partitions, None))]);
        let text = picture.text(24);
        assert!(text.lines().count() <= 24, "{text}");
        assert_eq!(words(&text, "63 "), "63 a live 315 1h 30m 1,234 6");
        assert!(text.contains("more"), "{text}");
        assert_eq!(words(&text, "0 "), "");
    }
}
