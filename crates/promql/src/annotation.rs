//! Annotations: what a query's result should be read with.
//!
//! Equal texts at equal places are one annotation; the place is added at the end, as `(line:column)`.

use std::collections::BTreeMap;

use crate::ast::Span;
use crate::error::position;

/// How many different annotations one query may gather; further ones are dropped.
const GATHERED_MAX: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Warning,
    Info,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    /// By level and text; the place is the first one in the query.
    found: BTreeMap<(Level, String), Span>,
}

impl Annotations {
    pub(crate) fn add(&mut self, level: Level, text: String, span: Span) {
        if self.found.len() >= GATHERED_MAX {
            return;
        }
        let place = self.found.entry((level, text)).or_insert(span);
        *place = (*place).min(span);
    }

    /// Adds all of another evaluation.
    pub(crate) fn extend(&mut self, other: Self) {
        other.found.into_iter().for_each(|((level, text), span)| self.add(level, text, span));
    }

    /// Returns all, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Level, &str, Span)> {
        self.found.iter().map(|((level, text), span)| (*level, text.as_str(), *span))
    }

    /// Returns warnings and infos, at most so many of each, and then how many more there were.
    pub(crate) fn into_texts(self, query: &str, max: usize) -> (Vec<String>, Vec<String>) {
        let (mut warnings, mut infos) = (Vec::new(), Vec::new());
        for ((level, text), span) in self.found {
            let (line, column) = position(query, span.start);
            match level {
                Level::Warning => warnings.push(format!("PromQL warning: {text} ({line}:{column})")),
                Level::Info => infos.push(format!("PromQL info: {text} ({line}:{column})")),
            }
        }
        truncate(&mut warnings, max, "warning");
        truncate(&mut infos, max, "info");
        (warnings, infos)
    }
}

fn truncate(texts: &mut Vec<String>, max: usize, level: &str) {
    if texts.len() > max {
        let more = texts.len() - max;
        texts.truncate(max);
        texts.push(format!("{more} more {level} annotations omitted"));
    }
}
