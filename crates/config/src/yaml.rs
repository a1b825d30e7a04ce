//! Reads YAML text into raw structs, with errors that name the place.

use serde::de::DeserializeOwned;
use serde_saphyr::Error;

use crate::error::{ConfigError, Position};
use crate::nearest::nearest;

/// Reads one document. Empty text and a document of comments read as an empty mapping.
pub(crate) fn read<T: DeserializeOwned + Default>(text: &str) -> Result<T, ConfigError> {
    let options = serde_saphyr::options! { with_snippet: false };
    let read: Result<Option<T>, Error> = serde_saphyr::from_str_with_options(text, options);
    read.map(Option::unwrap_or_default).map_err(|error| describe(&error))
}

fn describe(error: &Error) -> ConfigError {
    let position = error.location().map(Position::from).unwrap_or_default();
    let message = match error {
        Error::SerdeUnknownField { field, expected, .. } => unknown_key(field, expected),
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("unknown value {variant:?}, expected one of {}", expected.join(", "))
        }
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("key {key:?} is given twice"),
        other => first_line(&other.render_with_formatter(&serde_saphyr::DefaultMessageFormatter)),
    };
    ConfigError::Syntax { position, message }
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
