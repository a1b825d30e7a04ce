//! Discovers targets, scrapes them, appends what they say.
