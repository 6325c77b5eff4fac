//! Parses times as people write them: dates, times of day, `yesterday`, or `2h` for "two hours ago".

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone};

use crate::{io::sys::Zone, model::task::parse_span};

/// A text that is not a time.
#[derive(Debug, thiserror::Error)]
#[error("not a time: use 2h, 3d, now, today, yesterday, 14:30, 2026-11-21, \"2026-11-21 14:30\" or @SECONDS")]
pub struct BadTime;

/// Parses a time in the time zone of `now`. Returns Unix seconds. A date alone means its first second.
///
/// # Errors
/// [`BadTime`]
pub fn parse_when(text: &str, now: DateTime<Zone>) -> Result<i64, BadTime> {
    let text = text.trim();
    if let Some(secs) = text.strip_prefix('@') {
        return secs.parse().map_err(|_| BadTime);
    }
    if let Ok(exact) = DateTime::parse_from_rfc3339(text) {
        return Ok(exact.timestamp());
    }
    let today = now.date_naive();
    let named = match text {
        "now" => return Ok(now.timestamp()),
        "today" => Some(today),
        "yesterday" => today.checked_sub_days(Days::new(1)),
        _ => NaiveDate::parse_from_str(text, "%Y-%m-%d").ok(),
    };
    let at = named.map(|date| date.and_time(NaiveTime::MIN)).or_else(|| {
        let of_day = ["%H:%M:%S", "%H:%M"].iter().find_map(|form| NaiveTime::parse_from_str(text, form).ok());
        of_day.map(|time| today.and_time(time))
    });
    let forms = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"];
    let at = at.or_else(|| forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok()));
    if let Some(at) = at {
        // Of a time that occurs twice because of daylight saving, the earlier one is used. A skipped time is read as if
        // the clock had not been changed yet.
        let zone = now.timezone();
        let earliest = zone.from_local_datetime(&at).earliest().map(|at| at.timestamp());
        let left_out = || {
            let before = zone.offset_from_utc_datetime(&at.checked_sub_days(Days::new(1))?).fix();
            Some(at.and_utc().timestamp() - i64::from(before.local_minus_utc()))
        };
        return earliest.or_else(left_out).ok_or(BadTime);
    }
    let ago = parse_span(text.strip_suffix("ago").unwrap_or(text)).map_err(|_| BadTime)?;
    let ago = i64::try_from(ago.as_secs()).map_err(|_| BadTime)?;
    Ok(now.timestamp().saturating_sub(ago))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads() {
        let now = Zone.with_ymd_and_hms(2026, 11, 21, 12, 0, 0).unwrap();
        let at = |text| parse_when(text, now).map(|secs| now.timestamp() - secs).ok();
        assert_eq!(at("now"), Some(0));
        assert_eq!(at("2h"), Some(7_200));
        assert_eq!(at("90"), Some(90));
        assert_eq!(at("3 days ago"), Some(259_200));
        assert_eq!(at("today"), Some(43_200));
        assert_eq!(at("yesterday"), Some(129_600));
        assert_eq!(at("11:30"), Some(1_800));
        assert_eq!(at("2026-11-21"), Some(43_200));
        assert_eq!(at("2026-11-21 11:59"), Some(60));
        assert_eq!(at("2026-11-21T11:59:30"), Some(30));
        assert_eq!(at(&now.to_rfc3339()), Some(0));
        assert_eq!(parse_when("@1234", now).unwrap(), 1234);
        for text in ["", "soon", "tomorrow", "2026-13-01", "25:00", "@x", "-5m", "2026-11-21 11:59:30:00"] {
            assert!(parse_when(text, now).is_err(), "{text}");
        }
    }
}
