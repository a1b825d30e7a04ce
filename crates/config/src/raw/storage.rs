//! `storage`.

use super::section;
use crate::Tsdb;
use crate::check::{Faults, Place, Text};

section! {
    /// The section.
    Storage {
        read { tsdb: RawTsdb, }
        unsupported { }
        ignored { exemplars, }
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
    /// `storage.tsdb.retention`.
    Retention {
        read { time: Text, }
        unsupported { size, percentage, }
        ignored { }
    }
}

impl Storage {
    pub(crate) fn build(self, place: &Place, faults: &mut Faults) -> Tsdb {
        self.report(place, faults);
        let place = place.key("tsdb");
        let tsdb = self.tsdb.unwrap_or_default();
        tsdb.report(&place, faults);
        let retention = tsdb.retention.unwrap_or_default();
        retention.report(&place.key("retention"), faults);
        let window = tsdb.out_of_order_time_window.as_ref();
        Tsdb {
            out_of_order_window_ms: faults.duration(&place.key("out_of_order_time_window"), window),
            retention_ms: faults.duration(&place.key("retention").key("time"), retention.time.as_ref()),
        }
    }
}
