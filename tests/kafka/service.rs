//! The real program as a child process: `stallwatch run` on topics of its own, `stallwatch replay`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::broker::{Broker, free_port, project, signal};
use crate::client::{create_topic, unique};
use crate::python;
use crate::wait::until;

/// How long the service may take for what a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(90);
const PROBE: Duration = Duration::from_secs(5);

/// Topics, configuration and policies of one service, before and between its runs.
pub struct Setup {
    dir: TempDir,
    pub bootstrap: String,
    pub name: String,
    pub partitions: i32,
    pub format: &'static str,
    /// Lines for sections of the configuration, such as `("kafka", "patience = \"3s\"")`.
    pub lines: Vec<(&'static str, String)>,
    pub policies: String,
    /// What its environment has beside ours.
    pub environment: Vec<(String, String)>,
}

/// What `stallwatch run` is at the moment.
pub struct Service {
    child: Child,
    probe: String,
    log: PathBuf,
}

/// What a verb said, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// How a topic of scans is set up for tests: kept for ever, records of any size.
pub const SCANS_SETTINGS: &[(&str, &str)] =
    &[("retention.ms", "-1"), ("max.message.bytes", crate::client::LARGEST_RECORD)];

/// How the open topic is to be set up.
pub const OPEN_SETTINGS: &[(&str, &str)] =
    &[("cleanup.policy", "compact"), ("message.timestamp.type", "LogAppendTime")];

impl Setup {
    /// A service with topics of unique names on this broker, all created.
    pub fn new(broker: &Broker, name: &str, partitions: i32, format: &'static str) -> Self {
        Self::with_scans(broker, name, partitions, format, &[])
    }

    /// The same, with settings for the topic of scans.
    pub fn with_scans(
        broker: &Broker,
        name: &str,
        partitions: i32,
        format: &'static str,
        settings: &[(&str, &str)],
    ) -> Self {
        let setup = Self::on(broker.bootstrap(), name, partitions, format);
        let bootstrap = &setup.bootstrap;
        let settings = [SCANS_SETTINGS, settings].concat();
        create_topic(bootstrap, &setup.scans(), partitions, &settings);
        create_topic(bootstrap, &setup.open(), partitions, OPEN_SETTINGS);
        create_topic(bootstrap, &setup.exceptions(), 3, &[]);
        create_topic(bootstrap, &setup.dead_letters(), 1, &[]);
        setup
    }

    /// A service that is told this address; no topic is created.
    pub fn on(bootstrap: String, name: &str, partitions: i32, format: &'static str) -> Self {
        let dir = tempfile::Builder::new().prefix("stallwatch-test-").tempdir().expect("a folder");
        let name = unique(name);
        Self {
            dir,
            bootstrap,
            name,
            partitions,
            format,
            lines: Vec::new(),
            policies: String::new(),
            environment: Vec::new(),
        }
    }

    /// Adds a line to a section of the configuration.
    pub fn with(mut self, section: &'static str, line: impl Into<String>) -> Self {
        self.lines.push((section, line.into()));
        self
    }

    /// Sets the text of the policies.
    pub fn policies(mut self, text: impl Into<String>) -> Self {
        self.policies = text.into();
        self
    }

    /// The topic of scans.
    pub fn scans(&self) -> String {
        format!("{}.scans", self.name)
    }

    /// The topic of exceptions.
    pub fn exceptions(&self) -> String {
        format!("{}.exceptions", self.name)
    }

    /// The topic of what is open.
    pub fn open(&self) -> String {
        format!("{}.open", self.name)
    }

    /// The topic of dead letters.
    pub fn dead_letters(&self) -> String {
        format!("{}.dlq", self.name)
    }

    /// The consumer group.
    pub fn group(&self) -> String {
        format!("{}-group", self.name)
    }

    /// The static member's name; the transactional id is group/instance.
    pub fn instance(&self) -> String {
        format!("{}-instance", self.name)
    }

    /// Leaves the files where they are.
    #[allow(dead_code, reason = "for tests/chaos")]
    pub fn keep_files(&mut self) -> &Path {
        self.dir.disable_cleanup(true);
        self.dir.path()
    }

    /// A file of this test.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn settings(&self, probe: &str, instance: &str) -> Vec<(&'static str, String)> {
        let text = |key: &str, value: &str| format!("{key} = \"{value}\"");
        let mut settings = vec![
            ("kafka", text("bootstrap_servers", &self.bootstrap)),
            ("kafka", text("group_id", &self.group())),
            ("kafka", text("instance_id", instance)),
            ("input", format!("topics = [\"{}\"]", self.scans())),
            ("input", text("format", self.format)),
            ("input", text("backfill", "publish")),
            ("input", text("clock_margin", "1s")),
            ("output", text("exceptions", &self.exceptions())),
            ("output", text("open", &self.open())),
            ("output", text("dead_letter", &self.dead_letters())),
            ("output", text("format", self.format)),
            ("policies", text("file", "policies.toml")),
            ("admin", text("listen", &format!("127.0.0.1:{}", free_port()))),
            ("admin", text("probe_listen", probe)),
            ("log", text("level", "info")),
            ("log", text("tracking_numbers", "plain")),
        ];
        if self.format == "avro" {
            let schema = project().join("schemas/scan.v1.avsc");
            settings.push(("input", text("schema_file", &schema.display().to_string())));
        }
        for (section, line) in &self.lines {
            let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
            settings.retain(|(other, old)| other != section || key(old) != key(line));
            settings.push((section, line.clone()));
        }
        settings
    }

