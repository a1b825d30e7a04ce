//! How a target is asked: authentication, redirects, compression.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::check::{Faults, Place, Text};
use crate::raw;

/// Text that must not be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text, to be sent and never logged.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// A text given in the configuration, or a file to read it from at each use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The text itself.
    Inline(Secret),
    /// An absolute path, or one relative to the working directory if the configuration has no directory. White space
    /// around the text in the file does not count.
    File(PathBuf),
}

/// The `Authorization` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// User and password; either may be empty.
    Basic {
        /// User.
        username: Source,
        /// Password.
        password: Source,
    },
    /// A scheme, usually `Bearer`, and credentials.
    Credentials {
        /// The word before the credentials.
        scheme: String,
        /// The credentials.
        credentials: Source,
    },
}

/// How a target is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpClient {
    /// The header, if one is sent.
    pub authentication: Option<Authentication>,
    /// Whether an answer that points elsewhere is followed.
    pub follow_redirects: bool,
    /// Whether a compressed answer is asked for.
    pub enable_compression: bool,
}

impl Default for HttpClient {
    fn default() -> Self {
        Self { authentication: None, follow_redirects: true, enable_compression: true }
    }
}

/// Takes the client's keys out of a scrape configuration.
pub(crate) fn build(
    raw: &mut raw::Scrape,
    place: &Place,
    base_dir: &Path,
    faults: &mut Faults,
) -> HttpClient {
    let bearer = pair(
        raw.bearer_token.take(),
        raw.bearer_token_file.take(),
        ["bearer_token", "bearer_token_file"],
        place,
        base_dir,
        faults,
    );
    let basic =
        raw.basic_auth.take().map(|auth| basic_auth(auth, &place.key("basic_auth"), base_dir, faults));
    let authorization = raw
        .authorization
        .take()
        .map(|auth| authorization(auth, &place.key("authorization"), base_dir, faults));
    if bearer.is_some() && authorization.is_some() {
        faults.add(place, "authorization is not compatible with bearer_token & bearer_token_file");
    }
    if basic.is_some() && authorization.is_some() {
        faults.add(place, "at most one of basic_auth, oauth2 & authorization must be configured");
    }
    if basic.is_some() && bearer.is_some() {
        faults.add(
            place,
            "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
        );
    }
    let bearer =
        bearer.map(|credentials| Authentication::Credentials { scheme: "Bearer".to_owned(), credentials });
    HttpClient {
        authentication: basic.or(authorization).or(bearer),
        follow_redirects: raw.follow_redirects.unwrap_or(true),
        enable_compression: raw.enable_compression.unwrap_or(true),
    }
}

fn basic_auth(raw: raw::BasicAuth, place: &Place, base_dir: &Path, faults: &mut Faults) -> Authentication {
    raw.report(place, faults);
    let empty = || Source::Inline(Secret::new(""));
    let user = ["username", "username_file"];
    let username = pair(raw.username, raw.username_file, user, place, base_dir, faults);
    let password = ["password", "password_file"];
    let password = pair(raw.password, raw.password_file, password, place, base_dir, faults);
    Authentication::Basic {
        username: username.unwrap_or_else(empty),
        password: password.unwrap_or_else(empty),
    }
}

fn authorization(
    raw: raw::Authorization,
    place: &Place,
    base_dir: &Path,
    faults: &mut Faults,
) -> Authentication {
    raw.report(place, faults);
    let keys = ["credentials", "credentials_file"];
    let credentials = pair(raw.credentials, raw.credentials_file, keys, place, base_dir, faults);
    let scheme = raw.r#type.as_ref().map_or("Bearer", |text| text.value.trim());
    if scheme.eq_ignore_ascii_case("basic") {
        faults.add(
            &place.key("type"),
            "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
        );
    }
    Authentication::Credentials {
        scheme: if scheme.is_empty() { "Bearer".to_owned() } else { scheme.to_owned() },
        credentials: credentials.unwrap_or_else(|| Source::Inline(Secret::new(""))),
    }
}

/// Reads a text that is given itself or by file.
fn pair(
    inline: Option<Text>,
    file: Option<Text>,
    keys: [&str; 2],
    place: &Place,
    base_dir: &Path,
    faults: &mut Faults,
) -> Option<Source> {
    match (inline.filter(|t| !t.value.is_empty()), file.filter(|t| !t.value.is_empty())) {
        (Some(_), Some(file)) => {
            let message = format!("at most one of {} & {} must be configured", keys[0], keys[1]);
            faults.at(&place.key(keys[1]), &file, message);
            None
        }
        (Some(inline), None) => Some(Source::Inline(Secret::new(inline.value))),
        (None, Some(file)) => Some(Source::File(base_dir.join(file.value))),
        (None, None) => None,
    }
}
