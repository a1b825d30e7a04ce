//! A fragment: which nodes of which query to evaluate, at which of their steps, and the bytes that say so.
//!
//! The whole query travels, not a piece of it: who receives it parses the same text with the same gates and has the same
//! tree, so a node is named by its position, annotations keep their places, and there is no second language to keep in
//! step. A hash over the tree tells when the two parsers do not agree after all; such a fragment is not evaluated.
//!
//! Bytes: version, then base-128 numbers and texts in the order of [`Fragment::encode`].

use bytes::Bytes;
use model::varint::{Cursor, ReadError, push_bytes, push_signed, push_unsigned};
use xxhash_rust::xxh3::Xxh3Default;

use crate::ast::{Expr, NodeId};
use crate::engine::EngineConfig;
use crate::parser::{Gate, ParserOptions};
use crate::plan::{Grid, Task};

/// Changes whenever the meaning of a fragment, of its states or of any function changes: two processes of different
/// versions do not share the work on one query.
const VERSION: u64 = 3;
/// More nodes than any query has that a person or a program writes; bounds what a peer can ask for.
const TASKS_MAX: usize = 10_000;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fragment {
    pub(crate) query: String,
    pub(crate) settings: Settings,
    /// The whole query's grid.
    pub(crate) grid: Grid,
    pub(crate) end_ms: i64,
    pub(crate) tasks: Vec<Task>,
    /// See [`hash_of`].
    pub(crate) tree_hash: u64,
    /// How many samples may be held at a time.
    pub(crate) samples_max: u64,
    /// How many bytes may be held at a time.
    pub(crate) memory_bytes_max: u64,
    /// How long the caller waits.
    pub(crate) timeout_ms: u64,
}

/// What of an engine's configuration a result depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) lookback_ms: i64,
    pub(crate) subquery_step_ms: i64,
    pub(crate) delayed_name_removal: bool,
    pub(crate) use_start_timestamps: bool,
    pub(crate) parser: ParserOptions,
    pub(crate) resolution_max_ms: Option<i64>,
}

impl Settings {
    /// Takes them from a configuration and a query's own lookback and resolution. All fields are named here, so that a new one cannot be
    /// forgotten.
    pub(crate) fn of(config: &EngineConfig, lookback_ms: i64, resolution_max_ms: Option<i64>) -> Self {
        let EngineConfig {
            lookback_ms: _,
            samples_max: _,
            memory_bytes_max: _,
            memory_bytes_total_max: _,
            timeout: _,
            subquery_step_ms,
            delayed_name_removal,
            use_start_timestamps,
            parser,
            annotations_max: _,
            pushdown: _,
            per_step_stats: _,
        } = *config;
        Self {
            lookback_ms,
            subquery_step_ms,
            delayed_name_removal,
            use_start_timestamps,
            parser,
            resolution_max_ms,
        }
    }

    /// Returns a configuration with these settings.
    pub(crate) fn applied_to(&self, config: &EngineConfig) -> EngineConfig {
        let Self {
            lookback_ms,
            subquery_step_ms,
            delayed_name_removal,
            use_start_timestamps,
            parser,
            resolution_max_ms: _,
        } = *self;
        EngineConfig {
            lookback_ms,
            subquery_step_ms,
            delayed_name_removal,
            use_start_timestamps,
            parser,
            ..config.clone()
        }
    }

    fn flags(&self) -> u64 {
        let ParserOptions { experimental_functions, extended_range_selectors, fill_modifiers } = self.parser;
        let open = |gate: Gate| gate == Gate::Open;
        let flags = [
            self.delayed_name_removal,
            open(experimental_functions),
            open(extended_range_selectors),
            open(fill_modifiers),
            self.use_start_timestamps,
        ];
        flags.iter().rev().fold(0, |bits, flag| bits << 1 | u64::from(*flag))
    }

    fn from_flags(
        lookback_ms: i64,
        subquery_step_ms: i64,
        flags: u64,
        resolution_max_ms: Option<i64>,
    ) -> Self {
        let is_set = |bit: u32| flags >> bit & 1 == 1;
        let gate = |bit| if is_set(bit) { Gate::Open } else { Gate::Closed };
        let parser = ParserOptions {
            experimental_functions: gate(1),
            extended_range_selectors: gate(2),
            fill_modifiers: gate(3),
        };
        let (delayed_name_removal, use_start_timestamps) = (is_set(0), is_set(4));
        Self {
            lookback_ms,
            subquery_step_ms,
            delayed_name_removal,
            use_start_timestamps,
            parser,
            resolution_max_ms,
        }
    }
}

/// Why bytes are no fragment that can be evaluated here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FragmentError {
    #[error("the fragment has version {found}, this process evaluates version {VERSION}")]
    Version { found: u64 },
    #[error("the fragment is damaged: {0}")]
    Read(#[from] ReadError),
}