    fn write(&self, probe: &str, instance: &str, file: &str) -> PathBuf {
        let mut settings = self.settings(probe, instance);
        settings.sort_by_key(|(section, _)| *section);
        let mut text = String::new();
        let mut last = "";
        for (section, line) in &settings {
            if *section != last {
                writeln!(text, "[{section}]").expect("written to memory");
            }
            writeln!(text, "{line}").expect("written to memory");
            last = section;
        }
        let config = self.file(file);
        fs::write(&config, text).expect("written");
        // Another instance may be reading it.
        if fs::read_to_string(self.policies_file()).ok().as_ref() != Some(&self.policies) {
            fs::write(self.policies_file(), &self.policies).expect("written");
        }
        config
    }

    fn policies_file(&self) -> PathBuf {
        self.file("policies.toml")
    }

    /// Starts the service.
    pub fn spawn(&self) -> Service {
        self.spawn_with(&self.instance(), "stallwatch.toml", "service.log")
    }

    /// Starts one of several instances; its name is its instance id and that of its files.
    #[allow(dead_code, reason = "for tests/chaos")]
    pub fn spawn_as(&self, name: &str) -> Service {
        self.spawn_with(name, &format!("{name}.toml"), &format!("{name}.log"))
    }

    fn spawn_with(&self, instance: &str, config: &str, log: &str) -> Service {
        let probe = format!("127.0.0.1:{}", free_port());
        let config = self.write(&probe, instance, config);
        let log = self.file(log);
        let out = File::options().create(true).append(true).open(&log).expect("a log file");
        let child = stallwatch()
            .arg("run")
            .arg("--config")
            .arg(config)
            .current_dir(self.dir.path())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(out)
            .spawn()
            .expect("stallwatch can be run");
        Service { child, probe, log }
    }

    /// Starts the service and waits until it says that it is ready.
    pub fn start(&self) -> Service {
        let mut service = self.spawn();
        service.wait_ready();
        service
    }

    /// Starts the service, expects it to give up by itself, and returns its exit code and log.
    pub fn run_to_failure(&self) -> (i32, String) {
        let mut service = self.spawn();
        let status = service.wait_exit();
        let log = service.log();
        assert!(!status.success(), "it was to fail, but ended well\n{log}");
        (status.code().expect("an exit code, not a signal"), log)
    }

    /// `stallwatch recover` with the configuration of the last run: whether it succeeded, and what it
    /// said.
    pub fn recover(&self, partition: i32, accept: &str) -> (bool, String) {
        let ran = stallwatch()
            .args([
                "recover",
                "--partition",
                &partition.to_string(),
                "--accept",
                accept,
                "--config",
            ])
            .arg(self.file("stallwatch.toml"))
            .current_dir(self.dir.path())
            .output()
            .expect("stallwatch can be run");
        let said = [ran.stdout, ran.stderr].concat();
        (ran.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Another verb on this service's configuration.
    pub fn run_verb(&self, verb: &[&str]) -> Said {
        let config = self.write("127.0.0.1:0", &self.instance(), "verb.toml");
        let ran = stallwatch()
            .args(verb)
            .arg("--config")
            .arg(config)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .output()
            .expect("stallwatch can be run");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let code = ran.status.code().expect("an exit code, not a signal");
        Said { code, out: text(ran.stdout), err: text(ran.stderr) }
    }

    /// Runs a command line anywhere, in a shell that finds `stallwatch` and Kafka's tools.
    #[allow(dead_code, reason = "not for tests/chaos")]
    pub fn shell(&self, broker: &Broker, line: &str) -> Said {
        let program = Path::new(env!("CARGO_BIN_EXE_stallwatch")).parent().expect("a folder");
        let path = std::env::var("PATH").expect("a PATH");
        let path = format!("{}:{}:{path}", program.display(), broker.tools().display());
        let ran = Command::new("sh")
            .args(["-c", line])
            .current_dir("/")
            .env("PATH", path)
            .stdin(Stdio::null())
            .output()
            .expect("a shell can be run");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let code = ran.status.code().expect("an exit code, not a signal");
        Said { code, out: text(ran.stdout), err: text(ran.stderr) }
    }

    /// `stallwatch replay` of a log of this service's topic; the NDJSON that it writes.
    pub fn replay(&self, log: &Path, until_secs: i64) -> String {
        self.write("127.0.0.1:0", &self.instance(), "stallwatch.toml");
        let output = self.file("replay.ndjson");
        let until = format!("{}", jiff::Timestamp::from_second(until_secs).expect("a time"));
        let ran = stallwatch()
            .args(["replay", "--topic", &self.scans(), "--until", &until, "--input"])
            .arg(log)
            .arg("--policies")
            .arg(self.policies_file())
            .arg("--output")
            .arg(&output)
            .output()
            .expect("stallwatch can be run");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "replay: {}\n{said}", ran.status);
        fs::read_to_string(output).expect("what replay wrote")
    }

    /// Every event of the exceptions topic, as an independent reader sees it.
    pub fn published(&self) -> Vec<serde_json::Value> {
        let (topic, source) = (self.exceptions(), format!("/stallwatch/{}", self.group()));
        self.read("exceptions", &topic, &["--source", &source])
    }

    /// What is open by the `open` table, as an independent reader compacts it.
    pub fn open_table(&self) -> Vec<serde_json::Value> {
        self.read("open", &self.open(), &["--keyed-input"])
    }

    /// The same where rows stand in other partitions than their keys say, as after some were added.
    pub fn open_table_of_any_partition(&self) -> Vec<serde_json::Value> {
        self.read("open", &self.open(), &[])
    }

    fn read(&self, verb: &str, topic: &str, more: &[&str]) -> Vec<serde_json::Value> {
        let from = [verb, "--bootstrap", &self.bootstrap, "--topic", topic];
        python::reader(&[&from[..], &["--format", self.format], more].concat())
    }
}

fn stallwatch() -> Command {
    Command::new(env!("CARGO_BIN_EXE_stallwatch"))
}

impl Service {
    /// Waits until `/readyz` says so.
    pub fn wait_ready(&mut self) {
        self.wait("the service is ready", |service| {
            let (status, _) = service.get("/readyz")?;
            (status == 200).then_some(())
        });
    }

