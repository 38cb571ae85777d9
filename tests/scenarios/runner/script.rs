//! A scenario as written: a sentence, then steps, and under each `----` what is promised.

use std::ops::Range;

use serde_json::{Map, Value};
use stallwatch::detector::key::PackageKey;

use super::compare;
use super::text::{Field, parse_time, words};

const RULE: &str = "----";
const STEPS: [&str; 11] = [
    "policies", "scan", "json", "rejected", "frontier", "until", "finish", "show", "package",
    "count", "clocks",
];
const SCAN_FIELDS: [&str; 9] = [
    "event",
    "evidence",
    "service",
    "direction",
    "destination_country",
    "shipper",
    "value_tier",
    "facility",
    "country",
];

/// One file.
#[derive(Debug)]
pub struct Script {
    lines: Vec<String>,
    pub blocks: Vec<Block>,
}

/// Steps and what they are to bring.
#[derive(Debug)]
pub struct Block {
    pub steps: Vec<Step>,
    /// The lines of the file under `----`.
    expected: Range<usize>,
}

#[derive(Debug)]
pub struct Step {
    /// From 1.
    pub line: usize,
    pub action: Action,
}

#[derive(Debug)]
pub enum Action {
    /// A shard that knows nothing yet, under the policies of a file.
    PoliciesFrom(String),
    /// The same under policies that stand in the scenario.
    Policies(String),
    /// One record of the log.
    Record(LogRecord),
    /// The frontier moves, by evidence; milliseconds.
    Frontier(i64),
    /// Records logged after this second are skipped; milliseconds.
    Until(i64),
    /// The end of a replay, with its `--until`; milliseconds.
    Finish(Option<i64>),
    /// What the lines of exceptions tell beside the usual.
    Show(Vec<Field>),
    /// What is known of a package.
    Package(PackageKey),
    /// How many packages are known, and how many exceptions are open.
    Count,
    /// Log clock and frontier.
    Clocks,
}

#[derive(Debug)]
pub struct LogRecord {
    /// JSON as it would stand in the topic; `None` where it was rejected before it could be read.
    pub payload: Option<String>,
    /// Milliseconds.
    pub log_time: Option<i64>,
}

impl Script {
    /// Reads a file; every problem found, each with its line.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut parser = Parser { lines: &lines, at: 0, problems: Vec::new() };
        parser.sentence();
        let mut blocks = Vec::new();
        while let Some(block) = parser.block() {
            blocks.push(block);
        }
        let mut problems = parser.problems;
        if blocks.is_empty() {
            problems.push("has no step".to_owned());
        } else if blocks.iter().all(|block| block.expected.is_empty()) {
            problems.push("promises nothing: no line stands under any ----".to_owned());
        }
        if problems.is_empty() { Ok(Self { lines, blocks }) } else { Err(problems) }
    }

    /// The file with what really came under each `----`.
    pub fn with_results(&self, results: &[Vec<String>]) -> String {
        let mut text = String::new();
        let mut at = 0;
        for (block, result) in self.blocks.iter().zip(results) {
            let kept = &self.lines[at..block.expected.start];
            for line in kept.iter().chain(result) {
                text.push_str(line);
                text.push('\n');
            }
            at = block.expected.end;
        }
        for line in &self.lines[at..] {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Where what came is not what was promised.
    pub fn differences(&self, results: &[Vec<String>]) -> Vec<String> {
        let mut differences = Vec::new();
        for (block, result) in self.blocks.iter().zip(results) {
            let expected = &self.lines[block.expected.clone()];
            if expected != result {
                let line = block.steps[0].line;
                let compared = compare(expected, result);
                differences.push(format!("line {line}: (- promised, + came)\n{compared}"));
            }
        }
        differences
    }
}

struct Parser<'a> {
    lines: &'a [String],
    at: usize,
    problems: Vec<String>,
}

