//! PromQL: parser, plan and engine over the storage ports.
