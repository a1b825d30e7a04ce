//! Collects faults with their key paths while raw structs are turned into typed ones.

use serde_saphyr::Spanned;

use crate::error::{ConfigError, Fault, Position};
use crate::raw::Opaque;

/// Text with the place where it stands.
pub(crate) type Text = Spanned<String>;

/// Where in the tree of keys a check is.
#[derive(Clone, Debug)]
pub(crate) struct Place(String);

impl Place {
    pub(crate) fn root() -> Self {
        Self(String::new())
    }

    pub(crate) fn key(&self, key: &str) -> Self {
        Self(if self.0.is_empty() { key.to_owned() } else { format!("{}.{key}", self.0) })
    }

    pub(crate) fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

/// The faults and warnings found so far.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    faults: Vec<Fault>,
    warnings: Vec<String>,
}

impl Faults {
    /// Notes a fault of a value that stands nowhere, or whose place says nothing.
    pub(crate) fn add(&mut self, place: &Place, message: impl Into<String>) {
        self.faults.push(Fault { path: place.0.clone(), position: None, message: message.into() });
    }

    /// Notes a fault of a value.
    pub(crate) fn at<T>(&mut self, place: &Place, value: &Spanned<T>, message: impl Into<String>) {
        let position = Some(Position::from(value.referenced));
        self.faults.push(Fault { path: place.0.clone(), position, message: message.into() });
    }

    /// Notes a key that Prometheus knows and Norn does not support yet, unless its value changes nothing.
    pub(crate) fn unsupported(&mut self, place: &Place, key: &str, value: Option<&Spanned<Opaque>>) {
        if let Some(value) = value.filter(|value| !value.value.is_harmless()) {
            self.at(&place.key(key), value, "not supported yet");
        }
    }

    /// Notes a key that is accepted without having an effect.
    pub(crate) fn ignored(&mut self, place: &Place, key: &str, value: Option<&Spanned<Opaque>>) {
        if let Some(value) = value.filter(|value| !value.value.is_harmless()) {
            let position = Position::from(value.referenced);
            self.warn(format!("{}: has no effect in Norn ({position})", place.key(key).0));
        }
    }

    pub(crate) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Runs a conversion on a value that is given, and notes its error as a fault of the value.
    pub(crate) fn convert<T, E: ToString>(
        &mut self,
        place: &Place,
        value: Option<&Text>,
        convert: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = value?;
        convert(&value.value).map_err(|error| self.at(place, value, error.to_string())).ok()
    }

    /// Reads a duration in milliseconds.
    pub(crate) fn duration(&mut self, place: &Place, value: Option<&Text>) -> Option<u64> {
        self.convert(place, value, model::time::parse_duration_ms)
    }

    pub(crate) fn into_result<T>(self, value: T) -> Result<T, ConfigError> {
        if self.faults.is_empty() { Ok(value) } else { Err(ConfigError::Invalid(self.faults)) }
    }
}
