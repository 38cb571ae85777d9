//! `[input]`: the schemas that scans may have been written with.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::read::Reader;
use crate::wire::scan::{SCAN_SCHEMA, SchemaProblem, SchemaSource, WriterSchemas};
use crate::wire::toml_reader::{Origin, Section, Value};

/// What the schema that is part of the program is called.
const OWN: &str = "schemas/scan.v1.avsc";

/// Files of a folder that are schemas.
const EXTENSION: &str = "avsc";

/// Where the schemas are that scans may have been written with. The files may change: what is in
/// them is read by [`Schemas::load`], as often as somebody wants to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schemas {
    /// `schema_file`: the first one; the product's own where there is none.
    pub file: Option<PathBuf>,
    /// `schema_id`: the id that Confluent framing has for it.
    pub id: Option<u32>,
    /// `schema_files`: more of them, known by their fingerprints.
    pub files: SchemaFiles,
    /// `schemas`: more of them, also known by the id that Confluent framing has for each.
    pub by_id: BTreeMap<u32, PathBuf>,
}

/// `schema_files`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaFiles {
    /// Each by its name.
    List(Vec<PathBuf>),
    /// Those of a folder: every file `*.avsc` in it.
    Folder(PathBuf),
}

impl Default for SchemaFiles {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl SchemaFiles {
    /// The files as they are now, in the order of their names where they are a folder's.
    fn now(&self) -> Result<Vec<PathBuf>, SchemaProblem> {
        let folder = match self {
            Self::List(files) => return Ok(files.clone()),
            Self::Folder(folder) => folder,
        };
        let read = || {
            let mut files = Vec::new();
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == EXTENSION) {
                    files.push(path);
                }
            }
            files.sort();
            Ok(files)
        };
        read().map_err(|error| unreadable(folder, &error))
    }
}

/// A schema as it stands in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaText {
    /// The file.
    pub name: String,
    /// What it says.
    pub text: String,
    /// The id that Confluent framing has for it.
    pub id: Option<u32>,
}

impl SchemaText {
    /// The same to be compiled.
    pub fn source(&self) -> SchemaSource<'_> {
        SchemaSource { name: &self.name, text: &self.text, id: self.id }
    }
}

impl Schemas {
    /// What scans can be read with, by what the files say now.
    ///
    /// # Errors
    /// Every problem of all of them, each with the name of its file.
    pub fn load(&self) -> Result<WriterSchemas, Vec<SchemaProblem>> {
        let (texts, mut problems) = self.texts();
        match WriterSchemas::of(texts.iter().map(SchemaText::source)) {
            Ok(schemas) if problems.is_empty() => return Ok(schemas),
            Ok(_) => {}
            Err(more) => problems.extend(more),
        }
        Err(problems)
    }

    /// What the files say now, and those that cannot be read.
    pub fn texts(&self) -> (Vec<SchemaText>, Vec<SchemaProblem>) {
        let mut problems = Vec::new();
        let files = self.files.now().unwrap_or_else(|problem| {
            problems.push(problem);
            Vec::new()
        });
        let of_files = files.into_iter().map(|file| (None, file));
        let by_id = self.by_id.iter().map(|(id, file)| (Some(*id), file.clone()));
        let first = self.file.iter().map(|file| (self.id, file.clone()));
        let mut texts = Vec::new();
        if self.file.is_none() {
            let (name, text) = (OWN.to_owned(), SCAN_SCHEMA.to_owned());
            texts.push(SchemaText { name, text, id: self.id });
        }
        for (id, file) in first.chain(of_files).chain(by_id) {
            match fs::read_to_string(&file) {
                Ok(text) => texts.push(SchemaText { name: file.display().to_string(), text, id }),
                Err(error) => problems.push(unreadable(&file, &error)),
            }
        }
        (texts, problems)
    }

    /// Which setting names a file.
    fn key_of(&self, name: &str) -> &'static str {
        let is = |file: &PathBuf| file.display().to_string() == name;
        if self.file.as_ref().is_some_and(is) {
            "schema_file"
        } else if self.by_id.values().any(is) {
            "schemas"
        } else {
            "schema_files"
        }
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> SchemaProblem {
    let problem = format!("cannot be read: {error}");
    SchemaProblem { name: file.display().to_string(), problem }
}

impl<'d> Reader<'d> {
    /// The settings, and whether scans can be read with what the files have now.
    pub(super) fn schemas(&self, section: &Section<'d>) -> Schemas {
        let id = section.integer("schema_id", 0..=i64::from(i32::MAX));
        let schemas = Schemas {
            file: section.some_text("schema_file").map(|file| self.resolve(file)),
            id: id.and_then(|id| u32::try_from(id).ok()),
            files: self.schema_files(section),
            by_id: self.schemas_by_id(section),
        };
        for SchemaProblem { name, problem } in schemas.load().err().unwrap_or_default() {
            let key = schemas.key_of(&name);
            section.problem(key, format!("{}: {name}: {problem}", section.name(key)));
        }
        schemas
    }

    /// A list of files, or the name of a folder.
    fn schema_files(&self, section: &Section<'d>) -> SchemaFiles {
        let key = "schema_files";
        let one = section.node(key).and_then(|node| match &node.value {
            Value::Text(text) if node.origin != Origin::Environment => Some(text.as_str()),
            Value::Text(text) if !text.contains(',') => Some(text.trim()),
            _ => None,
        });
        match one {
            Some("") => SchemaFiles::default(),
            Some(name) => match self.resolve(name) {
                path if path.is_file() => SchemaFiles::List(vec![path]),
                folder => SchemaFiles::Folder(folder),
            },
            None => {
                let names = section.texts(key).unwrap_or_default();
                SchemaFiles::List(names.iter().map(|(_, name)| self.resolve(name)).collect())
            }
        }
    }

    /// A table: ids, and the file of each.
    fn schemas_by_id(&self, section: &Section<'d>) -> BTreeMap<u32, PathBuf> {
        let mut by_id = BTreeMap::new();
        for entry in section.section_or_empty("schemas").entries() {
            let key = &entry.key;
            let id = key.parse().ok().filter(|id| *id <= i32::MAX as u32);
            match (id, &entry.node.value) {
                (Some(id), Value::Text(file)) => drop(by_id.insert(id, self.resolve(file))),
                (_, Value::Unknown) => {}
                (None, _) => self.problems.at(
                    &entry.place,
                    format!(
                        "`input.schemas`: {key} is no id of a schema; write 17 = \"FILE.avsc\""
                    ),
                ),
                (Some(_), other) => self.problems.at(
                    &entry.node.place,
                    format!(
                        "`input.schemas.{key}` must be the name of a file, not {}",
                        other.kind()
                    ),
                ),
            }
        }
        by_id
    }
}
