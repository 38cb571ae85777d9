//! The independent subscribers that read along the whole time: `watch.py`, one process per topic.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::Value;

use crate::python;
use crate::service::Setup;

/// One subscriber.
pub struct Watch {
    topic: String,
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    /// The subscriber of every event.
    pub fn exceptions(setup: &Setup) -> Self {
        let source = format!("/stallwatch/{}", setup.group());
        Self::start(setup, "exceptions", setup.exceptions(), &["--source", &source])
    }

    /// The reader of what is open, like a KTable.
    pub fn open(setup: &Setup) -> Self {
        Self::start(setup, "open", setup.open(), &[])
    }

    fn start(setup: &Setup, verb: &str, topic: String, more: &[&str]) -> Self {
        let mut child = python::command("tests/chaos/watch.py")
            .args([verb, "--bootstrap", &setup.bootstrap, "--topic", &topic])
            .args(["--format", setup.format])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a subscriber");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (tell, lines) = channel();
        thread::spawn(move || {
            output.lines().map_while(Result::ok).all(|line| tell.send(line).is_ok());
        });
        Self { topic, child, lines }
    }

    /// What contradicts itself, or why nobody reads any more.
    pub fn contradiction(&mut self) -> Option<String> {
        if let Ok(line) = self.lines.try_recv() {
            return Some(format!("the subscriber of {}: {line}", self.topic));
        }
        let ended = self.child.try_wait().expect("a child can be asked")?;
        Some(format!("the subscriber of {} ended: {ended}", self.topic))
    }

    /// Reads to the end of the topic: what it has seen, or what contradicts itself.
    pub fn finish(mut self) -> Result<Value, String> {
        drop(self.child.stdin.take());
        let status = self.child.wait().expect("a child can be waited for");
        let lines: Vec<String> = self.lines.iter().collect();
        match lines.as_slice() {
            [one] if status.success() => Ok(serde_json::from_str(one).expect("a line of JSON")),
            _ => Err(format!("the subscriber of {}: {status}\n{}", self.topic, lines.join("\n"))),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
