//! The configuration file: Prometheus's schema, read strictly, and Norn's own section.
