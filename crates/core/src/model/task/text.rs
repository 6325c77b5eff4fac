//! Durations, sizes and names as text.

use std::time::Duration;

/// Rounds seconds to milliseconds; finer digits are noise in a listing.
pub fn round_ms(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// Formats a duration in the form that options accept: `30s`, `1m30s`, `2h`, `0.5s`.
pub fn span(duration: Duration) -> String {
    let secs = duration.as_secs();
    let millis = duration.subsec_millis();
    if secs < 60 && millis > 0 {
        return format!("{}s", round_ms(duration.as_secs_f64()));
    }
    let mut text = String::new();
    for (count, unit) in [(secs / 86_400, 'd'), (secs / 3_600 % 24, 'h'), (secs / 60 % 60, 'm'), (secs % 60, 's')] {
        if count > 0 || (unit == 's' && text.is_empty()) {
            text.push_str(&count.to_string());
            text.push(unit);
        }
    }
    text
}

/// Formats a number of bytes: `1.5 MiB`.
pub fn size(bytes: i64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    if size < 1024.0 {
        return format!("{bytes} B");
    }
    let mut unit = "";
    for next in UNITS {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, next);
    }
    format!("{size:.1} {unit}")
}

/// An empty or blank name.
#[derive(Debug, thiserror::Error)]
#[error("a name must not be empty")]
pub struct BadName;

/// Checks the name of a task: any text that is not blank.
///
/// # Errors
/// [`BadName`]
pub fn parse_name(text: &str) -> Result<String, BadName> {
    if text.trim().is_empty() { Err(BadName) } else { Ok(text.to_owned()) }
}

/// A text that is not a duration.
#[derive(Debug, thiserror::Error)]
#[error("not a duration: expected seconds, or numbers with s, m, h, d or w, such as 90, 1.5s, 5m, 1h30m")]
pub struct BadSpan;

/// A text that is not a duration greater than zero.
#[derive(Debug, thiserror::Error)]
pub enum BadPositiveSpan {
    /// Not a duration.
    #[error(transparent)]
    Span(#[from] BadSpan),
    /// Zero.
    #[error("must be greater than 0, such as 30s or 5m")]
    None,
}

/// Parses a duration greater than zero, for intervals and timeouts.
///
/// # Errors
/// [`BadPositiveSpan`]
pub fn parse_positive_span(text: &str) -> Result<Duration, BadPositiveSpan> {
    match parse_span(text)? {
        Duration::ZERO => Err(BadPositiveSpan::None),
        span => Ok(span),
    }
}

/// Parses a duration: a bare number is seconds; `90s`, `5m`, `2h`, `1d`, `1w`, `1h30m` work.
pub fn parse_span(text: &str) -> Result<Duration, BadSpan> {
    let mut total = 0f64;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(BadSpan);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| BadSpan)?;
        let after = rest[digits..].trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let scale = match &after[..letters] {
            // A number without a unit must stand alone: `1h30` could mean minutes or seconds.
            "" if digits == text.trim().len() => 1.0,
            "ms" => 0.001,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3_600.0,
            "d" | "day" | "days" => 86_400.0,
            "w" | "week" | "weeks" => 604_800.0,
            _ => return Err(BadSpan),
        };
        total += number * scale;
        rest = after[letters..].trim_start();
    }
    Duration::try_from_secs_f64(total).map_err(|_| BadSpan)
}

/// Formats a text for one line of a terminal, with control characters escaped (`\u{1b}`).
pub fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(
            [0, 1023, 1024, 150_000_000, 1 << 45].map(size),
            ["0 B", "1023 B", "1.0 KiB", "143.1 MiB", "32.0 TiB"]
        );
    }

    #[test]
    fn spans_read_and_print() {
        let read = |text| parse_span(text).map(|d| d.as_millis()).ok();
        assert_eq!(read("30"), Some(30_000));
        assert_eq!(read("1.5"), Some(1_500));
        assert_eq!(read("90s"), Some(90_000));
        assert_eq!(read("250ms"), Some(250));
        assert_eq!(read("5m"), Some(300_000));
        assert_eq!(read("1h30m"), Some(5_400_000));
        assert_eq!(read("1h 30m"), Some(5_400_000));
        assert_eq!(read("2d"), Some(172_800_000));
        assert_eq!(read("1w"), Some(604_800_000));
        for text in ["", " ", "s", "-1", "1x", "1h30", "1..5", "1e400", "99999999999999999999w", "5 5", "NaN", "inf"] {
            assert_eq!(read(text), None, "{text}");
        }
        let print = |millis| span(Duration::from_millis(millis));
        assert_eq!(print(30_000), "30s");
        assert_eq!(print(500), "0.5s");
        assert_eq!(print(0), "0s");
        assert_eq!(print(7_200_000), "2h");
        assert_eq!(print(90_000), "1m30s");
        assert_eq!(print(90_500), "1m30s");
    }
}
