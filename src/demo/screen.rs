//! The live table: redrawn in place on a terminal, elsewhere a line every few seconds.

use std::io;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use console::{Term, truncate_str};

use super::carriers::CARRIERS;
use super::findings::Findings;
use super::summary::thousands;
use super::time::{display, display_span};
use crate::detector::exception::{Change, ExceptionEvent, Kind};
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
        "{}: {} packages in flight, {} scans ({}/s), {} exceptions, open: {} missing_first_scan, {} no_movement",
        display(view.now_ms.div_euclid(1000)),
        thousands(view.in_flight),
        thousands(view.scans),
        thousands(rate),
        thousands(findings.len() as u64),
        open(Kind::MissingFirstScan),
        open(Kind::NoMovement),
    )
}

/// The table as a whole, no higher than `height` lines.
fn picture(view: View, findings: &Findings, rate: u64, height: usize) -> String {
    let head = format!(
        "{}   {} packages in flight   {} scans ({}/s)   {} exceptions",
        display(view.now_ms.div_euclid(1000)),
        thousands(view.in_flight),
        thousands(view.scans),
        thousands(rate),
        thousands(findings.len() as u64),
    );
    let open = open_table(findings).to_string();
    let fixed = 1 + open.lines().count();
    // Two lines of the second table are its heading; the cursor needs one below.
    let room = height.saturating_sub(fixed + 3).min(14);
    format!("{head}\n{open}\n{}", latest_table(findings, room))
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header(header.iter());
    table.remove_style(comfy_table::TableComponent::TopBorder);
    table.remove_style(comfy_table::TableComponent::BottomBorder);
    table.remove_style(comfy_table::TableComponent::HorizontalLines);
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
        let numbers = counts.into_iter().chain([all]).map(|count| thousands(count.max(0) as u64));
        table.add_row([kind.as_str().to_owned()].into_iter().chain(numbers));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn latest_table(findings: &Findings, room: usize) -> Table {
    let header = ["latest", "carrier", "number", "change", "kind", "step", "severity", "silence"];
    let mut table = table(&header);
    for (event, detected) in findings.latest().take(room) {
        table.add_row(latest_row(event, *detected));
    }
    table
}

fn latest_row(event: &ExceptionEvent, detected_ms: Option<i64>) -> [String; 8] {
    let when = match event.change {
        Change::Opened | Change::Escalated => Some(event.deadline.secs()),
        _ => detected_ms.map(|ms| ms.div_euclid(1000)),
    };
    [
        when.map(display).unwrap_or_default(),
        event.key.carrier().to_owned(),
        event.key.number().to_owned(),
        event.change.as_str().to_owned(),
        event.kind.as_str().to_owned(),
        event.step_name.to_string(),
        event.severity.as_str().to_owned(),
        display_span(event.silent_for_s),
    ]
}
