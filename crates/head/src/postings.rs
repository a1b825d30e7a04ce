//! The slots of the series that have one label pair: a sorted list while short, a bitmap when long.
//!
//! Most pairs belong to few series, and a bitmap's containers cost more than those few numbers.

use roaring::RoaringBitmap;

/// From this length on a bitmap is smaller than a list, unless its numbers are very scattered.
const LIST_LEN_MAX: usize = 128;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) enum Postings {
    /// Sorted, each once.
    List(Vec<u32>),
    /// Never turned back into a list.
    Bitmap(RoaringBitmap),
}

impl Default for Postings {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Postings {
    /// Adds a slot.
    pub(crate) fn insert(&mut self, slot: u32) {
        match self {
            Self::Bitmap(bitmap) => {
                bitmap.insert(slot);
            }
            Self::List(list) => {
                let position = list.partition_point(|known| *known < slot);
                if list.get(position) == Some(&slot) {
                    return;
                }
                list.insert(position, slot);
                if list.len() > LIST_LEN_MAX {
                    *self = Self::Bitmap(list.iter().copied().collect());
                }
            }
        }
    }

    /// Removes the slots of a set.
    pub(crate) fn remove_all(&mut self, slots: &RoaringBitmap) {
        match self {
            Self::List(list) => list.retain(|slot| !slots.contains(*slot)),
            Self::Bitmap(bitmap) => *bitmap -= slots,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::List(list) => list.is_empty(),
            Self::Bitmap(bitmap) => bitmap.is_empty(),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::List(list) => list.len() as u64,
            Self::Bitmap(bitmap) => bitmap.len(),
        }
    }

    /// Adds all slots to a set.
    pub(crate) fn add_to(&self, set: &mut RoaringBitmap) {
        match self {
            Self::List(list) => set.extend(list),
            Self::Bitmap(bitmap) => *set |= bitmap,
        }
    }

    /// Removes all slots from a set.
    pub(crate) fn remove_from(&self, set: &mut RoaringBitmap) {
        match self {
            Self::List(list) => list.iter().for_each(|slot| {
                set.remove(*slot);
            }),
            Self::Bitmap(bitmap) => *set -= bitmap,
        }
    }

    /// Keeps of a set what is here too.
    pub(crate) fn intersect(&self, set: &mut RoaringBitmap) {
        match self {
            Self::List(list) => *set = list.iter().copied().filter(|slot| set.contains(*slot)).collect(),
            Self::Bitmap(bitmap) => *set &= bitmap,
        }
    }

    /// Tells whether a set holds one of the slots.
    pub(crate) fn touches(&self, set: &RoaringBitmap) -> bool {
        match self {
            Self::List(list) => list.iter().any(|slot| set.contains(*slot)),
            Self::Bitmap(bitmap) => !bitmap.is_disjoint(set),
        }
    }

    /// Returns how much heap memory it holds, roughly for a bitmap.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::List(list) => 4 * list.capacity(),
            Self::Bitmap(bitmap) => 2 * bitmap.len() as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(postings: &Postings) -> RoaringBitmap {
        let mut set = RoaringBitmap::new();
        postings.add_to(&mut set);
        set
    }

    proptest! {
        #[test]
        fn lists_and_bitmaps_are_sets(
            inserted in prop::collection::vec(0u32..300, 0..400),
            other in prop::collection::btree_set(0u32..300, 0..100),
        ) {
            let mut postings = Postings::default();
            inserted.iter().for_each(|slot| postings.insert(*slot));
            let model: RoaringBitmap = inserted.iter().copied().collect();
            let other: RoaringBitmap = other.into_iter().collect();
            prop_assert_eq!(set(&postings), model.clone());
            prop_assert_eq!(postings.len(), model.len());
            prop_assert_eq!(postings.touches(&other), !model.is_disjoint(&other));
            let (mut rest, mut common) = (other.clone(), other.clone());
            postings.remove_from(&mut rest);
            postings.intersect(&mut common);
            prop_assert_eq!((rest, common), (&other - &model, &other & &model));
            postings.remove_all(&other);
            prop_assert_eq!(postings.is_empty(), model.is_subset(&other));
            prop_assert_eq!(set(&postings), &model - &other);
        }
    }
}
