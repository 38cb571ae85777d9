//! What the command line promises: every flag, every error, every exit code, by running the binary.

mod deploy;
mod healthcheck;
mod input;
mod operate;
mod output;
mod policies;
mod summary;
mod time;
mod usage;
mod validate;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Opens after two days without movement or a first scan, escalates after seven.
pub(crate) const POLICIES: &str = r#"
version = 1
[[policy]]
id = "everything-else"
first_scan  = [ { after = "48h", severity = "warning" } ]
no_movement = [
  { after = "48h", severity = "warning", name = "stalled" },
  { after = "7d", severity = "critical", name = "presumed_lost" },
]
"#;

/// What a run of the binary came to.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    /// The same, having ended with this code.
    #[track_caller]
    pub(crate) fn with(self, code: i32) -> Self {
        let shown = String::from_utf8_lossy(&self.stdout);
        assert_eq!(self.code, Some(code), "stderr: {}\nstdout: {shown}", self.stderr);
        self
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// The NDJSON lines of standard output, as `change carrier:number`.
    pub(crate) fn told(&self) -> Vec<String> {
        told(self.text())
    }
}

/// The lines of an output, as `change kind carrier:number`.
pub(crate) fn told(lines: &str) -> Vec<String> {
    let line = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        let [change, carrier, number] = ["change", "carrier", "tracking_number"].map(text);
        format!("{change} {carrier}:{number}")
    };
    lines.lines().map(line).collect()
}

/// A command of the binary that knows nothing of this environment.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stallwatch"));
    command.args(arguments).env_clear();
    command
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str]) -> Ran {
    run_with(arguments, b"")
}

/// Runs the binary to its end, with something on standard input.
pub(crate) fn run_with(arguments: &[&str], stdin: &[u8]) -> Ran {
    let mut child = command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let bytes = stdin.to_owned();
    // A child that does not read to the end is free to.
    let writer = std::thread::spawn(move || pipe.write_all(&bytes).ok());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ran {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder with policies and whatever else a test puts there.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.file("policies.toml", POLICIES);
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file; its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The path that a file of this name has or would have.
    pub(crate) fn at(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.path().join(name)).unwrap()
    }

    /// The names of the files, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let names = fs::read_dir(self.0.path()).unwrap().map(name);
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Replays scans with this folder's policies.
    pub(crate) fn replay(&self, scans: impl AsRef<[u8]>, more: &[&str]) -> Ran {
        let input = self.file("scans", scans);
        let policies = self.at("policies.toml");
        let mut arguments = vec!["replay", "--input", &input, "--policies", &policies];
        arguments.extend(more);
        run(&arguments)
    }
}

/// A file of this repository.
pub(crate) fn of_repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A scan of one line: day and hour of March 2026 and what happened, with more fields if need be.
pub(crate) fn scan(time: &str, number: &str, milestone: &str, more: &str) -> String {
    let more = if more.is_empty() { String::new() } else { format!(",{more}") };
    format!(
        "{{\"tracking_number\":\"{number}\",\"carrier\":\"ups\",\"milestone\":\"{milestone}\",\"event_time\":\"2026-03-{time}:00:00Z\"{more}}}\n"
    )
}

/// A package that stalls for three days and moves on, and one whose label is never followed up.
pub(crate) fn stalls() -> String {
    [
        scan("02T08", "1Z-1", "arrived", "\"facility\":\"MEM\""),
        scan("02T09", "1Z-2", "label_created", ""),
        scan("05T08", "1Z-1", "departed", "\"facility\":\"MEM\""),
        scan("05T12", "1Z-3", "delivered", ""),
    ]
    .concat()
}

/// What [`stalls`] brings.
pub(crate) const STALLED: [&str; 3] = ["opened ups:1Z1", "opened ups:1Z2", "resolved ups:1Z1"];
