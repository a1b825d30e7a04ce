//! How many bytes one select may receive from all whom it asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::ErrorKind;
use storage::StorageError;

/// The bytes of one select. Clones count together.
#[derive(Clone)]
pub(crate) struct Budget {
    used: Arc<AtomicU64>,
    bytes_max: u64,
}

/// What one attempt took; given back when the attempt failed and its bytes were dropped.
pub(crate) struct Share {
    budget: Budget,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { used: Arc::default(), bytes_max }
    }

    /// Begins an attempt.
    pub(crate) fn share(&self) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }

    /// Returns how many bytes were kept.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

impl Share {
    /// Takes bytes.
    ///
    /// # Errors
    /// Kind `LimitExceeded`, naming the limit, when the select has no more.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), StorageError> {
        self.bytes += bytes;
        let used = self.budget.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let limit = self.budget.bytes_max;
        if used <= limit {
            return Ok(());
        }
        let text = format!(
            "a selector needs more than the {limit} bytes that query.max-select-bytes allows: narrow the selector or its \
             time range, or raise the limit"
        );
        Err(StorageError::new(ErrorKind::LimitExceeded, text))
    }

    /// Keeps what was taken.
    pub(crate) fn keep(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_attempts_give_back_what_they_took() {
        let budget = Budget::new(100);
        let mut failed = budget.share();
        failed.take(90).unwrap();
        drop(failed);
        let mut kept = budget.share();
        kept.take(60).unwrap();
        kept.keep();
        assert_eq!(budget.used(), 60);
        let error = budget.share().take(41).unwrap_err();
        assert_eq!(error.kind, ErrorKind::LimitExceeded);
        assert!(error.message.contains("query.max-select-bytes"));
        budget.share().take(40).unwrap();
    }
}
