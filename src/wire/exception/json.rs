//! Exceptions as JSON objects.

use super::{Context, Sink, walk};
use crate::detector::exception::ExceptionEvent;
use crate::wire::time_text::{format_millis, format_seconds};

/// One JSON object on one line, without the line's end.
///
/// The names and the order are those of `schemas/tracking-exception.v1.avsc`; times are RFC 3339 in
/// UTC with seconds (`detected_time` with milliseconds); a field without a value is left out.
pub fn to_json(event: &ExceptionEvent, context: &Context<'_>) -> String {
    let mut object = JsonObject { text: String::with_capacity(768) };
    object.text.push('{');
    walk(event, context, &mut object);
    object.text.push('}');
    object.text
}

struct JsonObject {
    text: String,
}

impl JsonObject {
    fn name(&mut self, name: &str) {
        if !self.text.ends_with('{') {
            self.text.push(',');
        }
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str("\":");
    }

    /// A text without anything to escape.
    fn plain(&mut self, name: &str, text: &str) {
        self.name(name);
        self.text.push('"');
        self.text.push_str(text);
        self.text.push('"');
    }
}

impl Sink for JsonObject {
    fn text(&mut self, name: &'static str, text: &str) {
        self.name(name);
        self.text.push_str(&serde_json::to_string(text).expect("a text is always JSON"));
    }

    fn symbol(&mut self, name: &'static str, symbol: &'static str, _: u8) {
        self.plain(name, symbol);
    }

    fn number(&mut self, name: &'static str, number: i64) {
        self.name(name);
        self.text.push_str(&number.to_string());
    }

    fn flag(&mut self, name: &'static str, flag: bool) {
        self.name(name);
        self.text.push_str(if flag { "true" } else { "false" });
    }

    fn seconds(&mut self, name: &'static str, seconds: i64) {
        self.plain(name, &format_seconds(seconds));
    }

    fn millis(&mut self, name: &'static str, millis: i64) {
        self.plain(name, &format_millis(millis));
    }

    fn absent(&mut self, _: &'static str) {}

    fn present(&mut self) {}

    fn begin(&mut self, name: &'static str) {
        self.name(name);
        self.text.push('{');
    }

    fn end(&mut self) {
        self.text.push('}');
    }
}