impl Parser<'_> {
    fn sentence(&mut self) {
        let comments = self.lines.iter().take_while(|line| line.starts_with('#'));
        let words: Vec<&str> = comments.flat_map(|line| line[1..].split_whitespace()).collect();
        if !words.last().is_some_and(|word| word.ends_with('.')) {
            self.problem(1, "must begin with a sentence behind `#` that says what it promises");
        }
    }

    fn problem(&mut self, line: usize, what: impl AsRef<str>) {
        self.problems.push(format!("line {line}: {}", what.as_ref()));
    }

    fn block(&mut self) -> Option<Block> {
        let mut steps = Vec::new();
        loop {
            let Some(line) = self.lines.get(self.at) else {
                if let Some(Step { line, .. }) = steps.first() {
                    self.problem(*line, "no ---- follows");
                }
                return None;
            };
            self.at += 1;
            let at = self.at;
            match line.as_str() {
                "" => {}
                comment if comment.starts_with('#') => {}
                RULE => break,
                "policies" => steps.push(Step { line: at, action: self.inline_policies() }),
                line => match step(line) {
                    Ok(action) => steps.push(Step { line: at, action }),
                    Err(problem) => self.problem(at, problem),
                },
            }
        }
        if steps.is_empty() {
            self.problem(self.at, "no step stands above ----");
            steps.push(Step { line: self.at, action: Action::Clocks });
        }
        Some(Block { steps, expected: self.expected() })
    }

    /// Everything up to `----`, which is left for the block to end with.
    fn inline_policies(&mut self) -> Action {
        let rest = self.lines[self.at..].iter().take_while(|line| *line != RULE);
        let toml: Vec<&str> = rest.map(String::as_str).collect();
        self.at += toml.len();
        Action::Policies(toml.join("\n"))
    }

    /// Up to an empty line, a comment or the next step.
    fn expected(&mut self) -> Range<usize> {
        let start = self.at;
        while let Some(line) = self.lines.get(self.at) {
            let first = line.split(' ').next().unwrap_or_default();
            if line.is_empty() || line.starts_with('#') || line == RULE || STEPS.contains(&first) {
                break;
            }
            self.at += 1;
        }
        start..self.at
    }
}

fn step(line: &str) -> Result<Action, String> {
    if let Some(rest) = line.strip_prefix("json ") {
        return json(rest);
    }
    let words = words(line)?;
    let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    match (words[0].as_str(), arguments.as_slice()) {
        ("policies", [name]) => Ok(Action::PoliciesFrom((*name).to_owned())),
        ("scan", [log_time, carrier, number, milestone, fields @ ..]) => {
            scan(log_time, [carrier, number, milestone], fields).map(Action::Record)
        }
        ("rejected", []) => Ok(Action::Record(LogRecord { payload: None, log_time: None })),
        ("rejected", [log_time]) => {
            let log_time = Some(parse_time(log_time)?);
            Ok(Action::Record(LogRecord { payload: None, log_time }))
        }
        ("frontier", [to]) => Ok(Action::Frontier(parse_time(to)?)),
        ("until", [to]) => Ok(Action::Until(parse_time(to)?)),
        ("finish", []) => Ok(Action::Finish(None)),
        ("finish", [until]) => Ok(Action::Finish(Some(parse_time(until)?))),
        ("show", [_, ..]) => {
            let fields: Result<_, _> = arguments.iter().map(|word| Field::parse(word)).collect();
            Ok(Action::Show(fields?))
        }
        ("package", [carrier, number]) => {
            let key = PackageKey::new(carrier, number).map_err(|error| error.to_string())?;
            Ok(Action::Package(key))
        }
        ("count", []) => Ok(Action::Count),
        ("clocks", []) => Ok(Action::Clocks),
        (word, _) if STEPS.contains(&word) => {
            Err(format!("`{word}` does not take these words; see README.md"))
        }
        (word, _) => Err(format!("`{word}` is no step; the steps are {}", STEPS.join(", "))),
    }
}

fn log_time(word: &str) -> Result<Option<i64>, String> {
    if word == "none" { Ok(None) } else { parse_time(word).map(Some) }
}

fn json(rest: &str) -> Result<Action, String> {
    let (time, payload) = rest.split_once(' ').ok_or("`json` takes a log time and a record")?;
    let payload = Some(payload.to_owned());
    Ok(Action::Record(LogRecord { payload, log_time: log_time(time)? }))
}

