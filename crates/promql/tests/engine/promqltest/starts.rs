//! Lines of start timestamps, `metric@st -1m _ 0 30s-5sx4`: signed durations relative to each point's own time.

use super::script::time;

/// Parses what follows `@st` in a line; `None` where a point has no start timestamp.
pub(super) fn parse_starts(line: &str) -> Result<Vec<Option<i64>>, String> {
    let (_, values) = line.rsplit_once("@st").ok_or_else(|| format!("no @st in {line:?}"))?;
    let mut starts = Vec::new();
    for item in values.split_whitespace() {
        let (value, times) = item.split_once('x').map_or((item, None), |(value, times)| (value, Some(times)));
        let times: usize = times.map_or(Ok(0), str::parse).map_err(|_| format!("not a count: {item:?}"))?;
        if value == "_" {
            starts.extend(std::iter::repeat_n(None, times.max(1)));
            continue;
        }
        let step_at = value.rfind(['+', '-']).filter(|at| *at > 0).unwrap_or(value.len());
        let (first, step) = (signed(&value[..step_at])?, signed(&value[step_at..])?);
        starts.extend((0..=times as i64).map(|index| Some(first + index * step)));
    }
    Ok(starts)
}

/// Parses a duration with a sign or none; nothing is 0.
fn signed(text: &str) -> Result<i64, String> {
    if text.is_empty() { Ok(0) } else { time(text.strip_prefix('+').unwrap_or(text)) }
}
