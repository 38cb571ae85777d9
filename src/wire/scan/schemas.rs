//! The schemas that scans may have been written with.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::framing::Mark;
use super::writer::{SchemaError, WriterSchema};

/// A schema to be known.
#[derive(Clone, Copy, Debug)]
pub struct SchemaSource<'t> {
    /// What messages call it: the name of its file.
    pub name: &'t str,
    /// The schema, in JSON.
    pub text: &'t str,
    /// Its id in a registry, if it has one.
    pub id: Option<u32>,
}

/// What is wrong with one of several schemas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaProblem {
    /// The name of the first source that it concerns.
    pub name: String,
    /// What is wrong, a sentence.
    pub problem: String,
}

impl fmt::Display for SchemaProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.problem)
    }
}

/// Several schemas, each known by its fingerprints and, where it has one, by its id. A copy costs
/// nothing: threads share what has been compiled once.
#[derive(Clone, Debug)]
pub struct WriterSchemas(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    schemas: Vec<(String, Arc<WriterSchema>)>,
    /// The place of each.
    marks: HashMap<Mark, usize, FixedState>,
}

impl WriterSchemas {
    /// One schema.
    pub(super) fn one(source: &SchemaSource<'_>) -> Result<Self, SchemaError> {
        let mut known = Known::default();
        known.add(source, WriterSchema::of_topic(source.text)?, &mut Vec::new());
        Ok(Self(Arc::new(known)))
    }

    /// All of these. A fingerprint does not tell all that data are read by, the unit of a time for
    /// one: of two schemas that it does not tell apart the one that came with an id is known by that
    /// alone.
    ///
    /// # Errors
    /// Every problem of all of them: what no scans can be read with, and what one mark would stand
    /// for two schemas by.
    pub fn of<'t>(
        sources: impl IntoIterator<Item = SchemaSource<'t>>,
    ) -> Result<Self, Vec<SchemaProblem>> {
        let (mut known, mut problems) = (Known::default(), Vec::new());
        for source in sources {
            match WriterSchema::of_topic(source.text) {
                Ok(schema) => known.add(&source, schema, &mut problems),
                Err(error) => problems.extend(error.problems().iter().map(|problem| {
                    SchemaProblem { name: source.name.to_owned(), problem: problem.clone() }
                })),
            }
        }
        if problems.is_empty() { Ok(Self(Arc::new(known))) } else { Err(problems) }
    }

    /// Whether the schema that a record names is one of these.
    pub fn knows(&self, mark: Mark) -> bool {
        self.0.marks.contains_key(&mark)
    }

    /// The name of each and what it is known by, the fingerprint of the specification first.
    pub fn names(&self) -> impl Iterator<Item = (&str, Vec<Mark>)> {
        self.0.schemas.iter().enumerate().map(|(at, (name, schema))| {
            let known = &self.0.marks;
            let fingerprint = Mark::Fingerprint(schema.fingerprints()[0]);
            let fingerprint = Some(fingerprint).filter(|mark| known.get(mark) == Some(&at));
            let ids =
                known.iter().filter(|(mark, place)| **place == at && matches!(mark, Mark::Id(_)));
            let mut ids: Vec<Mark> = ids.map(|(mark, _)| *mark).collect();
            ids.sort_unstable();
            (name.as_str(), fingerprint.into_iter().chain(ids).collect())
        })
    }

    #[inline]
    pub(super) fn find(&self, mark: Mark) -> Option<&WriterSchema> {
        self.0.marks.get(&mark).map(|at| &*self.0.schemas[*at].1)
    }

    /// The first of them, and what it is known by.
    pub(super) fn first(&self) -> Option<(Arc<WriterSchema>, Vec<Mark>)> {
        let (_, schema) = self.0.schemas.first()?;
        let marks = self.0.marks.iter().filter(|(_, place)| **place == 0);
        let mut marks: Vec<Mark> = marks.map(|(mark, _)| *mark).collect();
        marks.sort_unstable();
        Some((schema.clone(), marks))
    }
}

impl Known {
    fn add(
        &mut self,
        source: &SchemaSource<'_>,
        schema: WriterSchema,
        problems: &mut Vec<SchemaProblem>,
    ) {
        let fingerprints = schema.fingerprints().iter().map(|of| Mark::Fingerprint(*of));
        let mut marks: Vec<Mark> = fingerprints.chain(source.id.map(Mark::Id)).collect();
        let mut place = self.schemas.len();
        let mut taken = Vec::new();
        for mark in &marks {
            let Some(at) = self.marks.get(mark).copied() else { continue };
            match &self.schemas[at] {
                (_, known) if known.reads_as(&schema) => place = at,
                (other, _) => taken.push((*mark, other)),
            }
        }
        let may_be_left_out = |mark: &Mark| source.id.is_some() && !matches!(mark, Mark::Id(_));
        if let Some((mark, other)) = taken.iter().find(|(mark, _)| !may_be_left_out(mark)) {
            problems.push(SchemaProblem {
                name: source.name.to_owned(),
                problem: format!(
                    "it has the same {mark} as {other}, and its data are to be read otherwise; keep the one that the records were written with"
                ),
            });
            return;
        }
        marks.retain(|mark| taken.iter().all(|(other, _)| other != mark));
        for mark in marks {
            self.marks.entry(mark).or_insert(place);
        }
        if place == self.schemas.len() {
            self.schemas.push((source.name.to_owned(), Arc::new(schema)));
        }
    }
}
