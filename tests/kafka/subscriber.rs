//! The subscribers of `examples/` as processes, and what they decide.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::SystemTime;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

use crate::broker::{project, signal};
use crate::client::{committed, committing, read};
use crate::python;
use crate::service::{PATIENCE, Setup};
use crate::wait::until;

/// Decisions of one subscriber by tracking number, each `decision@sequence`, in order.
pub type Decisions = BTreeMap<String, Vec<String>>;

/// One of the three, stopped or running.
pub struct Subscriber<'a> {
    setup: &'a Setup,
    name: &'static str,
    topic: String,
    argument: Option<String>,
    child: Option<Child>,
}

/// Customer care, in Python.
pub fn care(setup: &Setup) -> Subscriber<'_> {
    Subscriber::new(setup, "care", setup.exceptions(), Some(format!("--open={}", setup.open())))
}

/// The same, beginning with the oldest event and not with what is open.
pub fn care_from_the_first_event(setup: &Setup) -> Subscriber<'_> {
    Subscriber::new(setup, "care", setup.exceptions(), Some("--begin=events".to_owned()))
}

/// The claims desk, in Java.
pub fn claims(setup: &Setup) -> Subscriber<'_> {
    claims_on(setup, setup.open())
}

/// The same, on another topic than that of the setup.
pub fn claims_on(setup: &Setup, topic: String) -> Subscriber<'_> {
    Subscriber::new(setup, "claims", topic, Some(format!("--decisions={}", claims_topic(setup))))
}

/// Reshipment, in Rust.
pub fn reship(setup: &Setup) -> Subscriber<'_> {
    Subscriber::new(setup, "reship", setup.exceptions(), None)
}

/// The topic of decisions of the claims desk.
pub fn claims_topic(setup: &Setup) -> String {
    format!("{}.claims", setup.name)
}

impl<'a> Subscriber<'a> {
    fn new(setup: &'a Setup, name: &'static str, topic: String, argument: Option<String>) -> Self {
        Self { setup, name, topic, argument, child: None }
    }

    fn group(&self) -> String {
        format!("{}-{}", self.setup.name, self.name)
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.setup.file(&format!("{}.{ending}", self.name))
    }

    /// Starts it with more arguments, such as `--history=FOLDER`; the claims desk has them without
    /// the dashes.
    pub fn start(&mut self, more: &[String]) {
        let path = |ending| self.file(ending).display().to_string();
        let (mut command, mut arguments) = match self.name {
            "care" => {
                let script = "examples/subscribers/python/customer_care.py";
                (python::command(script), vec![format!("--database={}", path("db"))])
            }
            "claims" => (java(), vec![format!("--state={}", path("state"))]),
            _ => (Command::new(rust()), vec![format!("--journal={}", path("db"))]),
        };
        arguments.push(format!("--bootstrap={}", self.setup.bootstrap));
        arguments.extend(self.argument.clone());
        if self.name == "claims" {
            arguments.push("--check_s=1".to_owned());
            arguments.push(format!("--application={}", self.group()));
            arguments.push(format!("--open={}", self.topic));
        } else {
            arguments.push(format!("--group={}", self.group()));
            arguments.push(format!("--topic={}", self.topic));
        }
        arguments.extend_from_slice(more);
        let bare = self.name == "claims";
        command.args(arguments.iter().map(|one| if bare { &one[2..] } else { one }));
        let append = |ending| {
            File::options().create(true).append(true).open(self.file(ending)).expect("a file")
        };
        let child = command
            .current_dir(project())
            .stdin(Stdio::null())
            .stdout(append("out"))
            .stderr(append("err"))
            .spawn();
        self.child = Some(child.expect("a subscriber can be run"));
    }

    /// SIGTERM: it ends well, and at once.
    pub fn stop(&mut self) {
        signal(self.child.as_ref().expect("it runs").id(), "TERM");
        let status = self.wait_exit();
        assert_eq!(status.code(), Some(0), "{} did not end well\n{}", self.name, self.said());
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let child = self.child.as_mut().expect("it runs");
        child.kill().expect("a child can be killed");
        self.wait_exit();
    }

