//! Encodings of one series' samples: the open chunk and the sealed chunk.
