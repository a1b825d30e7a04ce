//! What metric families say of themselves: type, help and unit, of a bounded number of families.
//!
//! Targets may disagree, so a family may have several entries; the oldest makes room for new ones. Families beyond the limit
//! and texts that are too long are ignored: metadata is a help to people, and no sample depends on it.

use std::collections::BTreeMap;

use model::MetricMetadata;

/// The most families that are remembered.
const FAMILIES_MAX: usize = 65_536;
/// The most entries of one family that are remembered.
const FAMILY_ENTRIES_MAX: usize = 4;
/// The longest entry that is remembered, its texts together. With the limits above: 1 GiB if somebody tries.
const ENTRY_BYTES_MAX: usize = 4096;

/// See the module. Its content is a function of the batches applied.
#[derive(Debug, Default)]
pub(crate) struct MetadataTable {
    families: BTreeMap<Box<str>, Vec<MetricMetadata>>,
}

impl MetadataTable {
    pub(crate) fn insert(&mut self, metadata: &MetricMetadata) {
        let entry_bytes = metadata.family.len() + metadata.help.len() + metadata.unit.len();
        if entry_bytes > ENTRY_BYTES_MAX {
            return;
        }
        let is_full = self.families.len() >= FAMILIES_MAX;
        match self.families.get_mut(&*metadata.family) {
            Some(entries) if entries.contains(metadata) => {}
            Some(entries) => {
                if entries.len() >= FAMILY_ENTRIES_MAX {
                    entries.remove(0);
                }
                entries.push(metadata.clone());
            }
            None if is_full => {}
            None => {
                self.families.insert(metadata.family.as_str().into(), vec![metadata.clone()]);
            }
        }
    }

    /// Returns the entries of one family, or of all, families in order.
    pub(crate) fn get(&self, family: Option<&str>) -> Vec<MetricMetadata> {
        match family {
            Some(family) => self.families.get(family).cloned().unwrap_or_default(),
            None => self.iter().cloned().collect(),
        }
    }

    /// Iterates over all entries: families in order, the entries of each from old to new.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &MetricMetadata> {
        self.families.values().flatten()
    }
}

#[cfg(test)]
mod tests {
    use model::MetricType;

    use super::*;

    fn entry(family: &str, help: &str) -> MetricMetadata {
        let (metric_type, unit) = (MetricType::Gauge, String::new());
        MetricMetadata { family: family.into(), metric_type, help: help.into(), unit }
    }

    #[test]
    fn targets_may_disagree_up_to_a_limit() {
        let mut table = MetadataTable::default();
        for help in ["1", "2", "1", "3", "4", "5"] {
            table.insert(&entry("up", help));
        }
        table.insert(&entry("a", &"x".repeat(ENTRY_BYTES_MAX)));
        let help: Vec<String> = table.get(Some("up")).into_iter().map(|entry| entry.help).collect();
        assert_eq!(help, ["2", "3", "4", "5"]);
        assert_eq!(table.get(None).len(), 4, "a text that is too long is ignored");
        assert!(table.get(Some("down")).is_empty());
    }

    #[test]
    fn families_beyond_the_limit_are_ignored() {
        let mut table = MetadataTable::default();
        (0..=FAMILIES_MAX).for_each(|i| table.insert(&entry(&format!("f{i}"), "")));
        assert_eq!(table.iter().count(), FAMILIES_MAX);
        table.insert(&entry("f0", "a known family is still heard"));
        assert_eq!(table.get(Some("f0")).len(), 2);
    }
}
