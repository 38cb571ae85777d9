//! What was found, a line each.

use std::fmt;

use serde_json::{Value, json};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    Warn,
    Fail,
    /// It could not be made, or not without harm.
    Skipped,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Skipped => "skip",
        }
    }
}

#[derive(Clone, Debug)]
struct Finding {
    verdict: Verdict,
    check: &'static str,
    says: String,
    remedy: Option<String>,
}

/// Findings in the order of the checks.
#[derive(Clone, Debug, Default)]
pub struct Report(Vec<Finding>);

impl Report {
    fn add(&mut self, verdict: Verdict, check: &'static str, says: String, remedy: Option<String>) {
        self.0.push(Finding { verdict, check, says, remedy });
    }

    /// As it should be.
    pub(super) fn ok(&mut self, check: &'static str, says: impl Into<String>) {
        self.add(Verdict::Ok, check, says.into(), None);
    }

    /// The service runs, and something is worth a change.
    pub(super) fn warn(
        &mut self,
        check: &'static str,
        says: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Verdict::Warn, check, says.into(), Some(remedy.into()));
    }

    /// The service does not run so, or not rightly.
    pub(super) fn fail(
        &mut self,
        check: &'static str,
        says: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Verdict::Fail, check, says.into(), Some(remedy.into()));
    }

    /// Not checked, and why.
    pub(super) fn skip(&mut self, check: &'static str, why: impl Into<String>) {
        self.add(Verdict::Skipped, check, format!("not checked: {}", why.into()), None);
    }

    /// Whether anything failed.
    pub fn has_problems(&self) -> bool {
        self.0.iter().any(|finding| finding.verdict == Verdict::Fail)
    }

    /// For a script: the same list.
    pub fn to_json(&self) -> Value {
        let finding = |finding: &Finding| {
            let Finding { verdict, check, says, remedy } = finding;
            json!({ "verdict": verdict.as_str(), "check": check, "says": says, "remedy": remedy })
        };
        json!({
            "ok": !self.has_problems(),
            "findings": self.0.iter().map(finding).collect::<Value>(),
        })
    }
}

/// One line each: what the client says may have several.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Finding { verdict, check, says, remedy }) in self.0.iter().enumerate() {
            let remedy = remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
            let line = format!("{:<4}  {check}: {says}{remedy}", verdict.as_str());
            let line = line.lines().map(str::trim_end).collect::<Vec<_>>().join(" ");
            let end = if index + 1 < self.0.len() { "\n" } else { "" };
            write!(f, "{line}{end}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_one_line_with_its_remedy_and_only_failures_are_problems() {
        let mut report = Report::default();
        report.ok("broker", "3 brokers");
        report.warn("topics", "one\nreplica", "add some");
        report.skip("clock", "no record");
        assert!(!report.has_problems());
        report.fail("rights", "Read is missing", "grant it");
        assert!(report.has_problems());
        assert_eq!(
            report.to_string(),
            "ok    broker: 3 brokers\nwarn  topics: one replica; add some\nskip  clock: not checked: no record\nFAIL  rights: Read is missing; grant it"
        );
        assert_eq!(report.to_json()["findings"][3]["remedy"], "grant it");
    }
}
