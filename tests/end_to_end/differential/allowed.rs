//! The differences that are meant to be, each with its reason. Everything else is a fault.

use super::answer::{Answer, Case, Verdict};

/// A reason why two answers may differ.
pub(super) struct Allowed {
    /// What is different, and why that is no fault.
    pub(super) reason: &'static str,
    /// Tells whether it explains all that is different: our answer first.
    pub(super) covers: fn(&Case, &Answer, &Answer) -> bool,
}

/// All reasons.
pub(super) const ALL: &[Allowed] = &[
    Allowed {
        reason: "after 3.5, sorting in a range query is warned of",
        covers: |case, ours, theirs| {
            let mut ours = ours.clone();
            ours.warnings.retain(|text| !text.starts_with("PromQL warning: sort is ineffective"));
            same(&ours, theirs, case)
        },
    },
    Allowed {
        reason: "after 3.5, the two series that share a match group are named in the order of their labels",
        covers: |case, ours, theirs| {
            let mut theirs = theirs.clone();
            theirs.error = in_order(&theirs.error).unwrap_or_default();
            same(ours, &theirs, case)
        },
    },
    Allowed {
        reason: "after 3.5, notes do not name a metric that has no name",
        covers: |case, ours, theirs| {
            let mut theirs = theirs.clone();
            let shorter = |text: String| text.replace(" for metric name \"\"", "");
            theirs.warnings = theirs.warnings.into_iter().map(shorter).collect();
            theirs.infos = theirs.infos.into_iter().map(shorter).collect();
            same(ours, &theirs, case)
        },
    },
    Allowed {
        reason: "after 3.5, it is told which buckets were raised, of which metric only when names are removed late",
        covers: |case, ours, theirs| {
            let (mut ours, mut theirs) = (ours.clone(), theirs.clone());
            ours.infos = ours.infos.iter().map(|text| monotonicity(text)).collect();
            theirs.infos = theirs.infos.iter().map(|text| monotonicity(text)).collect();
            same(&ours, &theirs, case)
        },
    },
    Allowed {
        reason: "of two faults in one query, that of label_replace() or label_join() is told before its operand's",
        covers: |_, ours, theirs| ours.status == 422 && theirs.error.contains(" in label_"),
    },
    Allowed {
        reason: "after 3.5, one NaN makes the median absolute deviation NaN",
        covers: |case, ours, theirs| {
            case.query.contains("mad_over_time(") && has_nan(ours) && !has_errors(ours, theirs)
        },
    },
    Allowed {
        reason: "after 3.5, the fraction of a classic histogram from within its first bucket is a number",
        covers: |case, ours, theirs| {
            case.query.contains("histogram_fraction(") && has_nan(theirs) && !has_errors(ours, theirs)
        },
    },
    Allowed {
        reason: "info() was defined anew after 3.5: data matchers, and series that are info series",
        covers: |case, ours, theirs| case.query.contains("info(") && !has_errors(ours, theirs),
    },
    Allowed {
        reason: "after 3.5, matches are counted before a comparison filters them",
        covers: |case, ours, theirs| {
            let compares = ["==", "!=", "<", ">"].iter().any(|op| case.query.contains(op));
            compares && theirs.status == 200 && ours.error.starts_with("multiple matches for labels: ")
        },
    },
    Allowed {
        reason: "which of several match groups with duplicate series is named is not specified",
        covers: |_, ours, theirs| {
            let head = "found duplicate series for the match group";
            ours.error.starts_with(head) && theirs.error.starts_with(head)
        },
    },
    Allowed {
        reason: "a label in both ON and GROUP is found, the place depends on parentheses that are long closed",
        covers: |_, ours, theirs| {
            let text = "must not occur in ON and GROUP clause at once";
            ours.error.ends_with(text) && theirs.error.ends_with(text)
        },
    },
    Allowed {
        reason: "after 3.5, durations are read differently, so what is wrong with them is said differently",
        covers: |case, ours, theirs| {
            let told = |answer: &Answer| answer.error.contains("duration") || answer.error.contains("colon");
            let has_durations = case.query.contains(['[', '@']) || case.query.contains("offset");
            let refused = theirs.status == 200 || is_parse_error(theirs);
            has_durations && is_parse_error(ours) && refused && (told(ours) || told(theirs))
        },
    },
    Allowed {
        reason: "after 3.5, the bytes of a duration that is not positive are not told",
        covers: |_, ours, theirs| {
            let text = "duration must be greater than 0";
            ours.status == 400
                && theirs.status == 400
                && ours.error.ends_with(text)
                && theirs.error.ends_with(text)
        },
    },
    Allowed {
        reason: "after 3.5, start and end are keywords, and keywords are named in errors",
        covers: |_, ours, theirs| {
            let named = theirs.error.replace("\"start\"", "<start>").replace("\"end\"", "<end>");
            is_parse_error(ours) && (ours.error == named || theirs.error.contains("<Item "))
        },
    },
];

fn has_nan(answer: &Answer) -> bool {
    answer.series.iter().any(|(_, points)| points.iter().any(|(_, value)| value == "NaN"))
}

fn has_errors(ours: &Answer, theirs: &Answer) -> bool {
    ours.status != 200 || theirs.status != 200
}

fn is_parse_error(answer: &Answer) -> bool {
    answer.error.contains(": parse error: ")
}

fn same(ours: &Answer, theirs: &Answer, case: &Case) -> bool {
    !matches!(ours.compare(theirs, case), Verdict::Different(_))
}

/// Puts the two label sets of an error into order.
fn in_order(error: &str) -> Option<String> {
    let (head, rest) = error.split_once("operation: [{")?;
    let (pair, tail) = rest.split_once("}];")?;
    let (first, second) = pair.split_once("}, {")?;
    let (first, second) = (first.min(second), first.max(second));
    Some(format!("{head}operation: [{{{first}}}, {{{second}}}];{tail}"))
}

/// Removes from a note that counts were raised: of which metric, in which buckets, by how much and when.
fn monotonicity(text: &str) -> String {
    let place = text.rsplit_once(" (").map_or("", |(_, place)| place);
    match text.split_once("for monotonicity (see ") {
        Some((head, _)) => format!("{head}for monotonicity ({place}"),
        None => text.to_owned(),
    }
}
