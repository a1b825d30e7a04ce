//! The inverted index inside `series.parquet`: for each label name its values, for each value the rows that have it.
//!
//! On disk each name has an FST from value to the offset of its postings, which are runs of rows; all of it is one
//! [`crate::section`]. Since every label of every row is in it, the index alone also rebuilds label sets: the label
//! columns of the Parquet file are for other readers.
//!
//! In memory values lie in one arena, ascending, so that an equality or a prefix is a binary search; postings stay encoded
//! until a matcher asks for them; and each row has the list of its (name, value) pairs, 4 bytes each.

mod postings;
mod read;
mod select;
mod sizes;
mod write;

pub(crate) use read::LabelIndex;
pub use sizes::LabelLayout;
pub(crate) use sizes::sizes;
pub(crate) use write::encode;

#[cfg(test)]
mod tests {
    use model::{LabelSet, MatchOp, Matcher};
    use proptest::prelude::*;
    use roaring::RoaringBitmap;

    use super::*;
    use crate::order::LabelTable;

    fn build(series: &[LabelSet]) -> (Vec<LabelSet>, LabelIndex) {
        let mut table = LabelTable::new(series.iter());
        let (rows, _) = table.rows(&table.sort_labels());
        let bytes = encode(&table, &rows).expect("valid");
        let index = LabelIndex::decode(&bytes, rows.len() as u32).expect("just encoded");
        (rows.iter().map(|row| series[*row as usize].clone()).collect(), index)
    }

    fn label_sets() -> impl Strategy<Value = Vec<LabelSet>> {
        let pair = ("[abc]|__name__", "[xyz]{0,2}|w é");
        let set = prop::collection::vec(pair, 0..5).prop_map(LabelSet::from_pairs);
        prop::collection::btree_set(set, 0..40).prop_map(|sets| sets.into_iter().collect())
    }

    fn matchers() -> impl Strategy<Value = Vec<Matcher>> {
        let op =
            prop::sample::select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]);
        let values =
            ["", "x", "xy", "zz", "w é", "x|y", "x|", "x.*", ".+", ".*", "[xy]z", "z?", "w .", "nope"];
        let one = (
            op,
            prop::sample::select(vec!["a", "b", "c", "__name__", "d"]),
            prop::sample::select(values.to_vec()),
        );
        let one = one.prop_map(|(op, name, value)| Matcher::new(op, name, value).expect("valid pattern"));
        prop::collection::vec(one, 0..4)
    }

    proptest! {
        #[test]
        fn answers_like_a_scan_over_all_rows(series in label_sets(), matchers in matchers()) {
            let (rows, index) = build(&series);
            let matches = |labels: &LabelSet| matchers.iter().all(|m| m.matches(labels.get(&m.name)));
            let expected: RoaringBitmap =
                rows.iter().enumerate().filter(|(_, labels)| matches(labels)).map(|(row, _)| row as u32).collect();
            prop_assert_eq!(index.select(&matchers).expect("valid"), expected);
        }

        #[test]
        fn gives_every_row_its_labels_back(series in label_sets()) {
            let (rows, index) = build(&series);
            for (row, labels) in rows.iter().enumerate() {
                prop_assert_eq!(&index.labels(row as u32).expect("valid"), labels);
            }
            let mut names: Vec<&str> = rows.iter().flatten().map(|(name, _)| name).collect();
            names.sort_unstable();
            names.dedup();
            let found: Vec<&str> = index.name_pairs().map(|pairs| index.name_of(pairs.start)).collect();
            prop_assert_eq!(found, names);
        }

        #[test]
        fn damaged_bytes_never_panic(series in label_sets(), position: prop::sample::Index, bits in 1u8..) {
            let mut table = LabelTable::new(series.iter());
            let (rows, _) = table.rows(&table.sort_labels());
            // Beneath the section's checksum, that is: what a faulty writer could leave behind. The FST is the exception;
            // its own checksum is tested before it is walked.
            let mut bytes = encode(&table, &rows).expect("valid");
            let position = position.index(bytes.len());
            bytes[position] ^= bits;
            if let Ok(index) = LabelIndex::decode(&bytes, rows.len() as u32) {
                for row in 0..rows.len() as u32 {
                    let _ = index.labels(row);
                }
                let _ = index.select(&[Matcher::new(MatchOp::Regex, "a", "x.*").expect("valid")]);
            }
        }
    }
}
