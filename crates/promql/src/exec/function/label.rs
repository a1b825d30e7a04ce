//! `label_replace` and `label_join`: labels only, samples stay.

use std::collections::HashMap;

use model::labels::METRIC_NAME;
use model::{LabelSet, Regexp};

use super::{Collisions, Context, Data, Vector};
use crate::ast::NodeId;
use crate::error::QueryError;
use crate::parser::text::quote_bytes;
use crate::plan::Grid;

fn label_name<'a>(bytes: &'a [u8], role: &str, function: &str) -> Result<&'a str, QueryError> {
    match std::str::from_utf8(bytes) {
        Ok(name) if !name.is_empty() => Ok(name),
        _ => {
            let text = String::from_utf8_lossy(bytes);
            Err(QueryError::Execution(format!("invalid {role} label name in {function}(): {text}")))
        }
    }
}

fn utf8<'a>(bytes: &'a [u8], function: &str) -> Result<&'a str, QueryError> {
    std::str::from_utf8(bytes).map_err(|_| {
        QueryError::Execution(format!("{function}() needs UTF-8 texts, got {}", quote_bytes(bytes)))
    })
}

impl Context<'_> {
    pub(super) fn label_replace(
        &self,
        args: &[NodeId],
        grid: Grid,
        results: &mut [Option<Data>],
    ) -> Result<Vector, QueryError> {
        const NAME: &str = "label_replace";
        let mut vector = self.take_vector(args[0], grid, results);
        let texts: Vec<Box<[u8]>> = args[1..].iter().map(|arg| self.take_text(*arg, results)).collect();
        let pattern = utf8(&texts[3], NAME)?;
        let regexp = Regexp::new(pattern).map_err(|_| {
            QueryError::Execution(format!("invalid regular expression in label_replace(): {pattern}"))
        })?;
        let target = label_name(&texts[0], "destination", NAME)?;
        let (template, source) = (utf8(&texts[1], NAME)?, utf8(&texts[2], NAME)?);
        self.note_overwritten(&vector, target);
        let mut expanded: HashMap<String, Option<String>> = HashMap::new();
        for series in &mut vector.series {
            let value = series.labels.get(source);
            let replacement = match expanded.get(value) {
                Some(known) => known.clone(),
                None => {
                    let replacement = regexp.captures(value).map(|found| found.expand(template));
                    self.charge(value.len() + replacement.as_ref().map_or(0, String::len))?;
                    expanded.insert(value.to_owned(), replacement.clone());
                    replacement
                }
            };
            if let Some(replacement) = replacement {
                series.labels = self.with_label(&series.labels, target, replacement)?;
                series.drop_name &= target != METRIC_NAME;
            }
        }
        vector.join_equal(Collisions::Merge)?;
        Ok(vector)
    }

    pub(super) fn label_join(
        &self,
        args: &[NodeId],
        grid: Grid,
        results: &mut [Option<Data>],
    ) -> Result<Vector, QueryError> {
        const NAME: &str = "label_join";
        let mut vector = self.take_vector(args[0], grid, results);
        let texts: Vec<Box<[u8]>> = args[1..].iter().map(|arg| self.take_text(*arg, results)).collect();
        let separator = utf8(&texts[1], NAME)?;
        let mut sources = Vec::new();
        for text in &texts[2..] {
            sources.push(label_name(text, "source", NAME)?);
        }
        let target = label_name(&texts[0], "destination", NAME)?;
        self.note_overwritten(&vector, target);
        for series in &mut vector.series {
            let values: Vec<&str> = sources.iter().map(|source| series.labels.get(source)).collect();
            series.labels = self.with_label(&series.labels, target, values.join(separator))?;
            series.drop_name &= target != METRIC_NAME;
        }
        vector.join_equal(Collisions::Merge)?;
        Ok(vector)
    }

    /// Sets a label, after its bytes are reserved: texts in a query can be long, and series many.
    fn with_label(&self, labels: &LabelSet, name: &str, value: String) -> Result<LabelSet, QueryError> {
        self.budget.check()?;
        self.charge(labels.as_bytes().len() + name.len() + value.len())?;
        let mut builder = labels.to_builder();
        builder.set(name, value);
        Ok(builder.build())
    }

    /// Series that differ in a label may become equal when it is written.
    fn note_overwritten(&self, vector: &Vector, label: &str) {
        if vector.series.iter().any(|series| !series.labels.get(label).is_empty()) {
            self.note_unmergeable();
        }
    }
}
