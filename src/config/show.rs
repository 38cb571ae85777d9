//! The configuration as it is in effect: every setting, with who said so, and without secrets.

use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::environment::Environment;
use super::{Config, folder_of, read, read_text};
use crate::wire::toml_reader::{Node, Origin, Problem, Problems, Table, Value};

/// What stands in the place of a secret.
const HIDDEN: &str = "***";
/// In the names of settings and client properties that may hold one.
const SECRETS: [&str; 8] =
    ["password", "secret", "token", "credential", "jaas", "pem", "auth", "oauthbearer.config"];

/// The settings in effect.
#[derive(Debug)]
pub struct Shown {
    sections: Vec<(String, Vec<Setting>)>,
}

#[derive(Debug)]
struct Setting {
    key: String,
    value: Json,
    from: String,
}

/// Reads a configuration and shows what is in effect.
///
/// # Errors
/// Every problem of it at once.
pub fn show(path: &Path, environment: &Environment) -> Result<Shown, Vec<Problem>> {
    let name = path.display().to_string();
    let text = read_text(path).map_err(|problem| vec![problem])?;
    let config = Config::parse(&name, &text, folder_of(path), environment)?;
    let document = read::layers(&name, &text, environment, &Problems::default())?;
    let mut shown = Shown { sections: Vec::new() };
    if let Value::Table(root) = &document.value {
        shown.walk("", root);
    }
    shown.fill_in(&config);
    Ok(shown)
}

impl Shown {
    fn walk(&mut self, section: &str, table: &Table) {
        let index = self.sections.len();
        self.sections.push((section.to_owned(), Vec::new()));
        for entry in table.entries() {
            match &entry.node.value {
                Value::Table(inner) if section == "kafka.properties" => {
                    flatten(&mut self.sections[index].1, &entry.key, inner);
                }
                Value::Table(inner) if section.is_empty() => self.walk(&entry.key, inner),
                Value::Table(inner) => self.walk(&format!("{section}.{}", entry.key), inner),
                _ => self.sections[index].1.push(setting(section, &entry.key, &entry.node)),
            }
        }
    }

    /// What only the machine at hand says.
    fn fill_in(&mut self, config: &Config) {
        self.fill("kafka", "instance_id", json!(config.kafka.instance_id), "host name");
        self.fill("engine", "workers", json!(config.engine.workers), "number of cores");
    }

    fn fill(&mut self, section: &str, key: &str, value: Json, from: &str) {
        let found = self.sections.iter_mut().find(|(name, _)| name == section);
        let Some((_, settings)) = found else { return };
        match settings.iter_mut().find(|setting| setting.key == key) {
            Some(setting) if setting.value == json!(0) => {
                setting.value = value;
                from.clone_into(&mut setting.from);
            }
            Some(_) => {}
            None => settings.push(Setting { key: key.to_owned(), value, from: from.to_owned() }),
        }
    }

    /// As a configuration file, each setting with where it comes from behind it.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for (section, settings) in self.sections.iter().filter(|(_, list)| !list.is_empty()) {
            if !text.is_empty() {
                text.push('\n');
            }
            if !section.is_empty() {
                text.push_str(&format!("[{section}]\n"));
            }
            for Setting { key, value, from } in settings {
                let key = if key.contains('.') { toml_text(key) } else { key.clone() };
                text.push_str(&format!("{key} = {}  # {from}\n", toml_value(value)));
            }
        }
        text
    }

    /// For a script: under section and key the value, and where it comes from.
    pub fn to_json(&self) -> Json {
        let mut root = Map::new();
        for (section, settings) in &self.sections {
            let mut at = &mut root;
            for part in section.split('.').filter(|part| !part.is_empty()) {
                let next = at.entry(part).or_insert_with(|| Json::Object(Map::new()));
                at = next.as_object_mut().expect("a section is a table");
            }
            for Setting { key, value, from } in settings {
                at.insert(key.clone(), json!({ "value": value, "from": from }));
            }
        }
        Json::Object(root)
    }
}

/// The names of client properties have dots, which TOML reads as tables where they are not quoted.
fn flatten(into: &mut Vec<Setting>, path: &str, table: &Table) {
    for entry in table.entries() {
        let path = format!("{path}.{}", entry.key);
        match &entry.node.value {
            Value::Table(inner) => flatten(into, &path, inner),
            _ => into.push(setting("kafka.properties", &path, &entry.node)),
        }
    }
}

fn setting(section: &str, key: &str, node: &Node) -> Setting {
    let value = match is_secret(key) {
        true => json!(HIDDEN),
        false => value(section, key, node),
    };
    Setting { key: key.to_owned(), value, from: from(node) }
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let names_a_file = key.ends_with("_file") || key.ends_with(".location");
    !names_a_file && SECRETS.iter().any(|secret| key.contains(secret))
}

