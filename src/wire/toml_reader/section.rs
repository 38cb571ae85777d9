//! Walks one table: what is asked for is checked, what nobody asked for is an unknown key.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{
    Entry, Node, Origin, Place, Problems, Table, Value, format_duration, nearest, parse_duration,
};

/// One table of a document. Getters give `None` for a key that is absent or, with a problem noted,
/// wrong; [`Section::finish`] reports the keys that no getter asked for.
pub struct Section<'d> {
    owner: String,
    path: String,
    place: Place,
    table: Option<&'d Table>,
    asked: RefCell<Vec<&'static str>>,
    problems: &'d Problems,
}

impl<'d> Section<'d> {
    /// The document's root.
    pub fn root(document: &'d Node, problems: &'d Problems) -> Self {
        Self::of(String::new(), String::new(), document, problems)
    }

    /// The table that a node holds; if it holds something else, an empty one and a problem.
    fn of(owner: String, path: String, node: &'d Node, problems: &'d Problems) -> Self {
        let table = match &node.value {
            Value::Table(table) => Some(table),
            Value::Unknown => None,
            other => {
                let message = format!("{owner}`{path}` must be a table, not {}", other.kind());
                problems.at(&node.place, message);
                None
            }
        };
        Self { owner, path, place: node.place.clone(), table, asked: RefCell::default(), problems }
    }

    /// Where the section begins.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Where a key's value stands; where it is missing, the section's beginning.
    pub fn place_of(&self, key: &str) -> Place {
        let entry = self.table.and_then(|table| table.get(key));
        entry.map_or_else(|| self.place.clone(), |entry| entry.node.place.clone())
    }

    /// The full name of a key.
    pub fn path_to(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The name of a key for messages: quoted, after the section's owner.
    pub fn name(&self, key: &str) -> String {
        format!("{}`{}`", self.owner, self.path_to(key))
    }

    /// Names the thing that this section describes; messages begin with it, and names of keys count
    /// from here.
    pub fn set_owner(&mut self, owner: String) {
        self.owner = format!("{owner}: ");
        self.path.clear();
    }

    /// Whether the key stands there, right or wrong. The key becomes a known one.
    pub fn has(&self, key: &'static str) -> bool {
        self.entry(key).is_some()
    }

    /// Every key of the section that is there; all become known ones.
    pub fn entries(&self) -> &'d [Entry] {
        self.table.map_or(&[], |table| table.entries())
    }

    /// Notes a problem with a key.
    pub fn problem(&self, key: &str, message: impl Into<String>) {
        self.problems.at(&self.place_of(key), message);
    }

