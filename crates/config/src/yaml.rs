//! Reads YAML text into raw structs, with errors that name the place.

use serde::de::DeserializeOwned;
use serde_saphyr::Error;

use crate::error::{ConfigError, Position};
use crate::nearest::nearest;

/// Reads one document. Empty text and a document of comments read as an empty mapping.
pub(crate) fn read<T: DeserializeOwned + Default>(text: &str) -> Result<T, ConfigError> {
    let options = serde_saphyr::options! { with_snippet: false };
    let read: Result<Option<T>, Error> = serde_saphyr::from_str_with_options(text, options);
    read.map(Option::unwrap_or_default).map_err(|error| describe(&error, text))
}

fn describe(error: &Error, text: &str) -> ConfigError {
    let position = error.location().map(Position::from).unwrap_or_default();
    let of_key = |expected: &str| match key_before(text, position) {
        Some(key) => format!("{key}: expected {expected}"),
        None => format!("expected {expected}"),
    };
    let message = match error {
        Error::SerdeUnknownField { field, expected, .. } => unknown_key(field, expected),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("key {key:?} is given twice"),
        Error::Unexpected { expected: "sequence start", .. } => of_key("a list"),
        Error::Unexpected { expected: "mapping start", .. } => of_key("a mapping of keys to values"),
        Error::Unexpected { expected: "string scalar" | "scalar", .. } => of_key("a single value"),
        Error::InvalidScalar { ty: "boolean", .. } => of_key("true or false"),
        Error::InvalidScalar { ty: "u64" | "u32", .. } => of_key("a whole number, 0 or more"),
        other => first_line(&other.render_with_formatter(&serde_saphyr::DefaultMessageFormatter)),
    };
    ConfigError::Syntax { position, message }
}

/// Returns the key whose value stands at a position, when both are on one line, or the value on the line after its key.
fn key_before(text: &str, position: Position) -> Option<&str> {
    let line_index = usize::try_from(position.line).ok()?.checked_sub(1)?;
    let column = usize::try_from(position.column).ok()?.checked_sub(1)?;
    let line = text.lines().nth(line_index)?;
    let end = line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
    let own = line[..end].rfind(':').map(|colon| &line[..colon]);
    let key = own.or_else(|| text.lines().nth(line_index.checked_sub(1)?)?.trim_end().strip_suffix(':'))?;
    let name = key.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next()?;
    Some(name).filter(|name| !name.is_empty())
}

fn unknown_key(key: &str, expected: &[&str]) -> String {
    match nearest(key, expected) {
        Some(known) => format!("unknown key {key:?}, did you mean {known:?}?"),
        None => {
            // Prometheus's less usual keys would drown the list.
            let known: Vec<&str> =
                expected.iter().copied().filter(|known| !known.ends_with("_sd_configs")).collect();
            format!("unknown key {key:?}, expected one of {}", known.join(", "))
        }
    }
}

/// The library appends its own position, which the caller prints already.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let end = line.rfind(" at line ").unwrap_or(line.len());
    line[..end].trim_start_matches("error: ").to_owned()
}