fn from(node: &Node) -> String {
    match (node.origin, node.place.line) {
        (Origin::Default, _) => "default".to_owned(),
        (_, 0) => node.place.file.to_string(),
        (Origin::Environment, line) => format!("environment, by {}:{line}", node.place.file),
        (Origin::Written, line) => format!("{}:{line}", node.place.file),
    }
}

fn value(section: &str, key: &str, node: &Node) -> Json {
    match &node.value {
        Value::Text(text) if node.origin == Origin::Environment => typed(section, key, text),
        Value::Text(text) => json!(without_login(text)),
        Value::Integer(number) => json!(number),
        Value::Boolean(value) => json!(value),
        Value::Float(text) | Value::Time(text) => json!(text),
        Value::List(list) => list.iter().map(|item| value(section, key, item)).collect(),
        Value::Table(_) | Value::Unknown => Json::Null,
    }
}

/// The environment has only texts; what they mean is the setting's to say.
fn typed(section: &str, key: &str, text: &str) -> Json {
    let numbers = [("engine", "workers"), ("engine", "max_packages"), ("state", "keep")];
    let is_number = numbers.contains(&(section, key)) || (section, key) == ("input", "schema_id");
    match text.trim().parse::<i64>() {
        Ok(number) if is_number => json!(number),
        _ if section == "input" && is_list(key, text) => {
            text.split(',').map(|item| json!(item.trim())).collect()
        }
        _ => json!(without_login(text)),
    }
}

/// Whether a text of the environment is several.
fn is_list(key: &str, text: &str) -> bool {
    matches!(key, "topics" | "no_time") || key == "schema_files" && text.contains(',')
}

/// A URL may carry a login of its own.
fn without_login(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let host = rest.split('/').next().unwrap_or_default();
    match host.rfind('@') {
        Some(at) => format!("{scheme}://{HIDDEN}{}", &rest[at..]),
        None => text.to_owned(),
    }
}

fn toml_text(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn toml_value(value: &Json) -> String {
    match value {
        Json::String(text) => toml_text(text),
        Json::Array(list) => {
            format!("[{}]", list.iter().map(toml_value).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[kafka]
bootstrap_servers = "${BROKERS:-localhost:9092}"
group_id = "parcels"
instance_id = "one"
[kafka.security]
protocol = "sasl_ssl"
mechanism = "SCRAM-SHA-512"
username = "clerk"
password = "${CLERK}"
[kafka.properties]
"sasl.oauthbearer.client.secret" = "prop-hush"
ssl.keystore.password = "store-hush"
ssl.keystore.location = "store.p12"
[policies]
file = "policies.toml"
"#;

    fn shown(variables: &[(&str, &str)]) -> Shown {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, FILE).unwrap();
        let all = [&[("CLERK", "clerk-hush")], variables].concat();
        show(&path, &Environment::of(all)).unwrap()
    }

    #[test]
    fn no_secret_is_shown_in_either_form() {
        let shown = shown(&[]);
        for text in [shown.to_toml(), shown.to_json().to_string()] {
            assert!(!text.contains("hush"), "{text}");
            assert_eq!(text.matches(HIDDEN).count(), 3, "{text}");
            assert!(text.contains("store.p12"), "a file's name is no secret: {text}");
        }
    }

    #[test]
    fn each_setting_says_where_it_comes_from() {
        let shown = shown(&[("STALLWATCH__ENGINE__WORKERS", "3"), ("BROKERS", "b:1")]);
        let json = shown.to_json();
        let of = |section: &str, key: &str| {
            let setting = &json[section][key];
            (setting["value"].clone(), setting["from"].as_str().unwrap().to_owned())
        };
        assert_eq!(
            of("engine", "workers"),
            (json!(3), "environment variable STALLWATCH__ENGINE__WORKERS".to_owned())
        );
        assert_eq!(of("state", "keep"), (json!(3), "default".to_owned()));
        let (value, from) = of("kafka", "group_id");
        assert!(value == "parcels" && from.ends_with("c.toml:4"), "{value} {from}");
        let (value, from) = of("kafka", "bootstrap_servers");
        assert!(value == "b:1" && from.starts_with("environment, by "), "{value} {from}");
    }

    #[test]
    fn what_is_shown_is_toml_and_has_every_section_that_says_something() {
        let text = shown(&[]).to_toml();
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(
            table["kafka"]["properties"]["ssl.keystore.location"].as_str(),
            Some("store.p12")
        );
        assert!(table["engine"]["workers"].as_integer().unwrap() > 0, "{text}");
        assert!(table.contains_key("shutdown") && table.contains_key("admin"), "{text}");
    }

    #[test]
    fn a_login_within_a_url_is_hidden() {
        assert_eq!(without_login("https://me:hush@host/path"), "https://***@host/path");
        assert_eq!(without_login("file:///a@b"), "file:///a@b");
    }
}
