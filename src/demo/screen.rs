//! The live table: redrawn in place on a terminal, elsewhere a line every few seconds.

use std::io;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, TableComponent, presets};
use console::{Term, truncate_str};

use super::carriers::CARRIERS;
use super::findings::Findings;
use super::time::{display, display_span};
use crate::detector::exception::{Change, ExceptionEvent, Kind};
use crate::replay::grouped;
use crate::service::clock::Stopwatch;

/// Between two drawings on a terminal.
const REDRAW: Duration = Duration::from_millis(250);
/// Between two lines elsewhere.
const LINE: Duration = Duration::from_secs(5);

/// What is shown besides the findings.
#[derive(Clone, Copy, Debug, Default)]
pub struct View {
    /// The demo's clock, in milliseconds since 1970.
    pub now_ms: i64,
    /// Packages that the service watches.
    pub in_flight: u64,
    /// Scans that it has applied.
    pub scans: u64,
}

/// Where progress is shown: standard error, so that standard output is the summary's.
pub struct Screen {
    terminal: Term,
    drawn: Option<Stopwatch>,
    lines: usize,
    last: (Stopwatch, u64),
}

impl Screen {
    /// Standard error, drawn upon if it is a terminal.
    pub fn stderr() -> Self {
        let terminal = Term::buffered_stderr();
        Self { terminal, drawn: None, lines: 0, last: (Stopwatch::start(), 0) }
    }

    /// Shows how things stand, if it is time to.
    pub fn show(&mut self, view: View, findings: &Findings) -> io::Result<()> {
        let pause = if self.terminal.is_term() { REDRAW } else { LINE };
        match self.drawn {
            Some(drawn) if drawn.elapsed() < pause => Ok(()),
            _ => self.draw(view, findings),
        }
    }

    /// Shows how things stood in the end.
    pub fn finish(&mut self, view: View, findings: &Findings) -> io::Result<()> {
        self.draw(view, findings)?;
        self.lines = 0;
        Ok(())
    }

    fn draw(&mut self, view: View, findings: &Findings) -> io::Result<()> {
        let rate = self.rate(view.scans);
        self.drawn = Some(Stopwatch::start());
        if !self.terminal.is_term() {
            self.terminal.write_line(&one_line(view, findings, rate))?;
            return self.terminal.flush();
        }
        let (height, width) = self.terminal.size();
        let picture = picture(view, findings, rate, usize::from(height));
        self.terminal.move_cursor_up(self.lines)?;
        self.lines = 0;
        for line in picture.lines() {
            self.terminal.clear_line()?;
            self.terminal.write_line(&truncate_str(line, usize::from(width), "…"))?;
            self.lines += 1;
        }
        self.terminal.clear_to_end_of_screen()?;
        self.terminal.flush()
    }

    fn rate(&mut self, scans: u64) -> u64 {
        let (since, before) = self.last;
        self.last = (Stopwatch::start(), scans);
        (scans.saturating_sub(before) as f64 / since.elapsed().as_secs_f64().max(0.001)) as u64
    }
}

fn one_line(view: View, findings: &Findings, rate: u64) -> String {
    let open = |kind| CARRIERS.iter().map(|carrier| findings.open(carrier.name, kind)).sum::<i64>();
    format!(
        "{}, open: {} missing_first_scan, {} no_movement",
        headline(view, findings, rate, [": ", ", "]),
        open(Kind::MissingFirstScan),
        open(Kind::NoMovement),
    )
}

/// Time and numbers, with what stands after the time and between the numbers.
fn headline(
    view: View,
    findings: &Findings,
    rate: u64,
    [after_time, between]: [&str; 2],
) -> String {
    let numbers = [
        format!("{} packages in flight", grouped(view.in_flight)),
        format!("{} scans ({}/s)", grouped(view.scans), grouped(rate)),
        format!("{} exceptions", grouped(findings.len() as u64)),
    ];
    format!("{}{after_time}{}", display(view.now_ms.div_euclid(1000)), numbers.join(between))
}

/// The table as a whole, no higher than `height` lines.
fn picture(view: View, findings: &Findings, rate: u64, height: usize) -> String {
    let head = headline(view, findings, rate, ["   ", "   "]);
    let open = open_table(findings).to_string();
    let fixed = 1 + open.lines().count();
    // Two lines of the second table are its heading; the cursor needs one below.
    let room = height.saturating_sub(fixed + 3).min(14);
    format!("{head}\n{open}\n{}", latest_table(findings, room))
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header.iter());
    table.set_style(TableComponent::HeaderLines, '─');
    table.set_style(TableComponent::MiddleHeaderIntersections, '─');
    table
}

