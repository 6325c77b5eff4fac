//! Formats the results as one table, with the necessary arithmetic. Measures nothing.

use std::time::Duration;

/// Why a figure could not be measured: verb, object, cause.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
/// A figure, or why it could not be measured.
pub type Result<T> = std::result::Result<T, Failure>;

/// One line of the table.
pub struct Row {
    /// The work, in the words of `docs/benchmarks.md`.
    pub work: &'static str,
    /// The result.
    pub measured: String,
    /// Results of other programs for the same work in the same run.
    pub peers: Vec<String>,
    /// The target.
    pub target: &'static str,
    /// Whether the target is met.
    pub holds: bool,
    /// Details, printed below the table.
    pub details: Vec<String>,
}

/// Formats the rows as a Markdown table for `docs/benchmarks.md`, with details and a summary below.
pub fn table(outcomes: &[(&'static str, Result<Row>)]) -> String {
    let mut cells = vec![["work", "measured", "peers in the same run", "target", "holds"].map(str::to_owned)];
    let mut details = Vec::new();
    for (name, outcome) in outcomes {
        match outcome {
            Ok(row) => {
                let peers = if row.peers.is_empty() { "–".to_owned() } else { row.peers.join("; ") };
                let holds = if row.holds { "yes" } else { "NO" }.to_owned();
                cells.push([row.work.to_owned(), row.measured.clone(), peers, row.target.to_owned(), holds]);
                details.extend(row.details.iter().map(|detail| format!("- {name}: {detail}\n")));
            }
            Err(cause) => {
                cells.push([(*name).to_owned(), "failed".to_owned(), "–".to_owned(), "–".to_owned(), "–".to_owned()]);
                details.push(format!("- {name}: failed: {cause}\n"));
            }
        }
    }
    let mut widths = [0; 5];
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for (number, row) in cells.iter().enumerate() {
        for (cell, width) in row.iter().zip(widths) {
            text.push_str(&format!("| {cell:width$} "));
        }
        text.push_str("|\n");
        if number == 0 {
            text.extend(widths.map(|width| format!("|{}", "-".repeat(width + 2))));
            text.push_str("|\n");
        }
    }
    text.push('\n');
    text.extend(details);
    let held = outcomes.iter().filter(|(_, outcome)| outcome.as_ref().is_ok_and(|row| row.holds)).count();
    let failed = outcomes.iter().filter(|(_, outcome)| outcome.is_err()).count();
    text.push_str(&format!("\n{held} of {} rows hold", outcomes.len()));
    if failed > 0 {
        text.push_str(&format!(", {failed} could not be measured"));
    }
    text.push('\n');
    text
}

/// Returns the value below which this share (0 to 1) of the values lies; 0 if there are none.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * sorted.len().saturating_sub(1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    match (sorted.get(below), sorted.get(above)) {
        (Some(low), Some(high)) => low + (high - low) * (place - place.floor()),
        _ => 0.0,
    }
}

/// Returns the median.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// Converts a duration to milliseconds, the unit of this table.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
