//! What was found, a line each.

use std::fmt;

use serde_json::{Value, json};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    Warn,
    /// It goes wrong in time; the service starts, and warns of it.
    FailInTime,
    /// The service does not start so.
    Fail,
    /// It could not be made, or not without harm.
    Skipped,
    /// It could not be made, and the service should know.
    Unknown,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::FailInTime | Self::Fail => "FAIL",
            Self::Skipped | Self::Unknown => "skip",
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

impl Finding {
    /// What it says, and the remedy.
    fn text(&self) -> String {
        let remedy = self.remedy.as_ref().map(|remedy| format!("; {remedy}"));
        format!("{}{}", self.says, remedy.unwrap_or_default())
    }
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

    /// The service runs so until it loses something.
    pub(super) fn fail_in_time(
        &mut self,
        check: &'static str,
        says: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Verdict::FailInTime, check, says.into(), Some(remedy.into()));
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

    /// Not checked, and why, of something that the service depends on.
    pub(super) fn unknown(&mut self, check: &'static str, why: impl Into<String>) {
        self.add(Verdict::Unknown, check, format!("not checked: {}", why.into()), None);
    }

    /// Whether anything failed.
    pub fn has_problems(&self) -> bool {
        self.0.iter().any(|finding| finding.verdict.as_str() == Verdict::Fail.as_str())
    }

    /// What the service does not start on, each with its remedy.
    pub(in crate::service) fn refused(&self) -> impl Iterator<Item = String> {
        self.with(&[Verdict::Fail])
    }

    /// What the service warns of, each with its remedy.
    pub(in crate::service) fn worth_a_change(&self) -> impl Iterator<Item = String> {
        self.with(&[Verdict::Warn, Verdict::FailInTime, Verdict::Unknown])
    }

    fn with(&self, verdicts: &[Verdict]) -> impl Iterator<Item = String> {
        let wanted = self.0.iter().filter(|finding| verdicts.contains(&finding.verdict));
        wanted.map(Finding::text)
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
        for (index, finding) in self.0.iter().enumerate() {
            let Finding { verdict, check, .. } = finding;
            let line = format!("{:<4}  {check}: {}", verdict.as_str(), finding.text());
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

    #[test]
    fn a_start_refuses_what_cannot_work_and_warns_of_what_will_go_wrong_or_is_not_known() {
        let mut report = Report::default();
        report.ok("topics", "fine");
        report.skip("topics", "no matter");
        report.fail("topics", "compacted", "do not");
        report.fail_in_time("topics", "kept briefly", "keep it");
        report.warn("topics", "one replica", "add some");
        report.unknown("topics", "no right");
        let refused: Vec<_> = report.refused().collect();
        assert_eq!(refused, ["compacted; do not"]);
        let told: Vec<_> = report.worth_a_change().collect();
        assert_eq!(
            told,
            ["kept briefly; keep it", "one replica; add some", "not checked: no right"]
        );
        let shown = report.to_string();
        assert_eq!(shown.matches("FAIL").count(), 2, "{shown}");
    }
}
