//! What a run tells: faults by kind, and a trace where one is wanted.

use super::options::Fault;

/// See the module's head.
pub struct Tell {
    pub faults: Vec<u64>,
    pub restores: u64,
    pub commits: u64,
    pub events: u64,
    trace: Option<Vec<String>>,
}

impl Tell {
    pub fn new(traced: bool) -> Self {
        Self {
            faults: vec![0; Fault::ALL.len()],
            restores: 0,
            commits: 0,
            events: 0,
            trace: traced.then(Vec::new),
        }
    }

    pub fn fault(&mut self, fault: Fault) {
        self.faults[fault as usize] += 1;
    }

    pub fn say(&mut self, now_ms: i64, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now_ms} {}", line()));
        }
    }

    pub fn lines(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }
}