impl Fragment {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.query.len() + 64);
        push_unsigned(&mut out, VERSION);
        push_bytes(&mut out, self.query.as_bytes());
        push_unsigned(&mut out, self.tree_hash);
        push_signed(&mut out, self.settings.lookback_ms);
        push_signed(&mut out, self.settings.subquery_step_ms);
        push_unsigned(&mut out, self.settings.flags());
        // A resolution is never negative, so this says that there is none.
        push_signed(&mut out, self.settings.resolution_max_ms.unwrap_or(-1));
        push_signed(&mut out, self.grid.start_ms);
        push_signed(&mut out, self.grid.step_ms);
        push_unsigned(&mut out, self.grid.steps as u64);
        push_signed(&mut out, self.end_ms);
        push_unsigned(&mut out, self.samples_max);
        push_unsigned(&mut out, self.memory_bytes_max);
        push_unsigned(&mut out, self.timeout_ms);
        push_unsigned(&mut out, self.tasks.len() as u64);
        for task in &self.tasks {
            push_unsigned(&mut out, task.node.index() as u64);
            push_unsigned(&mut out, task.first as u64);
            push_unsigned(&mut out, task.steps as u64);
        }
        out.into()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FragmentError> {
        let mut cursor = Cursor::new(bytes);
        let version = cursor.unsigned()?;
        if version != VERSION {
            return Err(FragmentError::Version { found: version });
        }
        let query = cursor.text()?.to_owned();
        let tree_hash = cursor.unsigned()?;
        let (lookback_ms, subquery_step_ms) = (cursor.signed()?, cursor.signed()?);
        let (flags, resolution_ms) = (cursor.unsigned()?, cursor.signed()?);
        let resolution_max_ms = (resolution_ms >= 0).then_some(resolution_ms);
        let settings = Settings::from_flags(lookback_ms, subquery_step_ms, flags, resolution_max_ms);
        let (start_ms, step_ms, steps) = (cursor.signed()?, cursor.signed()?, cursor.unsigned()? as usize);
        let end_ms = cursor.signed()?;
        let (samples_max, memory_bytes_max) = (cursor.unsigned()?, cursor.unsigned()?);
        let timeout_ms = cursor.unsigned()?;
        let count = cursor.count(3)?;
        if count > TASKS_MAX || step_ms < 0 || subquery_step_ms <= 0 || lookback_ms < 0 {
            return Err(cursor.malformed("more tasks than a query has nodes, or steps backwards").into());
        }
        let mut tasks = Vec::with_capacity(count);
        for _ in 0..count {
            let node = NodeId(cursor.u32()?);
            tasks.push(Task { node, first: cursor.unsigned()? as usize, steps: cursor.unsigned()? as usize });
        }
        let grid = Grid { start_ms, step_ms, steps };
        Ok(Self {
            query,
            settings,
            grid,
            end_ms,
            tasks,
            tree_hash,
            samples_max,
            memory_bytes_max,
            timeout_ms,
        })
    }
}

/// Returns a hash of a tree that is the same in all processes: over its printed form and the place of each node.
pub(crate) fn hash_of(expr: &Expr) -> u64 {
    let mut hash = Xxh3Default::new();
    hash.update(expr.to_string().as_bytes());
    for (_, node) in expr.nodes() {
        hash.update(&node.span.start.to_le_bytes());
        hash.update(&node.span.end.to_le_bytes());
    }
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::parse;

    fn fragment() -> Fragment {
        let parser = ParserOptions { fill_modifiers: Gate::Open, ..ParserOptions::default() };
        Fragment {
            query: "sum(rate(a[5m])) / sum(b)".to_owned(),
            settings: Settings {
                lookback_ms: 300_000,
                subquery_step_ms: 60_000,
                delayed_name_removal: true,
                use_start_timestamps: false,
                parser,
                resolution_max_ms: Some(300_000),
            },
            grid: Grid { start_ms: -7, step_ms: 15_000, steps: 241 },
            end_ms: 1 << 41,
            tasks: vec![
                Task { node: NodeId(3), first: 0, steps: 200 },
                Task { node: NodeId(5), first: 7, steps: 1 },
            ],
            tree_hash: u64::MAX,
            samples_max: 50_000_000,
            memory_bytes_max: 1 << 30,
            timeout_ms: 120_000,
        }
    }

    #[test]
    fn reads_what_it_writes_and_nothing_damaged() {
        let bytes = fragment().encode();
        assert_eq!(Fragment::decode(&bytes).expect("reads"), fragment());
        for end in 0..bytes.len() {
            assert!(Fragment::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        let mut hostile = fragment();
        hostile.settings.subquery_step_ms = 0;
        assert!(matches!(Fragment::decode(&hostile.encode()), Err(FragmentError::Read(_))));
        let mut later = bytes.to_vec();
        later[0] = VERSION as u8 + 1;
        let refused = Fragment::decode(&later);
        assert!(matches!(refused, Err(FragmentError::Version { found }) if found == VERSION + 1));
    }

    #[test]
    fn trees_are_told_apart_by_meaning_and_by_place() {
        let hash = |query: &str| hash_of(&parse(query).expect("parses"));
        assert_eq!(hash("sum(a)"), hash("sum(a)"));
        assert_ne!(hash("sum(a)"), hash("sum(b)"));
        assert_ne!(hash("sum(a)"), hash("sum( a)"));
    }
}
