//! What the environment contributes: variables named in texts, and overrides of single settings.

use std::collections::BTreeMap;

use crate::wire::toml_reader::{Entry, Node, Origin, Place, Problems, Table, Value};

/// Overrides begin with this; the rest names section and key: `STALLWATCH__KAFKA__GROUP_ID`.
const PREFIX: &str = "STALLWATCH__";

/// Says what is wrong with a property of the Kafka client.
pub type PropertyCheck = fn(name: &str, value: &str) -> Result<(), String>;

/// What a configuration may draw on: variables, and the Kafka client of this program.
#[derive(Clone, Debug)]
pub struct Environment {
    variables: Option<BTreeMap<String, String>>,
    client: Option<PropertyCheck>,
}

impl Environment {
    /// The environment of this process. Variables that are not Unicode are left out.
    pub fn of_process() -> Self {
        let unicode = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let variables = std::env::vars_os().filter_map(unicode).collect();
        Self { variables: Some(variables), client: None }
    }

    /// Given variables and no others.
    pub fn of<K: Into<String>, V: Into<String>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let owned = |(name, value): (K, V)| (name.into(), value.into());
        Self { variables: Some(variables.into_iter().map(owned).collect()), client: None }
    }

    /// An environment that is not looked at: what depends on it stays unknown and is not checked,
    /// secrets in files are not read. What is read this way is good for checking only.
    pub fn ignored() -> Self {
        Self { variables: None, client: None }
    }

    /// With a client that knows its properties; without one they are taken as they are.
    pub fn with_client(self, check: PropertyCheck) -> Self {
        Self { client: Some(check), ..self }
    }

    pub(super) fn check_property(&self, name: &str, value: &str) -> Result<(), String> {
        self.client.map_or(Ok(()), |check| check(name, value))
    }

    /// Whether nothing is known of the environment.
    pub fn is_ignored(&self) -> bool {
        self.variables.is_none()
    }

    /// A variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.variables.as_ref()?.get(name)?;
        (!value.is_empty()).then_some(value)
    }

    /// The settings that variables override, as a table to lay over the file's.
    pub(super) fn overrides(&self) -> Table {
        let mut table = Table::default();
        for (name, value) in self.variables.iter().flatten() {
            if let Some(path) = name.strip_prefix(PREFIX) {
                let node = Node {
                    place: Place::whole(&format!("environment variable {name}")),
                    value: Value::Text(value.clone()),
                    origin: Origin::Environment,
                };
                table.overlay(nest(&segments(path), node));
            }
        }
        table
    }

    /// Puts the values of variables into every text of a document.
    pub(super) fn resolve(&self, node: &mut Node, problems: &Problems) {
        match &mut node.value {
            Value::Text(text) if node.origin == Origin::Written && text.contains("${") => {
                match self.expand(text) {
                    Ok(Expanded { text: expanded, from_environment }) => {
                        *text = expanded;
                        if from_environment {
                            node.origin = Origin::Environment;
                        }
                    }
                    Err(Unresolved::Ignored) => node.value = Value::Unknown,
                    Err(Unresolved::Problem(message)) => {
                        problems.at(&node.place, message);
                        node.value = Value::Unknown;
                    }
                }
            }
            Value::List(list) => list.iter_mut().for_each(|item| self.resolve(item, problems)),
            Value::Table(table) => {
                for entry in table.entries_mut() {
                    self.resolve(&mut entry.node, problems);
                }
            }
            _ => {}
        }
    }

    fn expand(&self, text: &str) -> Result<Expanded, Unresolved> {
        let mut expanded = String::new();
        let mut from_environment = true;
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            expanded.push_str(&rest[..start]);
            let inner = &rest[start + 2..];
            let end = inner.find('}').ok_or_else(|| {
                Unresolved::Problem("`${` without `}`; a variable is written ${NAME}".to_owned())
            })?;
            rest = &inner[end + 1..];
            let (name, default) = match inner[..end].split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (&inner[..end], None),
            };
            if !is_name(name) {
                return Err(Unresolved::Problem(format!(
                    "`${{{name}}}` is no variable; write ${{NAME}} or ${{NAME:-default}}"
                )));
            }
            match (self.get(name), default) {
                (Some(value), _) => expanded.push_str(value),
                (None, Some(default)) => {
                    from_environment &= default.is_empty();
                    expanded.push_str(default);
                }
                (None, None) if self.is_ignored() => return Err(Unresolved::Ignored),
                (None, None) => {
                    return Err(Unresolved::Problem(format!(
                        "the environment variable {name} is not set; set it, or give a default: ${{{name}:-…}}"
                    )));
                }
            }
        }
        expanded.push_str(rest);
        Ok(Expanded { text: expanded, from_environment })
    }
}

struct Expanded {
    text: String,
    /// Whether no default of the file took part.
    from_environment: bool,
}

enum Unresolved {
    /// Depends on an environment that is not looked at.
    Ignored,
    Problem(String),
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Section and key that an override names. The names of client properties have dots where a
/// variable's can only have underscores.
fn segments(path: &str) -> Vec<String> {
    let path = path.to_ascii_lowercase();
    match path.strip_prefix("kafka__properties__") {
        Some(property) => {
            vec!["kafka".into(), "properties".into(), property.replace("__", "_").replace('_', ".")]
        }
        None => path.split("__").map(str::to_owned).collect(),
    }
}

fn nest(segments: &[String], leaf: Node) -> Table {
    let (first, rest) = segments.split_first().expect("split gives at least one segment");
    let place = leaf.place.clone();
    let node = if rest.is_empty() {
        leaf
    } else {
        let origin = leaf.origin;
        Node { place: place.clone(), value: Value::Table(nest(rest, leaf)), origin }
    };
    let mut table = Table::default();
    table.set(Entry { key: first.clone(), place, node });
    table
}
