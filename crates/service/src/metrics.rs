//! The process's metrics: one registry, encoded as OpenMetrics text.

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::registry::Registry;

/// The registry; clones are handles to the same one.
#[derive(Clone, Default)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
}

impl Metrics {
    /// The content type of [`Metrics::encode`].
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// Lets a part of the process register its metrics; it keeps the handles.
    pub fn register<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.registry.lock())
    }

    /// Returns all metrics as OpenMetrics text. Collectors run here: they may read `/proc`.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(16 << 10);
        prometheus_client::encoding::text::encode(&mut text, &self.registry.lock())
            .expect("writing to a string cannot fail");
        text
    }
}
