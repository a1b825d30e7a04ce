//! Lists of many answers into one. Pure.

/// Merges lists into one that is sorted, each value once.
pub(crate) fn merge_values<T: Ord>(parts: impl IntoIterator<Item = Vec<T>>) -> Vec<T> {
    let mut all: Vec<T> = parts.into_iter().flatten().collect();
    all.sort();
    all.dedup();
    all
}

/// Cuts a list to its first `limit` values; tells whether any was lost.
pub(crate) fn truncate<T>(values: &mut Vec<T>, limit: Option<usize>) -> bool {
    let Some(limit) = limit.filter(|limit| *limit < values.len()) else { return false };
    values.truncate(limit);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_cut() {
        let mut values = merge_values([vec![1, 3], vec![2, 3]]);
        assert_eq!(values, [1, 2, 3]);
        assert!(!truncate(&mut values, None) && !truncate(&mut values, Some(3)));
        assert!(truncate(&mut values, Some(2)));
        assert_eq!(values, [1, 2]);
    }
}