    /// Notes a problem if any of these keys is missing.
    pub fn require(&self, keys: &[&'static str]) {
        for key in keys {
            if self.table.is_some() && self.entry(key).is_none() {
                self.problem(key, format!("{} is missing", self.name(key)));
            }
        }
    }

    /// Notes that what a key asks for is not built yet. Empty text, false and 0 ask for nothing.
    pub fn not_built(&self, key: &'static str, what: &str) {
        let Some(entry) = self.entry(key) else {
            return;
        };
        let off = match (&entry.node.value, lenient(&entry.node)) {
            (_, Some(text)) => matches!(text, "" | "false" | "0"),
            (Value::Text(text), _) => text.is_empty(),
            (Value::Boolean(value), _) => !value,
            (Value::Integer(number), _) => *number == 0,
            (Value::Unknown, _) => true,
            _ => false,
        };
        if !off {
            let message = format!("{}: {what} not built yet; remove it", self.name(key));
            self.problems.at(&entry.place, message);
        }
    }

    fn entry(&self, key: &'static str) -> Option<&'d Entry> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        self.table?.get(key)
    }

    /// What a key says, whatever it is.
    pub fn node(&self, key: &'static str) -> Option<&'d Node> {
        self.entry(key)
            .map(|entry| &entry.node)
            .filter(|node| !matches!(node.value, Value::Unknown))
    }

    fn read<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&'d Node) -> Result<T, String>,
    ) -> Option<T> {
        let node = self.node(key)?;
        match read(node) {
            Ok(value) => Some(value),
            Err(message) => {
                self.problems.at(&node.place, format!("{} {message}", self.name(key)));
                None
            }
        }
    }

    /// A text, possibly empty.
    pub fn text(&self, key: &'static str) -> Option<&'d str> {
        self.read(key, text)
    }

    /// A text that says something; an empty one counts as absent.
    pub fn some_text(&self, key: &'static str) -> Option<&'d str> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// A text that is there and readable; anything else is left for others to report.
    pub fn text_quietly(&self, key: &str) -> Option<&'d str> {
        text(&self.table?.get(key)?.node).ok()
    }

    /// true or false.
    pub fn boolean(&self, key: &'static str) -> Option<bool> {
        self.read(key, |node| match (&node.value, lenient(node)) {
            (Value::Boolean(value), _) => Ok(*value),
            (_, Some("true")) => Ok(true),
            (_, Some("false")) => Ok(false),
            (other, _) => Err(format!("must be true or false, not {}", other.kind())),
        })
    }

    /// A whole number within a range.
    pub fn integer(&self, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
        self.read(key, |node| {
            let number = match (&node.value, lenient(node)) {
                (Value::Integer(number), _) => *number,
                (_, Some(text)) => {
                    text.parse().map_err(|_| format!("must be a whole number, not \"{text}\""))?
                }
                (other, _) => return Err(format!("must be a whole number, not {}", other.kind())),
            };
            if range.contains(&number) {
                Ok(number)
            } else {
                let (least, most) = (range.start(), range.end());
                Err(format!("is {number}, but must lie between {least} and {most}"))
            }
        })
    }

    /// A duration within a range.
    pub fn duration(&self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        self.read(key, |node| {
            let value = duration(node)?;
            if range.contains(&value) {
                return Ok(value);
            }
            let [value, least, most] = [value, *range.start(), *range.end()].map(format_duration);
            Err(format!("is {value}, but must lie between {least} and {most}"))
        })
    }

    /// A duration of whole seconds, of any length.
    pub fn seconds(&self, key: &'static str) -> Option<i64> {
        self.read(key, |node| {
            let value = duration(node)?;
            if value.subsec_nanos() != 0 {
                return Err(format!("is {}, but must be whole seconds", format_duration(value)));
            }
            i64::try_from(value.as_secs()).map_err(|_| "is too long a time".to_owned())
        })
    }

    /// One of a list of names.
    pub fn choice<T: Copy>(&self, key: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        self.read(key, |node| choose(text(node)?, choices))
    }

    /// A list of texts, each with its node for problems of its own; unreadable ones are left out.
    /// The environment separates them by commas.
    pub fn texts(&self, key: &'static str) -> Option<Vec<(&'d Node, &'d str)>> {
        let node = self.node(key)?;
        if let Some(text) = lenient(node) {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            return Some(items.map(|item| (node, item)).collect());
        }
        let Value::List(list) = &node.value else {
            let kind = node.value.kind();
            let message = format!("{} must be a list of texts, not {kind}", self.name(key));
            self.problems.at(&node.place, message);
            return None;
        };
        let read = |item: &'d Node| match text(item) {
            Ok(text) => Some((item, text)),
            Err(_) if matches!(item.value, Value::Unknown) => None,
            Err(message) => {
                self.problems.at(&item.place, format!("{}: an entry {message}", self.name(key)));
                None
            }
        };
        Some(list.iter().filter_map(read).collect())
    }

    /// A table within this one.
    pub fn section(&self, key: &'static str) -> Option<Section<'d>> {
        let node = self.node(key)?;
        Some(Self::of(self.owner.clone(), self.path_to(key), node, self.problems))
    }

    /// A table within this one; one without keys where there is none.
    pub fn section_or_empty(&self, key: &'static str) -> Section<'d> {
        self.section(key).unwrap_or_else(|| Section {
            owner: self.owner.clone(),
            path: self.path_to(key),
            place: self.place_of(key),
            table: None,
            asked: RefCell::default(),
            problems: self.problems,
        })
    }

    /// Every table within this one, whatever it is called; all become known ones.
    pub fn named_sections(&self) -> impl Iterator<Item = (&'d Entry, Section<'d>)> {
        self.entries().iter().map(|entry| {
            let path = self.path_to(&entry.key);
            (entry, Self::of(self.owner.clone(), path, &entry.node, self.problems))
        })
    }

    /// A list of tables.
    pub fn sections(&self, key: &'static str) -> Vec<Section<'d>> {
        let Some(node) = self.node(key) else {
            return Vec::new();
        };
        let Value::List(list) = &node.value else {
            let kind = node.value.kind();
            let message = format!("{} must be a list of tables, not {kind}", self.name(key));
            self.problems.at(&node.place, message);
            return Vec::new();
        };
        let each = |(index, item)| {
            let path = format!("{}[{index}]", self.path_to(key));
            Self::of(self.owner.clone(), path, item, self.problems)
        };
        list.iter().enumerate().map(each).collect()
    }

    /// Reports every key that was not asked for.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        for entry in self.entries() {
            if asked.contains(&entry.key.as_str()) {
                continue;
            }
            let name = self.name(&entry.key);
            let hint = match nearest(&entry.key, asked.iter().copied()) {
                Some(near) => format!("; did you mean `{near}`?"),
                None if asked.is_empty() => String::new(),
                None => {
                    let mut known = asked.clone();
                    known.sort_unstable();
                    format!("; known here: {}", known.join(", "))
                }
            };
            self.problems.at(&entry.place, format!("unknown key {name}{hint}"));
        }
    }
}

fn text(node: &Node) -> Result<&str, String> {
    match &node.value {
        Value::Text(text) => Ok(text),
        other => Err(format!("must be text, not {}", other.kind())),
    }
}

/// The text of the environment, out of which any type is read.
fn lenient(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) if node.origin == Origin::Environment => Some(text.trim()),
        _ => None,
    }
}

