//! Serves blocks from object storage.
