//! `stallwatch replay`: the detector over a file.

mod output;
mod progress;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use stallwatch::config;
use stallwatch::detector::exception::ExceptionEvent;
use stallwatch::detector::time::Frontier;
use stallwatch::replay::{self, Listener, Options, ReplayError, Summary};
use stallwatch::wire::moment::parse_moment;
use stallwatch::wire::reject::Rejected;
use stallwatch::wire::scan::{NO_TIME, NoTime};
use stallwatch::wire::scan_file::{Place, ScanFile, layout};

use self::output::Output;
use self::progress::Progress;
use super::{Failure, Report, print};

/// Run the detector over a file of scans; write the exceptions it would have published
///
/// Reads NDJSON, or an Avro object container, known by its first bytes; at most 4,096 partitions.
/// The same input gives the same output, byte for byte.
#[derive(Args)]
#[command(override_usage = "stallwatch replay --input <FILE|-> --policies <FILE> [OPTIONS]")]
pub struct Arguments {
    /// The scans: a file, or - for standard input
    #[arg(long, value_name = "FILE|-", required_unless_present_any = ["config", "from", "to"])]
    input: Option<PathBuf>,
    /// The policies to detect by
    #[arg(long, value_name = "FILE", required_unless_present_any = ["config", "from", "to"])]
    policies: Option<PathBuf>,
    /// End at this time: skip what was logged after it; what is due by then happens
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    until: Option<i64>,
    /// Where the exceptions go: a file, complete or not there at all, or - for standard output
    #[arg(long, value_name = "FILE|-", default_value = "-")]
    output: PathBuf,
    /// How the exceptions are written
    #[arg(long, value_name = "FORMAT", default_value = "ndjson")]
    format: Format,
    /// Say at the end what it came to: to standard error, or to standard output if --output is a
    /// file
    #[arg(long)]
    summary: bool,
    /// How --summary reports
    #[arg(short = 'o', value_name = "FORMAT", default_value = "text", requires = "summary")]
    report: Report,
    /// End with an error at the first record that is no scan
    #[arg(long)]
    strict: bool,
    /// For files without log_time that are not sorted by event_time: read everything, sort, replay
    #[arg(long)]
    sort: bool,
    /// Event times that stand for none: dates, separated by commas, each at 00:00:00 of any offset
    /// from UTC, 9999-12-31 at any time; '' for none at all. As input.no_time of the service
    #[arg(long, value_name = "DATES", default_value_t = NO_TIME.join(","))]
    no_time: String,
    /// The topic that the log was exported from, for closed_by.topic
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Replay over the topic of a configuration: not built yet
    #[arg(long, value_name = "FILE", hide = true)]
    config: Option<PathBuf>,
    /// With --config: not built yet
    #[arg(long, value_name = "TIME", hide = true)]
    from: Option<String>,
    /// With --config: not built yet
    #[arg(long, value_name = "TIME", hide = true)]
    to: Option<String>,
}

/// How exceptions are written to a file.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line
    Ndjson,
    /// An Avro object container
    Avro,
}

/// Broken records that are told of in full; those after them are only counted.
const TOLD_IN_FULL: u64 = 20;

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let (Some(input), Some(policies), None, None, None) =
        (&arguments.input, &arguments.policies, &arguments.config, &arguments.from, &arguments.to)
    else {
        return Err(Failure::Usage(
            "replay over a topic (--config, --from, --to) is not built yet; give --input and --policies"
                .to_owned(),
        ));
    };
    let policies = config::load_policies(policies).map_err(Failure::Configuration)?;
    let no_time = NoTime::of(arguments.no_time.split(',').filter(|date| !date.is_empty()))
        .map_err(|message| Failure::Usage(format!("--no-time: {message}")))?;
    let options = Options {
        policies: Arc::new(policies),
        until: arguments.until.map(Frontier::from_secs),
        strict: arguments.strict,
        sort: arguments.sort,
    };
    let started = Instant::now();
    let mut source = Source::open(input)?;
    let layout = layout(source.reader.fill_buf().unwrap_or_default());
    let output = Output::open(&arguments.output, arguments.format, source.file.as_ref())?;
    let progress = Progress::new(source.length, output.is_seen());
    let scans = ScanFile::open(source.reader)
        .map_err(|error| Failure::Failed(format!("{}: {error}", source.name)))?
        .with_no_time(no_time);
    let mut listener = Terminal { output, topic: arguments.topic.as_deref(), progress, told: 0 };
    let replayed = replay::replay(scans, &options, &mut listener);
    listener.progress.end();
    let Terminal { output, .. } = listener;
    let output_is_file = output.is_file();
    let summary = replayed.map_err(|error| failure(&error, &source.name, output.name()))?;
    if summary.records > 0 && summary.unreadable() == summary.records {
        return Err(Failure::Failed(no_scan(&source.name, &summary, layout)));
    }
    output.finish()?;
    tell_of_unread(&source.name, &summary, layout);
    if arguments.summary {
        let elapsed = started.elapsed();
        let text = match arguments.report {
            Report::Json => summary.to_json().to_string(),
            Report::Text => {
                let speed = summary.records as f64 / elapsed.as_secs_f64().max(1e-9);
                let seconds = elapsed.as_secs_f64();
                format!("{}\n\n{seconds:.2} s, {speed:.0} records/s", summary.to_text())
            }
        };
        match output_is_file {
            true => print::say(text)?,
            false => print::note(text),
        }
    }
    Ok(())
}

