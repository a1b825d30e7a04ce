//! Patterns of file names: `*`, `?`, `[a-z]`, `[^a-z]` and `\` within one part of a path. Source: Go's `path/filepath`,
//! `Glob` and `Match`.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::RulerError;

/// Returns the files that a pattern names, sorted; none when nothing matches, also when a folder is not there.
///
/// # Errors
/// [`RulerError::Pattern`] when it is no pattern, [`RulerError::Read`] when a folder that is there cannot be read.
pub(crate) fn expand(pattern: &Path) -> Result<Vec<PathBuf>, RulerError> {
    let fault = |reason: &str| RulerError::Pattern { pattern: pattern.to_owned(), reason: reason.to_owned() };
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let Component::Normal(part) = component else {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        };
        let part = part.to_str().ok_or_else(|| fault("is not valid UTF-8"))?;
        if !part.contains(['*', '?', '[', '\\']) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        // Matching once shows whether the pattern is one, also where there is nothing to match.
        matches(part, "").ok_or_else(|| fault("syntax error in pattern"))?;
        let mut next = Vec::new();
        for dir in found {
            let names = names_in(&dir).map_err(|source| RulerError::Read { path: dir.clone(), source })?;
            next.extend(
                names.into_iter().filter(|name| matches(part, name) == Some(true)).map(|name| dir.join(name)),
            );
        }
        found = next;
    }
    found.retain(|path| path.exists());
    found.sort();
    Ok(found)
}

/// Returns the names in a folder; none when it is not there or is no folder.
fn names_in(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(if dir.as_os_str().is_empty() { Path::new(".") } else { dir }) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let name =
        |entry: io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name().into_string().ok()).transpose();
    entries.filter_map(name).collect()
}

/// Tells whether a whole name matches; `None` when the pattern is malformed.
fn matches(pattern: &str, name: &str) -> Option<bool> {
    let pattern = parse(pattern)?;
    let name: Vec<char> = name.chars().collect();
    // `reachable[i]`: the tokens so far can consume the first i characters.
    let mut reachable = vec![false; name.len() + 1];
    reachable[0] = true;
    for token in &pattern {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            match token {
                Token::Any => next[at] = reachable[at] || at > 0 && next[at - 1],
                Token::One(class) => next[at] = at > 0 && reachable[at - 1] && class.contains(name[at - 1]),
            }
        }
        reachable = next;
    }
    Some(reachable[name.len()])
}

enum Token {
    /// Any text.
    Any,
    /// One character.
    One(Class),
}

struct Class {
    ranges: Vec<(char, char)>,
    negated: bool,
}

impl Class {
    fn contains(&self, c: char) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != self.negated
    }
}

fn parse(pattern: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Any,
            '?' => Token::One(Class { ranges: Vec::new(), negated: true }),
            '[' => Token::One(parse_class(&mut chars)?),
            '\\' => literal(chars.next()?),
            c => literal(c),
        });
    }
    Some(tokens)
}

fn literal(c: char) -> Token {
    Token::One(Class { ranges: vec![(c, c)], negated: false })
}

fn parse_class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Class> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    let unescaped = |c: char, chars: &mut std::iter::Peekable<std::str::Chars<'_>>| match c {
        '\\' => chars.next(),
        '-' => None,
        c => Some(c),
    };
    loop {
        let c = chars.next()?;
        if c == ']' && !ranges.is_empty() {
            return Some(Class { ranges, negated });
        }
        if c == ']' {
            return None;
        }
        let low = unescaped(c, chars)?;
        let high = if chars.next_if_eq(&'-').is_some() {
            let c = chars.next().filter(|c| *c != ']')?;
            unescaped(c, chars)?
        } else {
            low
        };
        ranges.push((low, high));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, yes, no) in [
            ("*.yml", &["a.yml", ".yml"][..], &["a.yaml", "a.yml.bak"][..]),
            ("a*b*c", &["abc", "aXbYc", "abbc"], &["ab", "abcd"]),
            ("?", &["a", "ü"], &["", "ab"]),
            ("[a-c]x", &["ax", "cx"], &["dx", "x"]),
            ("[^a-c]x", &["dx"], &["ax", "x"]),
            ("\\*", &["*"], &["a"]),
            ("**", &["", "a"], &[]),
        ] {
            for name in yes {
                assert_eq!(matches(pattern, name), Some(true), "{pattern} {name}");
            }
            for name in no {
                assert_eq!(matches(pattern, name), Some(false), "{pattern} {name}");
            }
        }
        for pattern in ["[", "[]", "[a", "[a-", "[a-]", "[-a]", "\\", "[\\"] {
            assert_eq!(matches(pattern, "a"), None, "{pattern}");
        }
    }

    #[test]
    fn expands_over_folders() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["x/b.yml", "x/a.yml", "y/c.yml", "y/c.txt", "z.yml"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let check = |pattern: &str, expected: &[&str]| {
            let expected: Vec<_> = expected.iter().map(|path| dir.path().join(path)).collect();
            assert_eq!(expand(&dir.path().join(pattern)).unwrap(), expected, "{pattern}");
        };
        check("*/*.yml", &["x/a.yml", "x/b.yml", "y/c.yml"]);
        check("x/a.yml", &["x/a.yml"]);
        check("x/none.yml", &[]);
        check("none/*.yml", &[]);
        check("z.yml/*", &[]);
        check("[x-y]/?.yml", &["x/a.yml", "x/b.yml", "y/c.yml"]);
        assert!(matches!(expand(&dir.path().join("none/[")), Err(RulerError::Pattern { .. })));
    }
}
