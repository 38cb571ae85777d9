//! Reads TOML so that every problem is found at once, each with its file, line and column.
//!
//! A document becomes a tree of [`Node`]s that know their [`Place`]. [`Section`] walks one table of
//! it: what is asked for is checked, what nobody asked for is an unknown key.

mod duration;
mod section;
mod suggest;

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use duration::{format_duration, parse_duration};
pub use section::{Section, choose};
pub use suggest::nearest;

/// Something to correct, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, as it was named; or the environment variable.
    pub file: String,
    /// Line from 1; 0 where there are no lines.
    pub line: usize,
    /// Column from 1, in characters; 0 where there are no lines.
    pub column: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    /// A problem of a file as a whole.
    pub fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message } = self;
        match line {
            0 => write!(f, "{file}: {message}"),
            _ => write!(f, "{file}:{line}:{column}: {message}"),
        }
    }
}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named; or the environment variable.
    pub file: Arc<str>,
    /// Line from 1; 0 where there are no lines.
    pub line: usize,
    /// Column from 1, in characters; 0 where there are no lines.
    pub column: usize,
}

impl Place {
    /// A source that has no lines, such as an environment variable.
    pub fn whole(source: &str) -> Self {
        Self { file: source.into(), line: 0, column: 0 }
    }

    /// A problem at this place.
    pub fn problem(&self, message: impl Into<String>) -> Problem {
        let Self { file, line, column } = self;
        Problem { file: file.to_string(), line: *line, column: *column, message: message.into() }
    }
}

/// Problems gathered while several parts of a document are read.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Adds one problem.
    pub fn add(&self, problem: Problem) {
        self.0.borrow_mut().push(problem);
    }

    /// Adds one problem at a place.
    pub fn at(&self, place: &Place, message: impl Into<String>) {
        self.add(place.problem(message));
    }

    /// Whether none was found so far.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// All of them, by file, line and column, none twice.
    pub fn into_sorted(self) -> Vec<Problem> {
        let mut problems = self.0.into_inner();
        problems.sort();
        problems.dedup();
        problems
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where the value begins.
    pub place: Place,
    /// The value.
    pub value: Value,
    /// Who said so.
    pub origin: Origin,
}

/// Who gave a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It stands in the file.
    Written,
    /// The environment: other types are read out of its texts, and they may be secrets.
    Environment,
    /// Nobody did: it is what holds otherwise.
    Default,
}

/// A value of a document.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Value {
    Text(String),
    Integer(i64),
    Float(String),
    Boolean(bool),
    Time(String),
    List(Vec<Node>),
    Table(Table),
    /// Not known here, and no problem: it depends on an environment that is not looked at.
    Unknown,
}

impl Value {
    /// The kind of value, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Boolean(_) => "true or false",
            Self::Time(_) => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Unknown => "unknown",
        }
    }
}

/// Keys and values in the order of their places.
#[derive(Clone, Debug, Default)]
pub struct Table {
    entries: Vec<Entry>,
}

/// One key of a table.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// What it says.
    pub node: Node,
}

impl Table {
    /// All keys.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All keys, to change what they say.
    pub fn entries_mut(&mut self) -> &mut [Entry] {
        &mut self.entries
    }

    /// What a key says.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Adds an entry in place of one of the same key.
    pub fn set(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|present| present.key == entry.key) {
            Some(present) => *present = entry,
            None => self.entries.push(entry),
        }
    }

    /// Lays another table over this one: its values win, tables are laid over tables.
    pub fn overlay(&mut self, upper: Table) {
        for entry in upper.entries {
            let below = self.entries.iter_mut().find(|present| present.key == entry.key);
            match (below, entry.node.value) {
                (Some(Entry { place, node, .. }), Value::Table(upper))
                    if matches!(node.value, Value::Table(_)) =>
                {
                    // A section stands where the file has it; variables only add to it.
                    if entry.node.origin == Origin::Written {
                        *place = entry.place;
                        node.place = entry.node.place;
                        node.origin = Origin::Written;
                    }
                    if let Value::Table(lower) = &mut node.value {
                        lower.overlay(upper);
                    }
                }
                (_, value) => self.set(Entry { node: Node { value, ..entry.node }, ..entry }),
            }
        }
    }
}

impl Node {
    /// Makes this node and all below it a default that stands at one place.
    pub fn make_default(&mut self, at: &Place) {
        self.place = at.clone();
        self.origin = Origin::Default;
        match &mut self.value {
            Value::List(list) => list.iter_mut().for_each(|item| item.make_default(at)),
            Value::Table(table) => {
                for entry in &mut table.entries {
                    entry.place = at.clone();
                    entry.node.make_default(at);
                }
            }
            _ => {}
        }
    }
}