fn duration(node: &Node) -> Result<Duration, String> {
    match &node.value {
        Value::Text(text) => parse_duration(text).map_err(|message| format!("= {message}")),
        other => {
            Err(format!("must be a duration with a unit, such as \"48h\", not {}", other.kind()))
        }
    }
}

/// The choice of this name, or what the choices are.
pub fn choose<T: Copy>(text: &str, choices: &[(&'static str, T)]) -> Result<T, String> {
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names = choices.iter().map(|(name, _)| *name);
    Err(match nearest(text, names.clone()) {
        Some(near) => format!("has the unknown value \"{text}\"; did you mean \"{near}\"?"),
        None => {
            let names = names.collect::<Vec<_>>().join(", ");
            format!("has the unknown value \"{text}\"; it must be one of: {names}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn problems(text: &str, read: impl FnOnce(&Section<'_>)) -> Vec<String> {
        let document = parse("f", text).unwrap();
        let problems = Problems::default();
        let root = Section::root(&document, &problems);
        read(&root);
        root.finish();
        problems.into_sorted().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn unknown_keys_are_named_with_what_may_have_been_meant() {
        let found = problems("gruop = \"a\"\nwhatever = 1\n", |root| {
            root.text("group");
        });
        assert_eq!(
            found,
            [
                "f:1:1: unknown key `gruop`; did you mean `group`?",
                "f:2:1: unknown key `whatever`; known here: group",
            ]
        );
    }

    #[test]
    fn wrong_types_and_ranges_stand_where_the_value_stands() {
        let found =
            problems("a = 1\nb = \"x\"\nc = 9\nd = 5\ne = \"9s\"\nf = \"1500ms\"", |root| {
                root.text("a");
                root.boolean("b");
                root.integer("c", 0..=8);
                root.seconds("d");
                root.duration("e", Duration::from_secs(1)..=Duration::from_secs(3));
                root.seconds("f");
            });
        assert_eq!(
            found,
            [
                "f:1:5: `a` must be text, not a whole number",
                "f:2:5: `b` must be true or false, not text",
                "f:3:5: `c` is 9, but must lie between 0 and 8",
                "f:4:5: `d` must be a duration with a unit, such as \"48h\", not a whole number",
                "f:5:5: `e` is 9s, but must lie between 1s and 3s",
                "f:6:5: `f` is 1s500ms, but must be whole seconds",
            ]
        );
    }

    #[test]
    fn a_missing_key_is_named_where_its_section_begins() {
        let found = problems("\n[a]\n", |root| {
            let section = root.section("a").unwrap();
            section.require(&["b"]);
            section.finish();
        });
        assert_eq!(found, ["f:2:1: `a.b` is missing"]);
    }

    #[test]
    fn choices_and_lists_name_what_is_wrong_with_them() {
        let found = problems("a = \"jsno\"\nb = [\"x\", 1]\nc = \"y\"\nd = 1\n", |root| {
            root.choice("a", &[("avro", 1), ("json", 2)]);
            assert_eq!(root.texts("b").unwrap().len(), 1);
            root.texts("c");
            root.sections("d");
        });
        assert_eq!(
            found,
            [
                "f:1:5: `a` has the unknown value \"jsno\"; did you mean \"json\"?",
                "f:2:11: `b`: an entry must be text, not a whole number",
                "f:3:5: `c` must be a list of texts, not text",
                "f:4:5: `d` must be a list of tables, not a whole number",
            ]
        );
    }
}
