//! Draws what a terminal shows as an SVG file.

/// Size of a character in pixels, and the space around the text.
const WIDTH: f64 = 8.0;
const HEIGHT: usize = 18;
const MARGIN: usize = 16;
const FONT: &str = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace";

/// Returns a picture of these lines. Lines that begin with `$ ` are drawn as typed.
pub fn svg(lines: &[String]) -> String {
    let columns = lines.iter().map(|line| plain(line).chars().count()).max().unwrap_or_default();
    let columns = f64::from(u32::try_from(columns).unwrap_or(u32::MAX));
    let (width, height) = ((columns * WIDTH).ceil() + 32.0, lines.len() * HEIGHT + 2 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#1b1f24\"/>\n\
         <g font-family=\"{FONT}\" font-size=\"13\" fill=\"#d0d7de\">\n"
    );
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
        let y = MARGIN + at * HEIGHT + 13;
        // The length fits the text to the columns, whichever font is there.
        let chars = plain(line).trim_end().chars().count();
        let length = f64::from(u32::try_from(chars).unwrap_or(u32::MAX)) * WIDTH;
        let text = match line.strip_prefix("$ ") {
            Some(typed) => format!("<tspan fill=\"#7ee787\">$ {}</tspan>", escaped(typed)),
            None => coloured(line.trim_end()),
        };
        svg.push_str(&format!(
            "<text x=\"{MARGIN}\" y=\"{y}\" textLength=\"{length}\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\">{text}</text>\n"
        ));
    }
    svg + "</g>\n</svg>\n"
}

/// Returns a line with its colours.
fn coloured(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut text = escaped(parts.next().unwrap_or_default());
    for part in parts {
        let Some((codes, rest)) = part.split_once('m') else { continue };
        let colour = match codes {
            "31" => "#ff7b72",
            "32" => "#7ee787",
            "33" => "#f2cc60",
            _ => "#d0d7de",
        };
        text.push_str(&format!("<tspan fill=\"{colour}\">{}</tspan>", escaped(rest)));
    }
    text
}

/// Returns a line without its colours.
fn plain(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.filter_map(|part| part.split_once('m')).fold(first, |text, (_, rest)| text + rest)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
