//! The slots of the series that have one label pair: in place while they are few, a sorted list while short, a bitmap when long.
//!
//! Most pairs belong to few series: an allocation costs more than those few numbers, and a bitmap's containers more than a list.

use roaring::RoaringBitmap;

/// What fits into the memory that a list's and a bitmap's own fields take.
const FEW_LEN_MAX: usize = 5;
/// From this length on a bitmap is smaller than a list, unless its numbers are very scattered.
const LIST_LEN_MAX: usize = 128;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) enum Postings {
    /// The first `len` are sorted, each once.
    Few { len: u8, slots: [u32; FEW_LEN_MAX] },
    /// Sorted, each once.
    List(Vec<u32>),
    /// Never turned back into a list.
    Bitmap(RoaringBitmap),
}

const _: () = assert!(size_of::<Postings>() <= 32, "few slots take no more than a list's fields");

impl Default for Postings {
    fn default() -> Self {
        Self::Few { len: 0, slots: [0; FEW_LEN_MAX] }
    }
}

impl Postings {
    /// Returns the slots, unless they are in a bitmap.
    fn as_list(&self) -> Result<&[u32], &RoaringBitmap> {
        match self {
            Self::Few { len, slots } => Ok(&slots[..usize::from(*len)]),
            Self::List(list) => Ok(list),
            Self::Bitmap(bitmap) => Err(bitmap),
        }
    }

    /// Adds a slot.
    pub(crate) fn insert(&mut self, slot: u32) {
        match self {
            Self::Bitmap(bitmap) => {
                bitmap.insert(slot);
            }
            Self::Few { len, slots } => {
                let count = usize::from(*len);
                let Err(position) = slots[..count].binary_search(&slot) else { return };
                if count < FEW_LEN_MAX {
                    slots.copy_within(position..count, position + 1);
                    slots[position] = slot;
                    *len += 1;
                } else {
                    let mut list = Vec::with_capacity(2 * FEW_LEN_MAX);
                    list.extend_from_slice(slots);
                    list.insert(position, slot);
                    *self = Self::List(list);
                }
            }
            Self::List(list) => {
                let Err(position) = list.binary_search(&slot) else { return };
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
            Self::Few { len, slots: few } => {
                let mut kept = 0;
                for at in 0..usize::from(*len) {
                    if !slots.contains(few[at]) {
                        few[kept] = few[at];
                        kept += 1;
                    }
                }
                *len = kept as u8;
            }
            Self::List(list) => list.retain(|slot| !slots.contains(*slot)),
            Self::Bitmap(bitmap) => *bitmap -= slots,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.as_list().map_or_else(RoaringBitmap::is_empty, <[u32]>::is_empty)
    }

    pub(crate) fn len(&self) -> u64 {
        self.as_list().map_or_else(RoaringBitmap::len, |list| list.len() as u64)
    }

    /// Adds all slots to a set.
    pub(crate) fn add_to(&self, set: &mut RoaringBitmap) {
        match self.as_list() {
            Ok(list) => set.extend(list),
            Err(bitmap) => *set |= bitmap,
        }
    }

    /// Removes all slots from a set.
    pub(crate) fn remove_from(&self, set: &mut RoaringBitmap) {
        match self.as_list() {
            Ok(list) => list.iter().for_each(|slot| {
                set.remove(*slot);
            }),
            Err(bitmap) => *set -= bitmap,
        }
    }

    /// Keeps of a set what is here too.
    pub(crate) fn intersect(&self, set: &mut RoaringBitmap) {
        match self.as_list() {
            Ok(list) => *set = list.iter().copied().filter(|slot| set.contains(*slot)).collect(),
            Err(bitmap) => *set &= bitmap,
        }
    }

    /// Tells whether a set holds one of the slots.
    pub(crate) fn touches(&self, set: &RoaringBitmap) -> bool {
        match self.as_list() {
            Ok(list) => list.iter().any(|slot| set.contains(*slot)),
            Err(bitmap) => !bitmap.is_disjoint(set),
        }
    }

    /// Returns how much heap memory it holds, roughly for a bitmap.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Few { .. } => 0,
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