/// A scan as JSON, so that it comes in by the same door as in a topic.
fn scan(
    time: &str,
    [carrier, number, milestone]: [&str; 3],
    fields: &[&str],
) -> Result<LogRecord, String> {
    let mut record = Map::new();
    record.insert("tracking_number".to_owned(), number.into());
    record.insert("carrier".to_owned(), carrier.into());
    record.insert("milestone".to_owned(), milestone.into());
    for field in fields {
        let (name, value) =
            field.split_once('=').ok_or_else(|| format!("`{field}` is not like name=value"))?;
        if !SCAN_FIELDS.contains(&name) {
            return Err(format!("`{name}` is none of {}", SCAN_FIELDS.join(", ")));
        }
        match (name, value) {
            ("event", "none") => continue,
            ("event", time) => record.insert("event_time".to_owned(), time.into()),
            (name, value) => record.insert(name.to_owned(), value.into()),
        };
    }
    let payload = Some(Value::Object(record).to_string());
    Ok(LogRecord { payload, log_time: log_time(time)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "\
# A promise.

policies
version = 1

[[policy]]
id = \"rest\"
----
ok
scan 2026-03-02T08:00:00Z \" UPS\" \"1 2\" arrived shipper=\"Acme & Sons\" event=none
# A comment.
count
----
applied
old

clocks
----
";

    fn problems(text: &str) -> String {
        Script::parse(text).expect_err("the file has problems").join("\n")
    }

    #[test]
    fn a_file_is_read_as_it_is_meant() {
        let script = Script::parse(WHOLE).unwrap();
        let steps: Vec<usize> = script.blocks.iter().map(|block| block.steps.len()).collect();
        assert_eq!(steps, [1, 2, 1]);
        let Action::Policies(toml) = &script.blocks[0].steps[0].action else {
            panic!("policies come first");
        };
        assert_eq!(toml, "version = 1\n\n[[policy]]\nid = \"rest\"");
        let Action::Record(record) = &script.blocks[1].steps[0].action else {
            panic!("then a scan");
        };
        assert_eq!(record.log_time, Some(1_772_438_400_000));
        let payload: Value = serde_json::from_str(record.payload.as_ref().unwrap()).unwrap();
        let expected = serde_json::json!({
            "carrier": " UPS", "tracking_number": "1 2", "milestone": "arrived",
            "shipper": "Acme & Sons",
        });
        assert_eq!(payload, expected);
    }

    #[test]
    fn rewriting_replaces_what_stands_under_the_rule_and_nothing_else() {
        let script = Script::parse(WHOLE).unwrap();
        let results = [vec!["ok"], vec!["new"], vec!["clocks came"]];
        let results = results.map(|lines| lines.into_iter().map(str::to_owned).collect());
        let expected = WHOLE.replace("applied\nold\n", "new\n") + "clocks came\n";
        assert_eq!(script.with_results(&results), expected);
    }

    #[test]
    fn a_difference_names_its_line_and_both_sides() {
        let script = Script::parse(WHOLE).unwrap();
        let results = [vec!["ok"], vec!["applied", "new"], vec![]];
        let results = results.map(|lines| lines.into_iter().map(str::to_owned).collect());
        let differences = script.differences(&results);
        assert_eq!(differences, ["line 10: (- promised, + came)\n    applied\n  - old\n  + new"]);
    }

    #[test]
    fn a_file_without_a_sentence_a_step_or_a_promise_is_an_error() {
        assert!(problems("count\n----\nx\n").contains("must begin with a sentence"));
        assert!(
            problems("# No full stop\ncount\n----\nx\n").contains("must begin with a sentence")
        );
        assert!(problems("# A promise.\n").contains("has no step"));
        assert!(problems("# A promise.\ncount\n----\n").contains("promises nothing"));
        assert!(problems("# A promise.\n----\nx\n").contains("line 2: no step stands above"));
        assert!(problems("# A promise.\ncount\n----\nx\n\nclocks\n").contains("line 6: no ----"));
    }

    #[test]
    fn every_misspelt_step_is_named_with_its_line() {
        let found = problems(
            "# A promise.\nscam x\nscan yesterday ups 1 arrived\nscan none ups 1 arrived colour=red\nshow colour\nclocks now\n----\nx\n",
        );
        assert!(found.contains("line 2: `scam` is no step"), "{found}");
        assert!(found.contains("line 3: `yesterday` is no time"), "{found}");
        assert!(found.contains("line 4: `colour` is none of"), "{found}");
        assert!(found.contains("line 5: `colour` is nothing that can be shown"), "{found}");
        assert!(found.contains("line 6: `clocks` does not take these words"), "{found}");
    }
}