fn open_table(findings: &Findings) -> Table {
    let names = CARRIERS.iter().map(|carrier| carrier.name);
    let header: Vec<&str> = ["open exceptions"].into_iter().chain(names).chain(["all"]).collect();
    let mut table = table(&header);
    for &kind in Kind::ALL {
        let counts: Vec<i64> =
            CARRIERS.iter().map(|carrier| findings.open(carrier.name, kind)).collect();
        let all = counts.iter().sum::<i64>();
        let numbers = counts.into_iter().chain([all]).map(|count| grouped(count.max(0) as u64));
        table.add_row([kind.as_str().to_owned()].into_iter().chain(numbers));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn latest_table(findings: &Findings, room: usize) -> Table {
    let header =
        ["latest exceptions", "carrier", "number", "kind", "change", "silence", "severity", "step"];
    let mut table = table(&header);
    for event in findings.latest().take(room) {
        table.add_row(latest_row(event));
    }
    table
}

/// The time is that of the log: of the deadline, the closing scan, or the end of watching.
fn latest_row(event: &ExceptionEvent) -> [String; 8] {
    let when = match (event.change, &event.closed_by) {
        (_, Some(closed_by)) => closed_by.log_time.secs(),
        (Change::Expired, None) => event.anchor.secs() + event.silent_for_s,
        (_, None) => event.deadline.secs(),
    };
    [
        display(when),
        event.key.carrier().to_owned(),
        event.key.number().to_string(),
        event.kind.as_str().to_owned(),
        event.change.as_str().to_owned(),
        display_span(event.silent_for_s),
        event.severity.as_str().to_owned(),
        event.step_name.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::time::{DAY, HOUR, START};
    use super::*;
    use crate::detector::exception::Severity;
    use crate::detector::key::PackageKey;
    use crate::detector::scan::{Attributes, Milestone};
    use crate::detector::time::{Deadline, EffectiveTime, LogTime};

    fn opened(number: &str) -> ExceptionEvent {
        ExceptionEvent {
            exception_id: uuid::Uuid::nil(),
            sequence: 0,
            change: Change::Opened,
            kind: Kind::NoMovement,
            severity: Severity::Warning,
            step: 0,
            step_name: Arc::from("stalled"),
            key: PackageKey::new("fedex", number).unwrap(),
            anchor: EffectiveTime::from_secs(START),
            anchor_set_at: LogTime::from_secs(START),
            opened_deadline: Deadline::from_secs(START + 3 * DAY),
            deadline: Deadline::from_secs(START + 3 * DAY),
            silent_for_s: 3 * DAY + 4 * HOUR,
            last_milestone: Milestone::Arrived,
            attributes: Attributes::default(),
            policy_id: Arc::from("everything-else"),
            policy_set: Arc::from(""),
            closed_by: None,
            backfilled: false,
        }
    }

    fn findings(count: usize) -> Findings {
        let mut findings = Findings::default();
        for serial in 0..count {
            findings.add(opened(&format!("98657878{serial:04}")), Some((START + 3 * DAY) * 1000));
        }
        findings
    }

    #[test]
    fn the_picture_tells_what_is_open_and_what_came_last() {
        let view = View { now_ms: (START + 4 * DAY) * 1000, in_flight: 12_345, scans: 1_000_000 };
        let picture = picture(view, &findings(3), 8_000, 24);
        let line = |start: &str| {
            let found = picture.lines().find(|line| line.trim_start().starts_with(start));
            found.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let head =
            "day 5, Fri 00:00 12,345 packages in flight 1,000,000 scans (8,000/s) 3 exceptions";
        assert_eq!(line("day  5"), head);
        assert_eq!(line("no_movement"), "no_movement 0 3 0 0 0 3");
        let last = "day 4, Thu 00:00 fedex 986578780002 no_movement opened 3d 4h warning stalled";
        assert_eq!(line("day  4"), last);
    }

    #[test]
    fn the_picture_fits_the_terminal() {
        for height in 10..40 {
            let lines = picture(View::default(), &findings(30), 0, height).lines().count();
            assert!(lines < height, "{lines} lines of {height}");
        }
    }
}
