//! A schema, as far as the bytes of its data are read by it. Nothing else that may stand in one is
//! looked at (defaults, docs, orders, what other tools add, whether names are spelt as the
//! specification wants them): writers in other languages are not strict about it, and the bytes do
//! not depend on it.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

/// Most bytes that a schema may have, and a name in it: names are told in full wherever they are
/// referred to, so that what a schema takes is bounded by its size.
const MAX_SCHEMA: usize = 1 << 20;
const MAX_NAME: usize = 512;

/// What a value is written as. Names have their namespace.
#[derive(Clone, Debug)]
pub(crate) enum Type {
    Primitive(Primitive, Attributes),
    Enum(String, Vec<String>),
    Fixed(String, usize, Attributes),
    Array(Box<Type>),
    Map(Box<Type>),
    Union(Vec<Type>),
    Record(Record),
    /// A type that is defined before, or around it.
    Named(Arc<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Primitive {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
}

/// What stands beside a type and may say what its values mean.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes {
    pub(crate) logical: Option<String>,
    pub(crate) precision: Option<u64>,
    pub(crate) scale: Option<u64>,
    /// There is something beside the type, whatever it is.
    pub(crate) any: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) name: String,
    /// It is called `error`, as the records are that a protocol's calls fail with.
    pub(crate) is_error: bool,
    pub(crate) fields: Vec<Field>,
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) order: Option<String>,
    pub(crate) of: Type,
}

impl Attributes {
    /// Whether they make something else of bytes than a text.
    pub(crate) fn is_of_bytes(&self) -> bool {
        matches!(self.logical.as_deref(), Some("decimal" | "big-decimal" | "uuid"))
    }
}

impl Primitive {
    const ALL: [Self; 8] = [
        Self::Null,
        Self::Boolean,
        Self::Int,
        Self::Long,
        Self::Float,
        Self::Double,
        Self::Bytes,
        Self::String,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes => "bytes",
            Self::String => "string",
        }
    }
}

impl Type {
    /// Reads a schema's text; what is wrong with it otherwise.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_SCHEMA {
            return Err(format!("it has {} bytes; at most {MAX_SCHEMA} are read", text.len()));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let json = serde_json::from_str(&without_comments(text)).map_err(|e| e.to_string())?;
        Parser::default().of(&json, "")
    }
}

/// Every comment of a text as blanks: Java's library allows them.
fn without_comments(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', '/']) {
        let (before, from) = rest.split_at(at);
        let length = match from.as_bytes() {
            [b'"', ..] => length_of_text(from),
            [b'/', b'/', ..] => from.find('\n').unwrap_or(from.len()),
            [b'/', b'*', ..] => from[2..].find("*/").map_or(from.len(), |end| end + 4),
            _ => 1,
        };
        let (piece, behind) = from.split_at(length);
        plain.push_str(before);
        if piece.len() > 1 && piece.starts_with('/') {
            plain.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            plain.push_str(piece);
        }
        rest = behind;
    }
    plain + rest
}

/// With both of its quotes.
fn length_of_text(from: &str) -> usize {
    let mut bytes = from.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return at + 1,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    from.len()
}

/// Knows the names that have been defined so far, and which type each is: aliases are names too.
#[derive(Default)]
struct Parser {
    defined: HashMap<String, Arc<str>>,
}

impl Parser {
    fn of(&mut self, json: &Json, namespace: &str) -> Result<Type, String> {
        match json {
            Json::String(name) => self.by_name(name, Attributes::default(), namespace),
            Json::Array(branches) => {
                let branches = branches.iter().map(|branch| self.of(branch, namespace));
                Ok(Type::Union(branches.collect::<Result<_, _>>()?))
            }
            Json::Object(object) => self.of_object(object, namespace),
            _ => Err(format!("a type is written as {}", kind(json))),
        }
    }

    fn of_object(&mut self, object: &Map<String, Json>, namespace: &str) -> Result<Type, String> {
        let named = match object.get("type") {
            None => return Err("a type lacks its `type`".to_owned()),
            Some(Json::String(name)) => name,
            // Wrapped once more.
            Some(inner) => return Ok(self.of(inner, namespace)?.with(attributes(object))),
        };
        match named.as_str() {
            "array" => Ok(Type::Array(Box::new(self.part(object, "items", namespace)?))),
            "map" => Ok(Type::Map(Box::new(self.part(object, "values", namespace)?))),
            "record" | "error" => self.record(object, namespace),
            "enum" => self.symbols(object, namespace),
            "fixed" => self.fixed(object, namespace),
            name => self.by_name(name, attributes(object), namespace),
        }
    }

    fn part(
        &mut self,
        object: &Map<String, Json>,
        key: &str,
        namespace: &str,
    ) -> Result<Type, String> {
        let part = object.get(key).ok_or_else(|| format!("a type lacks its `{key}`"))?;
        self.of(part, namespace)
    }

