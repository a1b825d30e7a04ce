//! The append batch: one columnar unit on the wire, in the log and at apply.