fn failure(error: &ReplayError, input: &str, output: &str) -> Failure {
    match error {
        ReplayError::Output(error) => Failure::of_output(output, error),
        ReplayError::Broken { .. } => {
            Failure::Failed(format!("{input}, {error} (--strict ends at the first broken record)"))
        }
        ReplayError::Input(_) | ReplayError::Partitions { .. } | ReplayError::Full { .. } => {
            Failure::Failed(format!("{input}: {error}"))
        }
    }
}

/// Of an input of which nothing could be read.
fn no_scan(input: &str, summary: &Summary, layout: Option<&str>) -> String {
    let reasons = reasons(summary);
    match (layout, summary.records) {
        (Some(layout), _) => format!("{input} is {layout} ({reasons})"),
        (None, 1) => format!("{input}: its one record cannot be read: {reasons}"),
        (None, count) => format!("{input}: not one of its {count} records can be read: {reasons}"),
    }
}

fn tell_of_unread(input: &str, summary: &Summary, layout: Option<&str>) {
    if summary.records == 0 {
        print::complain("warning", "the input has no records");
    }
    if !summary.unknown.is_empty() {
        let texts = &summary.unknown;
        print::complain(
            "warning",
            format_args!(
                "texts that are none of the vocabulary count as info, evidence as predicted: {texts}"
            ),
        );
    }
    let count = summary.rejected_in_all();
    if count == 0 {
        return;
    }
    let records = if count == 1 { "record is" } else { "records are" };
    let reasons = reasons(summary);
    print::complain("warning", format_args!("{count} {records} no scan: {reasons}"));
    if let Some(layout) = layout {
        print::complain("warning", format_args!("{input} is {layout}"));
    }
}

/// `30 not_json, 1 unreadable_time`
fn reasons(summary: &Summary) -> String {
    let reasons = summary.rejected.iter().map(|(reason, count)| format!("{count} {reason}"));
    reasons.collect::<Vec<_>>().join(", ")
}

/// The input and what is known of it.
struct Source {
    name: String,
    reader: Box<dyn BufRead + Send>,
    /// The file on disk, if it is one.
    file: Option<PathBuf>,
    length: Option<u64>,
}

impl Source {
    /// No larger than what a container reads at once, which then goes past this buffer.
    const BUFFER: usize = 64 << 10;

    fn open(path: &PathBuf) -> Result<Self, Failure> {
        if path.as_os_str() == "-" {
            let reader = Box::new(BufReader::with_capacity(Self::BUFFER, io::stdin()));
            let name = "standard input".to_owned();
            return Ok(Self { name, reader, file: None, length: None });
        }
        let name = path.display().to_string();
        let failed = |error| Failure::Failed(format!("{name} cannot be read: {error}"));
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(Failure::Failed(format!("{name} is a folder; name a file of scans")));
        }
        let length = metadata.is_file().then_some(metadata.len());
        let reader = Box::new(BufReader::with_capacity(Self::BUFFER, file));
        Ok(Self { name, reader, file: path.canonicalize().ok(), length })
    }
}

/// Hears the replay: exceptions go to the output, broken records to standard error.
struct Terminal<'a> {
    output: Output,
    topic: Option<&'a str>,
    progress: Progress,
    told: u64,
}

impl Listener for Terminal<'_> {
    fn event(&mut self, event: &ExceptionEvent, partition: Option<i32>) -> io::Result<()> {
        self.output.write(event, self.topic, partition)
    }

    fn rejected(&mut self, place: Place, rejected: &Rejected) {
        self.told += 1;
        self.progress.aside(|| {
            if self.told <= TOLD_IN_FULL {
                print::complain("warning", format_args!("{place}: {rejected}"));
            } else if self.told == TOLD_IN_FULL + 1 {
                print::complain("warning", "further broken records are only counted");
            }
        });
    }

    fn progress(&mut self, bytes_read: u64) {
        self.progress.at(bytes_read);
    }
}