    /// Waits until it has ended.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let ended = || child.try_wait().expect("a child can be asked");
        until(&format!("{} ends", self.name), PATIENCE, ended, || self.said())
    }

    /// Waits until this was decided about a package.
    pub fn wait_for(&mut self, number: &str, decision: &str) {
        let what = format!("{} decides {decision} about {number}", self.name);
        self.wait(&what, |subscriber| {
            let decisions = subscriber.decisions();
            let of_package = decisions.get(number)?;
            of_package.iter().any(|one| one.starts_with(decision)).then_some(())
        });
    }

    /// Waits until it has committed all that its topic has.
    pub fn wait_committed(&mut self) {
        self.wait_committed_beyond(&BTreeMap::new());
    }

    /// Waits until it has committed all that came to its topic behind these offsets, by partition.
    pub fn wait_committed_beyond(&mut self, known: &BTreeMap<i32, i64>) {
        let mut wanted = BTreeMap::new();
        for record in read(&self.setup.bootstrap, &self.topic) {
            if known.get(&record.partition()).is_none_or(|&end| record.offset() >= end) {
                wanted.insert(record.partition(), record.offset() + 1);
            }
        }
        self.wait("all of the topic is committed", |subscriber| {
            let group = subscriber.group();
            let committed = committed(&subscriber.setup.bootstrap, &group, &subscriber.topic);
            let reached = |(partition, end)| committed.get(partition).is_some_and(|at| at >= end);
            wanted.iter().all(reached).then_some(())
        });
    }

    fn wait(&mut self, what: &str, mut look: impl FnMut(&Self) -> Option<()>) {
        let mut child = self.child.take().expect("it runs");
        let looked = || {
            let ended = child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "{} ended: {ended:?}\n{}", self.name, self.said());
            look(self)
        };
        until(what, PATIENCE, looked, || self.said());
        self.child = Some(child);
    }

    /// Sets the offsets of its group back to the beginning, as operators do for a second reading.
    pub fn rewind(&self) {
        let mut beginning = TopicPartitionList::new();
        let group = self.group();
        for partition in committed(&self.setup.bootstrap, &group, &self.topic).into_keys() {
            let offset = Offset::Offset(0);
            beginning.add_partition_offset(&self.topic, partition, offset).expect("an offset");
        }
        assert!(beginning.count() > 0, "{group} has committed nothing");
        let committing = committing(&self.setup.bootstrap, &group);
        committing.commit(&beginning, CommitMode::Sync).expect("the offsets are set back");
    }

    /// Every line that it printed, over all of its runs.
    pub fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.file("out")).unwrap_or_default();
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        whole.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// What it decided, over all of its runs.
    pub fn decisions(&self) -> Decisions {
        decisions(&self.lines())
    }

    /// What the claims desk has written to its topic.
    pub fn decisions_on_topic(&self) -> Decisions {
        let records = read(&self.setup.bootstrap, &claims_topic(self.setup));
        let values = records.iter().map(|record| record.payload().expect("a value"));
        let lines: Vec<_> =
            values.map(|value| serde_json::from_slice(value).expect("a claim")).collect();
        decisions(&lines)
    }

    /// What it printed and complained of.
    pub fn said(&self) -> String {
        let text = |ending| fs::read_to_string(self.file(ending)).unwrap_or_default();
        text("out") + &text("err")
    }
}

impl Drop for Subscriber<'_> {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Decisions as a test writes them down.
pub fn expected(of: &[(&str, &[&str])]) -> Decisions {
    let texts = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect();
    of.iter().map(|&(number, all)| (number.to_owned(), texts(all))).collect()
}

/// Decisions as the subscribers print them, by package.
pub fn decisions(lines: &[Value]) -> Decisions {
    let mut decisions = Decisions::new();
    for line in lines {
        let (_, sequence) = event_of(line);
        let text = |name: &str| line[name].as_str().expect("a text").to_owned();
        let decision = format!("{}@{sequence}", text("decision"));
        decisions.entry(text("tracking_number")).or_default().push(decision);
    }
    decisions
}

/// The exception's id and the sequence of the event that a decision names.
pub fn event_of(line: &Value) -> (String, i64) {
    if let Some((id, sequence)) = line["id"].as_str().and_then(|id| id.split_once(':')) {
        return (id.to_owned(), sequence.parse().expect("a sequence"));
    }
    let id = line["exception_id"].as_str().expect("an id").to_owned();
    (id, line["sequence"].as_i64().expect("a sequence"))
}

/// The claims desk as `./test` has built it; fails if its sources have changed since.
fn java() -> Command {
    let built = project().join(".cache/subscriber");
    let sources = project().join("examples/subscribers/java");
    let same = built.join("complete").exists() && same_files(&sources, &built.join("java"));
    assert!(same, "the subscriber in Java is not built from its present sources: run ./test setup");
    let target = built.join("java/target");
    let path = format!("{0}/classes:{0}/libs/*", target.display());
    let mut command = Command::new("java");
    command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", &path]);
    command.arg("claims.ClaimsDesk");
    command
}

/// Whether every file of a folder is the same in another.
fn same_files(folder: &Path, other: &Path) -> bool {
    let entries = fs::read_dir(folder).expect("the sources").map(|entry| entry.expect("an entry"));
    entries.filter(|entry| entry.file_name() != "target").all(|entry| {
        let copy = other.join(entry.file_name());
        match entry.path() {
            inner if inner.is_dir() => same_files(&inner, &copy),
            file => fs::read(file).expect("a source") == fs::read(copy).unwrap_or_default(),
        }
    })
}

/// The example that cargo has put beside this test; fails if its sources have changed since.
fn rust() -> PathBuf {
    const REMEDY: &str = "run ./test kafka, or cargo build --example subscribe";
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.parent().and_then(Path::parent).expect("target/PROFILE");
    let example = profile.join("examples/subscribe");
    let built = changed(&example).unwrap_or_else(|| panic!("no {}: {REMEDY}", example.display()));
    let sources = fs::read_to_string(example.with_extension("d")).expect("what cargo built it of");
    let (_, sources) = sources.split_once(": ").expect("a rule");
    for source in sources.split_whitespace() {
        let newer = changed(Path::new(source)).is_none_or(|at| at > built);
        assert!(!newer, "{} is older than {source}: {REMEDY}", example.display());
    }
    example
}

fn changed(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}
