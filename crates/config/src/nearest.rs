//! Finds the known word that a person probably meant.

/// How many edits away a known word may be and still be suggested.
const DISTANCE_MAX: usize = 3;
/// Longer words are not compared: nobody mistypes them by a few letters, and the cost is quadratic.
const LENGTH_MAX: usize = 64;

/// Returns the known word closest to `word`, when one is close.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    if word.len() > LENGTH_MAX {
        return None;
    }
    let limit = DISTANCE_MAX.min(word.len() / 2);
    known
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(edits, _)| *edits <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, by bytes, with two rows.
fn distance(left: &str, right: &str) -> usize {
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (row, a) in left.bytes().enumerate() {
        let mut current = vec![row + 1];
        for (column, b) in right.bytes().enumerate() {
            let replaced = previous[column] + usize::from(a != b);
            current.push(replaced.min(previous[column + 1] + 1).min(current[column] + 1));
        }
        previous = current;
    }
    previous[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_what_is_close() {
        let known = ["scrape_interval", "scrape_timeout", "params"];
        assert_eq!(nearest("scrape_intervall", &known), Some("scrape_interval"));
        assert_eq!(nearest("scrapetimeout", &known), Some("scrape_timeout"));
        assert_eq!(nearest("job", &known), None);
        assert_eq!(nearest("", &known), None);
    }
}
