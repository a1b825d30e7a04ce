//! What a query needs of samples, where these are stored as aggregates of slots instead of one by one.

/// What is wanted of each slot of a downsampled block. Raw samples are always given as they are: each is a slot of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// The last sample, staleness markers included: what the series was at the slot's end.
    #[default]
    Last,
    /// Samples between which a counter rises as all samples do, and is reset once at the most.
    Counter,
    /// Those of [`Aggregate::Counter`], with how many resets they do not show.
    Resets,
    /// How many samples there were: each is given with how many it stands for besides itself, its value means nothing.
    Count,
    /// The sum.
    Sum,
    /// The sum, with how many samples it stands for besides itself.
    Average,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
}

impl Aggregate {
    const ALL: [Self; 8] = [
        Self::Last,
        Self::Counter,
        Self::Resets,
        Self::Count,
        Self::Sum,
        Self::Average,
        Self::Min,
        Self::Max,
    ];

    /// Returns the number that stands for it on the wire.
    pub fn code(self) -> u32 {
        self as u32
    }

    /// Returns what a number stands for.
    pub fn of_code(code: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_for_what_they_always_did() {
        for (code, aggregate) in Aggregate::ALL.into_iter().enumerate() {
            assert_eq!((aggregate.code(), Aggregate::of_code(code as u32)), (code as u32, Some(aggregate)));
        }
        assert_eq!((Aggregate::of_code(3), Aggregate::of_code(8)), (Some(Aggregate::Count), None));
    }
}
