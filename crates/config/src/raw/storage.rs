//! `storage`.

use super::section;
use crate::Tsdb;
use crate::check::{Faults, Place, Text};

section! {
    /// The section.
    Storage {
        read { tsdb: RawTsdb, exemplars: RawExemplars, }
        unsupported { }
        ignored { }
    }
}

section! {
    /// `storage.tsdb`.
    RawTsdb {
        read { out_of_order_time_window: Text, retention: Retention, }
        unsupported { }
        ignored { stale_series_compaction_threshold, chunk_encoding, }
    }
}

section! {
    /// `storage.exemplars`.
    RawExemplars {
        read { max_exemplars: i64, }
        unsupported { }
        ignored { }
    }
}

section! {
    /// `storage.tsdb.retention`.
    Retention {
        read { time: Text, }
        unsupported { size, percentage, }
        ignored { }
    }
}

impl Storage {
    /// Returns `storage.tsdb`, and how many exemplars are kept.
    pub(crate) fn build(self, place: &Place, faults: &mut Faults) -> (Tsdb, Option<u32>) {
        self.report(place, faults);
        let exemplars = self.exemplars.unwrap_or_default();
        exemplars.report(&place.key("exemplars"), faults);
        // Prometheus takes a negative number for none.
        let exemplars_max = exemplars.max_exemplars.map(|max| u32::try_from(max.max(0)).unwrap_or(u32::MAX));
        let place = place.key("tsdb");
        let tsdb = self.tsdb.unwrap_or_default();
        tsdb.report(&place, faults);
        let retention = tsdb.retention.unwrap_or_default();
        retention.report(&place.key("retention"), faults);
        let window = tsdb.out_of_order_time_window.as_ref();
        let tsdb = Tsdb {
            out_of_order_window_ms: faults.duration(&place.key("out_of_order_time_window"), window),
            retention_ms: faults.duration(&place.key("retention").key("time"), retention.time.as_ref()),
        };
        (tsdb, exemplars_max)
    }
}
