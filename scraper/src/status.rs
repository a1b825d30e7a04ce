//! What there is to tell of targets: shared by the loops, which write it, and the gRPC service, which reads it.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::MetricMetadata;
use parking_lot::Mutex;

use crate::discovery::Dropped;
use crate::target::Target;

/// How a target is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Health {
    /// Not scraped yet.
    #[default]
    Unknown,
    /// The last scrape was good.
    Up,
    /// The last scrape failed.
    Down,
}

impl Health {
    /// Returns the name as the HTTP API prints it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// The last scrape of a target.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastScrape {
    pub(crate) health: Health,
    /// Why it failed, or empty.
    pub(crate) error: String,
    /// When it began, ms; 0 before the first.
    pub(crate) time_ms: i64,
    pub(crate) duration_seconds: f64,
}

/// One target that is scraped here.
pub(crate) struct TargetStatus {
    pub(crate) target: Arc<Target>,
    last: Mutex<LastScrape>,
    /// What the target's families say of themselves, by name; replaced as a whole when one of them changes.
    metadata: Mutex<Arc<[MetricMetadata]>>,
}

impl TargetStatus {
    pub(crate) fn new(target: Arc<Target>) -> Self {
        Self { target, last: Mutex::default(), metadata: Mutex::default() }
    }

    pub(crate) fn last(&self) -> LastScrape {
        self.last.lock().clone()
    }

    pub(crate) fn metadata(&self) -> Arc<[MetricMetadata]> {
        self.metadata.lock().clone()
    }

    pub(crate) fn set_metadata(&self, metadata: Vec<MetricMetadata>) {
        *self.metadata.lock() = metadata.into();
    }

    pub(crate) fn set(&self, last: LastScrape) {
        *self.last.lock() = last;
    }
}

/// All targets that this scraper answers for.
#[derive(Default)]
pub(crate) struct Board {
    targets: Mutex<Shown>,
}

/// What is shown; active targets by identity.
#[derive(Clone, Default)]
pub(crate) struct Shown {
    pub(crate) active: BTreeMap<u64, Arc<TargetStatus>>,
    pub(crate) dropped: Vec<Dropped>,
}

impl Board {
    pub(crate) fn shown(&self) -> Shown {
        self.targets.lock().clone()
    }

    pub(crate) fn show(&self, shown: Shown) {
        *self.targets.lock() = shown;
    }
}
