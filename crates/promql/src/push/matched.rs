//! How many series the selectors of a query match, as far as the parts together know it.
//!
//! Divisions have no series in common, but the parts of one division may: before the seam, across it and after it.

/// Bounds of how many series the selector with the most of them matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Matched {
    pub(super) least: u64,
    pub(super) most: u64,
}

/// Returns the bounds, given for each division what each of its parts matched, by node.
pub(super) fn matched(divisions: &[Vec<&[u64]>]) -> Matched {
    let nodes = divisions.iter().flatten().map(|part| part.len()).max().unwrap_or(0);
    let mut bounds = Matched::default();
    for node in 0..nodes {
        let (mut least, mut most) = (0u64, 0u64);
        for parts in divisions {
            let of_parts = || parts.iter().map(|part| part.get(node).copied().unwrap_or(0));
            least = least.saturating_add(of_parts().max().unwrap_or(0));
            most = of_parts().fold(most, u64::saturating_add);
        }
        bounds.least = bounds.least.max(least);
        bounds.most = bounds.most.max(most);
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_division_may_match_the_same_series() {
        let division = |parts: &[&'static [u64]]| parts.to_vec();
        for (divisions, least, most) in [
            (vec![], 0, 0),
            (vec![division(&[&[], &[], &[]])], 0, 0),
            (vec![division(&[&[3], &[], &[4]])], 4, 7),
            (vec![division(&[&[3], &[3], &[4]]), division(&[&[], &[], &[5]])], 9, 15),
            // Selectors are not added up.
            (vec![division(&[&[3, 0, 9]]), division(&[&[7, 1, 0]])], 10, 10),
            (vec![division(&[&[u64::MAX]]), division(&[&[1]])], u64::MAX, u64::MAX),
        ] {
            assert_eq!(matched(&divisions), Matched { least, most }, "{divisions:?}");
        }
    }
}