    /// Waits for a condition; fails at once where the service has ended.
    pub fn wait<T>(&mut self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let log = self.log.clone();
        until(
            what,
            PATIENCE,
            || {
                let ended = self.child.try_wait().expect("a child can be asked");
                assert!(ended.is_none(), "the service ended: {ended:?}\n{}", self.log());
                look(self)
            },
            || log_tail(&log),
        )
    }

    /// Waits until the frontier of every partition has reached a second, by evidence.
    pub fn wait_frontier(&mut self, partitions: i32, second: i64) {
        self.wait("the frontier of every partition", |service| {
            let metrics = service.metrics()?;
            (0..partitions)
                .all(|partition| {
                    let label = [("partition", partition.to_string())];
                    metrics
                        .value("stallwatch_frontier_timestamp_seconds", &label)
                        .is_some_and(|frontier| frontier >= second as f64)
                })
                .then_some(())
        });
    }

    /// Waits until this many scans were applied or put aside by this run, over all outcomes.
    pub fn wait_scans(&mut self, least: u64) {
        self.wait("scans", |service| {
            let scans = service.metrics()?.sum("stallwatch_scans_total");
            (scans >= least as f64).then_some(())
        });
    }

    /// What `/metrics` says, if it answers.
    pub fn metrics(&self) -> Option<Metrics> {
        let (status, text) = self.get("/metrics")?;
        (status == 200).then_some(Metrics(text))
    }

    /// The address of the probe listener.
    #[allow(dead_code, reason = "not for tests/chaos")]
    pub fn probe(&self) -> &str {
        &self.probe
    }

    /// Status and body of a GET on the probe listener, if it answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.probe).ok()?;
        stream.set_read_timeout(Some(PROBE)).expect("a time-out");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// Everything the service has logged, in this run and those before.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGTERM: the service drains, commits and ends well.
    pub fn stop(mut self) {
        self.send("TERM");
        let status = self.wait_exit();
        assert_eq!(status.code(), Some(0), "it did not end well\n{}", self.log());
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("a child can be killed");
        self.wait_exit();
    }

    /// Its process.
    #[allow(dead_code, reason = "for tests/kafka")]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, named without SIG.
    pub fn send(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// How the service has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked")
    }

    /// Waits until the service has ended.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let log = self.log.clone();
        until("the service ends", PATIENCE, || self.ended(), || log_tail(&log))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log_tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// The text of `/metrics`.
pub struct Metrics(String);

impl Metrics {
    /// The value of the series of this name with all of these labels.
    pub fn value(&self, name: &str, labels: &[(&str, String)]) -> Option<f64> {
        self.series(name).find_map(|(series, value)| {
            let has = |(key, text): &(&str, String)| series.contains(&format!("{key}=\"{text}\""));
            labels.iter().all(has).then_some(value)
        })
    }

    /// The sum over all series of this name.
    pub fn sum(&self, name: &str) -> f64 {
        self.series(name).map(|(_, value)| value).sum()
    }

    fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter_map(move |line| {
            let labels = line.strip_prefix(name)?;
            let (labels, value) = labels.rsplit_once(' ')?;
            let exact = labels.is_empty() || labels.starts_with('{');
            Some((labels, value.parse().ok()?)).filter(|_| exact)
        })
    }
}