/// Parses a document. Problems of syntax are all there is to say about a text that is not TOML.
pub fn parse(file: &str, text: &str) -> Result<Node, Vec<Problem>> {
    let source = Source { file: file.into(), text };
    let (root, errors) = DeTable::parse_recoverable(text);
    let problems = Problems::default();
    let mut last_line = 0;
    for error in errors {
        let place = source.place(error.span().map_or(text.len(), |span| span.start));
        // What follows a first flaw of a line is rarely a flaw of its own.
        if place.line != last_line {
            last_line = place.line;
            problems.at(&place, format!("not TOML: {}", error.message()));
        }
    }
    let value = source.table(root.get_ref(), &problems);
    if problems.is_empty() {
        let place = source.place(0);
        Ok(Node { place, value, origin: Origin::Written })
    } else {
        Err(problems.into_sorted())
    }
}

struct Source<'t> {
    file: Arc<str>,
    text: &'t str,
}

impl Source<'_> {
    fn place(&self, offset: usize) -> Place {
        let boundary =
            (0..=offset.min(self.text.len())).rfind(|at| self.text.is_char_boundary(*at));
        let before = &self.text[..boundary.unwrap_or(0)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            file: self.file.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    fn table(&self, table: &DeTable<'_>, problems: &Problems) -> Value {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entries = entries
            .into_iter()
            .map(|(key, value)| Entry {
                key: key.get_ref().to_string(),
                place: self.place(key.span().start),
                node: self.node(value, problems),
            })
            .collect();
        Value::Table(Table { entries })
    }

    fn node(&self, spanned: &Spanned<DeValue<'_>>, problems: &Problems) -> Node {
        let place = self.place(spanned.span().start);
        let value = match spanned.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Value::Integer(number),
                    Err(_) => {
                        problems.at(&place, "the number is too large");
                        Value::Unknown
                    }
                }
            }
            DeValue::Float(number) => Value::Float(number.as_str().to_owned()),
            DeValue::Boolean(boolean) => Value::Boolean(*boolean),
            DeValue::Datetime(time) => Value::Time(time.to_string()),
            DeValue::Array(list) => {
                Value::List(list.iter().map(|item| self.node(item, problems)).collect())
            }
            DeValue::Table(table) => self.table(table, problems),
        };
        Node { place, value, origin: Origin::Written }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syntax_error_is_named_with_line_and_column() {
        let problems = parse("a.toml", "x = 1\ny = \nz = = 2\n").unwrap_err();
        let shown: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(shown[0].starts_with("a.toml:2:5: not TOML: "), "{shown:?}");
        assert!(shown[1].starts_with("a.toml:3:"), "{shown:?}");
        assert_eq!(shown.len(), 2, "{shown:?}");
    }

    #[test]
    fn a_key_that_stands_twice_is_named_where_it_stands_again() {
        let problems = parse("a.toml", "x = 1\nx = 2\n").unwrap_err();
        assert_eq!((problems[0].line, problems[0].column), (2, 1));
    }

    #[test]
    fn columns_count_characters() {
        let node = parse("a.toml", "a = [\"ä\", 7]\n").unwrap();
        let Value::Table(table) = &node.value else { panic!("a document is a table") };
        let Value::List(list) = &table.get("a").unwrap().node.value else { panic!("a list") };
        assert_eq!((list[1].place.line, list[1].place.column), (1, 11));
    }

    #[test]
    fn numbers_beyond_64_bits_are_a_problem() {
        let problems = parse("a.toml", "a = 99999999999999999999\n").unwrap_err();
        assert_eq!(problems[0].to_string(), "a.toml:1:5: the number is too large");
    }

    #[test]
    fn an_upper_table_is_laid_over_a_lower_one_key_by_key() {
        let table = |text| match parse("t", text).unwrap().value {
            Value::Table(table) => table,
            other => panic!("{other:?}"),
        };
        let mut lower = table("[a]\nx = 1\ny = 2\n[b]\nz = 3\n");
        lower.overlay(table("\n[a]\ny = 4\n"));
        let Value::Table(a) = &lower.get("a").unwrap().node.value else { panic!("a table") };
        assert!(matches!(a.get("x").unwrap().node.value, Value::Integer(1)));
        assert!(matches!(a.get("y").unwrap().node.value, Value::Integer(4)));
        assert_eq!(lower.get("a").unwrap().node.place.line, 2);
    }
}