    fn by_name(&self, name: &str, attributes: Attributes, namespace: &str) -> Result<Type, String> {
        if let Some(primitive) = Primitive::ALL.into_iter().find(|p| p.as_str() == name) {
            return Ok(Type::Primitive(primitive, attributes));
        }
        let full = self.defined.get(&qualified(name, namespace));
        // Java's library looks outside of the namespace then.
        let full = full.or_else(|| self.defined.get(name));
        let full = full.ok_or_else(|| {
            format!("it refers to a type that it does not define: {}", shortened(name))
        })?;
        Ok(Type::Named(full.clone()))
    }

    fn record(&mut self, object: &Map<String, Json>, namespace: &str) -> Result<Type, String> {
        let Some(fields) = object.get("fields") else { return self.again(object, namespace) };
        let name = self.define(object, namespace)?;
        let within = namespace_of(&name).to_owned();
        let Json::Array(fields) = fields else {
            return Err(format!("the fields of {} are no list", shortened(&name)));
        };
        let fields = fields.iter().map(|field| self.field(field, &within));
        let fields = fields
            .collect::<Result<_, _>>()
            .map_err(|problem| format!("{problem} (in {})", shortened(&name)))?;
        let is_error = object.get("type").is_some_and(|named| named == "error");
        Ok(Type::Record(Record { name, is_error, fields }))
    }

    fn field(&mut self, json: &Json, namespace: &str) -> Result<Field, String> {
        let Json::Object(object) = json else {
            return Err(format!("a field is {}", kind(json)));
        };
        let name = text(object, "name").ok_or("a field has no name")?;
        let of = self.part(object, "type", namespace);
        let of = of.map_err(|problem| format!("field {}: {problem}", shortened(name)))?;
        let order = text(object, "order").map(str::to_owned);
        Ok(Field { name: name.to_owned(), order, of })
    }

    fn symbols(&mut self, object: &Map<String, Json>, namespace: &str) -> Result<Type, String> {
        let Some(symbols) = object.get("symbols") else { return self.again(object, namespace) };
        let name = self.define(object, namespace)?;
        let texts = symbols.as_array().and_then(|symbols| {
            symbols.iter().map(|symbol| symbol.as_str().map(str::to_owned)).collect()
        });
        let symbols =
            texts.ok_or_else(|| format!("the symbols of {} are no texts", shortened(&name)))?;
        Ok(Type::Enum(name, symbols))
    }

    fn fixed(&mut self, object: &Map<String, Json>, namespace: &str) -> Result<Type, String> {
        if !object.contains_key("size") {
            return self.again(object, namespace);
        }
        let name = self.define(object, namespace)?;
        let size = number(object, "size").and_then(|size| usize::try_from(size).ok());
        let size = size.ok_or_else(|| format!("the size of {} is no number", shortened(&name)))?;
        Ok(Type::Fixed(name, size, attributes(object)))
    }

    /// A type without its contents: it is one that is known already.
    fn again(&self, object: &Map<String, Json>, namespace: &str) -> Result<Type, String> {
        let name = name_of(object, namespace)?;
        match self.defined.get(&name) {
            Some(full) => Ok(Type::Named(full.clone())),
            None => Err(format!("the type {} has no contents", shortened(&name))),
        }
    }

    /// Makes a name and its aliases known before its type is: records may refer to themselves.
    fn define(&mut self, object: &Map<String, Json>, namespace: &str) -> Result<String, String> {
        let name = name_of(object, namespace)?;
        let known: Arc<str> = name.as_str().into();
        let space = namespace_of(&name);
        let aliases = object.get("aliases").and_then(Json::as_array).into_iter().flatten();
        for alias in aliases.filter_map(Json::as_str) {
            self.defined.insert(qualified(alias, space), known.clone());
        }
        self.defined.insert(name.clone(), known);
        Ok(name)
    }
}

impl Type {
    /// The same with what stands around it.
    fn with(self, around: Attributes) -> Self {
        match self {
            Self::Primitive(primitive, own) if own.logical.is_none() => {
                Self::Primitive(primitive, around)
            }
            other => other,
        }
    }
}

fn name_of(object: &Map<String, Json>, namespace: &str) -> Result<String, String> {
    let name = text(object, "name").ok_or("a type has no name")?;
    let name = qualified(name, text(object, "namespace").unwrap_or(namespace));
    match name.len() {
        0..=MAX_NAME => Ok(name),
        length => Err(format!(
            "the name {} has {length} bytes; at most {MAX_NAME} are read",
            shortened(&name)
        )),
    }
}

fn namespace_of(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(namespace, _)| namespace)
}

fn qualified(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

fn attributes(object: &Map<String, Json>) -> Attributes {
    Attributes {
        logical: text(object, "logicalType").map(str::to_owned),
        precision: number(object, "precision"),
        scale: number(object, "scale"),
        any: object.len() > 1,
    }
}

fn text<'j>(object: &'j Map<String, Json>, key: &str) -> Option<&'j str> {
    object.get(key)?.as_str()
}

/// A whole number from 0; the canonical form allows for one that is written as a text.
fn number(object: &Map<String, Json>, key: &str) -> Option<u64> {
    let value = object.get(key)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

/// A name for a message.
fn shortened(name: &str) -> String {
    match name.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}
