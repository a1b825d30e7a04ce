//! One log line: its fields, and the two forms it is written in.

use std::fmt::{Debug, Write as _};

use tracing::field::{Field, Visit};

#[derive(Clone, Copy)]
pub(super) enum Format {
    Logfmt,
    Json,
}

/// A field's value; numbers and booleans stay bare in JSON.
#[derive(Clone)]
enum Value {
    Bare(String),
    Text(String),
}

/// Fields in the order given, the message apart.
#[derive(Clone, Default)]
pub(super) struct Fields {
    message: String,
    pairs: Vec<(&'static str, Value)>,
}

impl Fields {
    /// Appends the fields of a span around the event.
    pub(super) fn extend(&mut self, other: &Self) {
        self.pairs.extend(other.pairs.iter().cloned());
    }

    fn push(&mut self, field: &Field, value: Value) {
        match value {
            Value::Text(text) if field.name() == "message" => self.message = text,
            value => self.pairs.push((field.name(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        let text = value.to_string();
        self.push(field, if value.is_finite() { Value::Bare(text) } else { Value::Text(text) });
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, Value::Bare(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, Value::Bare(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, Value::Bare(value.to_string()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, Value::Text(value.to_owned()));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.push(field, Value::Text(crate::chain(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.push(field, Value::Text(format!("{value:?}")));
    }
}

impl Format {
    /// Returns the line with its newline. `level` is upper case.
    pub(super) fn line(self, time: &str, level: &str, source: &str, fields: &Fields) -> String {
        let mut line = String::with_capacity(256);
        let head = [("time", time), ("level", level), ("source", source), ("msg", &fields.message)];
        match self {
            Self::Logfmt => {
                for (key, value) in head {
                    push_logfmt(&mut line, key, value);
                }
                for (key, value) in &fields.pairs {
                    let (Value::Bare(text) | Value::Text(text)) = value;
                    push_logfmt(&mut line, key, text);
                }
            }
            Self::Json => {
                for (key, value) in head {
                    push_json(&mut line, key, &Value::Text(value.to_owned()));
                }
                for (key, value) in &fields.pairs {
                    push_json(&mut line, key, value);
                }
                line.push('}');
            }
        }
        line.push('\n');
        line
    }
}

fn push_logfmt(line: &mut String, key: &str, value: &str) {
    if !line.is_empty() {
        line.push(' ');
    }
    line.push_str(key);
    line.push('=');
    if value.is_empty() || value.contains(|c: char| c.is_whitespace() || c.is_control() || "=\"".contains(c))
    {
        push_quoted(line, value);
    } else {
        line.push_str(value);
    }
}

fn push_json(line: &mut String, key: &str, value: &Value) {
    line.push(if line.is_empty() { '{' } else { ',' });
    push_quoted(line, key);
    line.push(':');
    match value {
        Value::Bare(text) => line.push_str(text),
        Value::Text(text) => push_quoted(line, text),
    }
}

/// Quotes as JSON does, which logfmt readers understand as well.
fn push_quoted(line: &mut String, text: &str) {
    line.push('"');
    for c in text.chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if c.is_control() => {
                write!(line, "\\u{:04x}", u32::from(c)).expect("writing to a string cannot fail");
            }
            c => line.push(c),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_quote_what_must_be_quoted() {
        let fields = Fields {
            message: "block written".into(),
            pairs: vec![
                ("shard", Value::Bare("3".into())),
                ("path", Value::Text("/data/x".into())),
                ("error", Value::Text("a=\"b\"\nc\u{1}".into())),
                ("empty", Value::Text(String::new())),
            ],
        };
        let line = |format: Format| format.line("2026-01-02T03:04:05.678Z", "INFO", "head::cut", &fields);
        assert_eq!(
            line(Format::Logfmt),
            "time=2026-01-02T03:04:05.678Z level=INFO source=head::cut msg=\"block written\" shard=3 path=/data/x \
             error=\"a=\\\"b\\\"\\nc\\u0001\" empty=\"\"\n"
        );
        assert_eq!(
            line(Format::Json),
            "{\"time\":\"2026-01-02T03:04:05.678Z\",\"level\":\"INFO\",\"source\":\"head::cut\",\"msg\":\"block written\",\
             \"shard\":3,\"path\":\"/data/x\",\"error\":\"a=\\\"b\\\"\\nc\\u0001\",\"empty\":\"\"}\n"
        );
    }
}
