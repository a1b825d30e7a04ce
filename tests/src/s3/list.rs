//! One page of a list of keys. Source: the S3 API reference, `ListObjectsV2`.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::bucket::Object;

/// How many entries a page has at the most, whatever was asked for.
pub(super) const PAGE_ENTRIES_MAX: usize = 1000;

/// What is asked for.
pub(super) struct Listing {
    pub(super) prefix: String,
    /// Empty for none.
    pub(super) delimiter: String,
    /// Only what comes after it; empty for everything.
    pub(super) after: String,
    /// At most [`PAGE_ENTRIES_MAX`].
    pub(super) entries_max: usize,
}

/// What is answered: keys, and the common beginnings of keys that hold the delimiter after the prefix.
#[derive(Default)]
pub(super) struct Page {
    pub(super) objects: Vec<(String, Object)>,
    pub(super) prefixes: Vec<String>,
    /// What to continue after; `None` when nothing follows.
    pub(super) next: Option<String>,
}

pub(super) fn list(objects: &BTreeMap<String, Object>, listing: &Listing) -> Page {
    let mut page = Page::default();
    let mut last = "";
    let start = if listing.after > listing.prefix {
        Bound::Excluded(listing.after.as_str())
    } else {
        Bound::Included(listing.prefix.as_str())
    };
    for (key, object) in objects.range::<str, _>((start, Bound::Unbounded)) {
        let Some(rest) = key.strip_prefix(listing.prefix.as_str()) else { break };
        let common = common_prefix(listing, key, rest);
        // Keys of a common beginning that was listed, on this page or as the end of the one before, say nothing new.
        if common.is_some_and(|common| {
            common == listing.after || page.prefixes.last().is_some_and(|p| p == common)
        }) {
            continue;
        }
        if page.objects.len() + page.prefixes.len() == listing.entries_max {
            page.next = Some(last.to_owned());
            break;
        }
        match common {
            Some(common) => {
                page.prefixes.push(common.to_owned());
                last = common;
            }
            None => {
                page.objects.push((key.clone(), object.clone()));
                last = key;
            }
        }
    }
    page
}

fn common_prefix<'a>(listing: &Listing, key: &'a str, rest: &str) -> Option<&'a str> {
    if listing.delimiter.is_empty() {
        return None;
    }
    let at = rest.find(&listing.delimiter)?;
    Some(&key[..listing.prefix.len() + at + listing.delimiter.len()])
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;

    use super::*;

    /// Lists page by page and returns the entries of each page, common beginnings last.
    fn pages(
        keys: &[&str],
        prefix: &str,
        delimiter: &str,
        after: &str,
        entries_max: usize,
    ) -> Vec<Vec<String>> {
        let object = |_| Object { bytes: Bytes::new(), tag: String::new(), modified: SystemTime::UNIX_EPOCH };
        let objects = keys.iter().map(|key| ((*key).to_owned(), object(key))).collect();
        let mut listing =
            Listing { prefix: prefix.into(), delimiter: delimiter.into(), after: after.into(), entries_max };
        let mut pages = Vec::new();
        loop {
            let page = list(&objects, &listing);
            pages.push(page.objects.into_iter().map(|(key, _)| key).chain(page.prefixes).collect());
            match page.next {
                Some(next) => listing.after = next,
                None => return pages,
            }
        }
    }

    #[test]
    fn pages_hold_each_key_once() {
        let keys = ["a", "b/1", "b/2", "b/3", "c"];
        assert_eq!(pages(&keys, "", "", "", 2), [vec!["a", "b/1"], vec!["b/2", "b/3"], vec!["c"]]);
        assert_eq!(pages(&keys, "", "", "", 5), [vec!["a", "b/1", "b/2", "b/3", "c"]]);
        assert_eq!(pages(&keys, "b/", "", "", 9), [vec!["b/1", "b/2", "b/3"]]);
        assert_eq!(pages(&keys, "b/", "", "b/1", 9), [vec!["b/2", "b/3"]]);
        assert_eq!(pages(&keys, "b/", "", "z", 9), [Vec::<String>::new()]);
        assert_eq!(pages(&keys, "", "/", "", 9), [vec!["a", "c", "b/"]]);
        assert_eq!(pages(&keys, "", "/", "", 1), [vec!["a"], vec!["b/"], vec!["c"]]);
        assert_eq!(pages(&keys, "b/", "/", "", 9), [vec!["b/1", "b/2", "b/3"]]);
        assert_eq!(pages(&[], "", "/", "", 9), [Vec::<String>::new()]);
    }
}
