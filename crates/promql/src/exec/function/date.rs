//! Parts of a date: of the proleptic Gregorian calendar, in UTC, from seconds since the epoch.

use crate::function::FunctionKind as K;

const SECONDS_PER_DAY: i128 = 86_400;

struct Date {
    year: i64,
    /// 1 to 12.
    month: i64,
    /// 1 to 31.
    day: i64,
}

/// Returns whole seconds. What 64 bits do not hold, and NaN, is 2^63: the least number there is, which Prometheus's
/// calendar (on amd64) takes for one more than the greatest.
fn whole(seconds: f64) -> i128 {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if seconds.abs() < BOUND { seconds as i128 } else { 1 << 63 }
}

fn days_of(seconds: f64) -> i64 {
    whole(seconds).div_euclid(SECONDS_PER_DAY) as i64
}

/// Splits days since the epoch. Years are counted from March, so that the leap day comes last (Hinnant, "chrono-compatible
/// low-level date algorithms").
fn date(days: i64) -> Date {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Date { year, month, day }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(date: &Date) -> i64 {
    match date.month {
        2 => 28 + i64::from(is_leap(date.year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn day_of_year(date: &Date) -> i64 {
    (1..date.month).map(|month| days_in_month(&Date { month, ..*date })).sum::<i64>() + date.day
}

/// Prints a time as RFC 3339 has it, `2006-01-02T15:04:05Z`; milliseconds are cut off.
pub(in crate::exec) fn text(time_ms: i64) -> String {
    let seconds = i128::from(time_ms / 1000);
    let Date { year, month, day } = date(seconds.div_euclid(SECONDS_PER_DAY) as i64);
    let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Returns the function of a kind, if it is one of these.
pub(super) fn function(kind: K) -> Option<fn(f64) -> f64> {
    Some(match kind {
        K::Minute => |s| (whole(s).rem_euclid(3600) / 60) as f64,
        K::Hour => |s| (whole(s).rem_euclid(SECONDS_PER_DAY) / 3600) as f64,
        // The epoch was a Thursday; Sunday is 0.
        K::DayOfWeek => |s| (days_of(s) + 4).rem_euclid(7) as f64,
        K::DayOfMonth => |s| date(days_of(s)).day as f64,
        K::DayOfYear => |s| day_of_year(&date(days_of(s))) as f64,
        K::DaysInMonth => |s| days_in_month(&date(days_of(s))) as f64,
        K::Month => |s| date(days_of(s)).month as f64,
        K::Year => |s| date(days_of(s)).year as f64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_around_leap_days_and_the_epoch() {
        let part = |kind, s: f64| function(kind).expect("a date function")(s);
        // 2024-02-29 23:59:59
        let leap = 1_709_251_199.0;
        assert_eq!(part(K::Year, leap), 2024.0);
        assert_eq!(part(K::Month, leap), 2.0);
        assert_eq!(part(K::DayOfMonth, leap), 29.0);
        assert_eq!(part(K::DayOfYear, leap), 60.0);
        assert_eq!(part(K::DaysInMonth, leap), 29.0);
        assert_eq!(part(K::DayOfWeek, leap), 4.0);
        assert_eq!(part(K::Hour, leap), 23.0);
        assert_eq!(part(K::Minute, leap), 59.0);
        // What is no time at all is one second after the last one.
        for nothing in [f64::NAN, f64::INFINITY, 1e300, i64::MIN as f64] {
            assert_eq!(part(K::Year, nothing), 292_277_026_596.0);
            assert_eq!(part(K::DayOfYear, nothing), 339.0);
            assert_eq!(part(K::Hour, nothing), 15.0);
            assert_eq!(part(K::Minute, nothing), 30.0);
        }
        // 1969-12-31 23:59:59
        assert_eq!(part(K::Year, -1.0), 1969.0);
        assert_eq!(part(K::DayOfYear, -1.0), 365.0);
        assert_eq!(part(K::DayOfWeek, -1.0), 3.0);
    }
}
