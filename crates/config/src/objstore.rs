//! The object store's settings in the form of Thanos: `type`, `config`, `prefix`.
//!
//! Which settings a type has is known to the crate that opens the store. It takes the text of such a file, so the section
//! is turned back into that text; a setting is a single value here, nested ones need a file of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::labels::quote;

use crate::check::{Faults, Place, Text};
use crate::raw;

/// Where the settings stand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ObjstoreSource {
    /// In the configuration itself.
    Inline(ObjstoreConfig),
    /// In a file of their own.
    File(PathBuf),
}

/// The settings.
#[derive(Clone, PartialEq, Eq)]
pub struct ObjstoreConfig {
    /// `S3` or `FILESYSTEM`, in upper case.
    pub kind: String,
    /// Its settings by name; may hold secrets.
    pub settings: BTreeMap<String, String>,
    /// What all keys begin with.
    pub prefix: String,
}

impl std::fmt::Debug for ObjstoreConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ObjstoreConfig({} with {:?})", self.kind, self.settings.keys().collect::<Vec<_>>())
    }
}

impl ObjstoreConfig {
    /// Returns the settings as the text of a Thanos object store file.
    pub fn thanos_yaml(&self) -> String {
        let mut text = format!("type: {}\nconfig:", self.kind);
        if self.settings.is_empty() {
            text.push_str(" {}");
        }
        for (name, value) in &self.settings {
            text.push_str(&format!("\n  {name}: {}", scalar(value)));
        }
        text.push_str(&format!("\nprefix: {}\n", quote(&self.prefix)));
        text
    }
}

/// Truth values and numbers must stay what they are, everything else is quoted.
fn scalar(value: &str) -> String {
    let plain =
        matches!(value, "true" | "false") || (!value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()));
    if plain { value.to_owned() } else { quote(value) }
}

pub(crate) fn build(
    inline: Option<raw::Objstore>,
    file: Option<Text>,
    place: &Place,
    base_dir: &Path,
    faults: &mut Faults,
) -> Option<ObjstoreSource> {
    match (inline, file) {
        (Some(_), Some(file)) => {
            faults.at(
                &place.key("objstore_file"),
                &file,
                "at most one of objstore & objstore_file must be given",
            );
            None
        }
        (Some(inline), None) => Some(ObjstoreSource::Inline(check(inline, &place.key("objstore"), faults))),
        (None, file) => {
            let path = crate::norn::not_empty(file, &place.key("objstore_file"), faults)?;
            Some(ObjstoreSource::File(base_dir.join(path)))
        }
    }
}

fn check(raw: raw::Objstore, place: &Place, faults: &mut Faults) -> ObjstoreConfig {
    let kind = raw.r#type.value.to_ascii_uppercase();
    if !matches!(kind.as_str(), "S3" | "FILESYSTEM") {
        let message =
            format!("object store {} is not supported, expected S3 or FILESYSTEM", quote(&raw.r#type.value));
        faults.at(&place.key("type"), &raw.r#type, message);
    }
    let settings = raw.config.unwrap_or_default();
    ObjstoreConfig {
        kind,
        settings: settings.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        prefix: raw.prefix.unwrap_or_default(),
    }
}
