//! Applies relabeling rules to labels (Prometheus `model/relabel/relabel.go`).

use config::{RelabelAction, RelabelRule};
use md5::{Digest, Md5};
use model::LabelSetBuilder;

/// What becomes of a target or a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on with the labels as they are now.
    Keep,
    /// It is left out; the labels are as the dropping rule found them.
    Drop,
}

/// Applies rules in order until one drops.
pub fn relabel(labels: &mut LabelSetBuilder, rules: &[RelabelRule]) -> Verdict {
    let dropped = rules.iter().any(|rule| apply(labels, rule) == Verdict::Drop);
    if dropped { Verdict::Drop } else { Verdict::Keep }
}

fn apply(labels: &mut LabelSetBuilder, rule: &RelabelRule) -> Verdict {
    let values: Vec<&str> = rule.source_labels.iter().map(|name| labels.get(name)).collect();
    let value = values.join(&rule.separator);
    let keep = match rule.action {
        RelabelAction::Keep => rule.regex.is_match(&value),
        RelabelAction::Drop => !rule.regex.is_match(&value),
        RelabelAction::KeepEqual => labels.get(&rule.target_label) == value,
        RelabelAction::DropEqual => labels.get(&rule.target_label) != value,
        _ => {
            change(labels, rule, &value);
            true
        }
    };
    if keep { Verdict::Keep } else { Verdict::Drop }
}

fn change(labels: &mut LabelSetBuilder, rule: &RelabelRule, value: &str) {
    match rule.action {
        RelabelAction::Replace => replace(labels, rule, value),
        RelabelAction::Lowercase => {
            labels.set(&rule.target_label, value.to_lowercase());
        }
        RelabelAction::Uppercase => {
            labels.set(&rule.target_label, value.to_uppercase());
        }
        RelabelAction::HashMod => {
            let hash = hash_mod(value, rule.modulus);
            labels.set(&rule.target_label, hash.to_string());
        }
        RelabelAction::LabelMap => {
            let present: Vec<(String, String)> = labels
                .iter()
                .filter(|(_, v)| !v.is_empty())
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect();
            for (name, value) in present {
                if let Some(found) = rule.regex.captures(&name) {
                    labels.set(found.expand(&rule.replacement), value);
                }
            }
        }
        RelabelAction::LabelDrop => remove(labels, |name| rule.regex.is_match(name)),
        RelabelAction::LabelKeep => remove(labels, |name| !rule.regex.is_match(name)),
        RelabelAction::Keep | RelabelAction::Drop | RelabelAction::KeepEqual | RelabelAction::DropEqual => {
            unreachable!("these decide and change nothing")
        }
    }
}

fn replace(labels: &mut LabelSetBuilder, rule: &RelabelRule, value: &str) {
    let Some(found) = rule.regex.captures(value) else { return };
    let target = found.expand(&rule.target_label);
    if rule.is_label_name(&target) {
        // An empty result removes the label.
        labels.set(target, found.expand(&rule.replacement));
    }
}

/// The last eight bytes of the MD5 sum, big-endian, modulo a number.
fn hash_mod(value: &str, modulus: u64) -> u64 {
    let sum = Md5::digest(value.as_bytes());
    let mut last = [0; 8];
    last.copy_from_slice(&sum[8..]);
    // A rule with modulus 0 does not pass the configuration's checks.
    u64::from_be_bytes(last).checked_rem(modulus).unwrap_or(0)
}

fn remove(labels: &mut LabelSetBuilder, unwanted: impl Fn(&str) -> bool) {
    let names: Vec<String> =
        labels.iter().map(|(name, _)| name.to_owned()).filter(|name| unwanted(name)).collect();
    for name in names {
        labels.remove(&name);
    }
}
