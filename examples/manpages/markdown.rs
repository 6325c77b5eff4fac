//! Makes a manual page of a page of the book. Knows the parts of Markdown that the book uses: headings, paragraphs, lists,
//! tables, blocks of code, and in a line code, bold and links.

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

/// Returns a page of the book as the body of a manual page, without its title.
pub fn to_roff(page: &str) -> String {
    let mut roff = Roff::new();
    let mut rest = page.lines().peekable();
    // The columns of the table that is being read.
    let mut columns: Vec<String> = Vec::new();
    let mut text = String::new();
    while let Some(line) = rest.next() {
        if let Some(heading) = line.strip_prefix('#') {
            flush(&mut roff, &mut text);
            let name = plain(heading.trim_start_matches('#').trim());
            match heading.bytes().take_while(|&byte| byte == b'#').count() {
                0 => &mut roff,
                1 if heading.contains('`') => roff.control("SH", [name.as_str()]),
                1 => roff.control("SH", [name.to_uppercase().as_str()]),
                _ => roff.control("SS", [name.as_str()]),
            };
        } else if line.starts_with("```") {
            flush(&mut roff, &mut text);
            roff.control("EX", []);
            for line in rest.by_ref().take_while(|line| !line.starts_with("```")) {
                roff.text([roman(line)]);
            }
            roff.control("EE", []);
        } else if line.starts_with('|') {
            flush(&mut roff, &mut text);
            let cells = cells(line);
            if cells.iter().all(|cell| cell.starts_with("---")) {
                continue;
            }
            if rest.peek().is_some_and(|next| next.starts_with("|---")) {
                columns = cells;
                continue;
            }
            row(&mut roff, &columns, &cells);
        } else if line.is_empty() {
            flush(&mut roff, &mut text);
        } else if line.starts_with("- ") {
            flush(&mut roff, &mut text);
            text = line.to_owned();
        } else if !line.starts_with("<!--") && !line.starts_with("![") {
            text.push_str(if text.is_empty() { "" } else { " " });
            text.push_str(line.trim_start());
        }
    }
    flush(&mut roff, &mut text);
    roff.to_roff()
}

/// Writes a paragraph or an item of a list.
fn flush(roff: &mut Roff, text: &mut String) {
    match text.strip_prefix("- ") {
        Some(item) => roff.control("IP", ["\\(bu", "2"]).text(inline(item)),
        None if text.is_empty() => roff,
        None => roff.control("PP", []).text(inline(text)),
    };
    text.clear();
}

/// Writes a row of a table: the first cell as a term, the last as its text, those between with the names of their columns.
fn row(roff: &mut Roff, columns: &[String], cells: &[String]) {
    let (Some((term, cells)), Some((_, columns))) = (cells.split_first(), columns.split_first()) else { return };
    let Some((meaning, between)) = cells.split_last() else { return };
    let mut text = meaning.clone();
    for (column, cell) in columns.iter().zip(between).filter(|(_, cell)| !cell.is_empty()) {
        text.push_str(&format!(" [{column}: {cell}]"));
    }
    roff.control("TP", []).text(inline(term)).text(inline(&text));
}

/// Returns the cells of a row. A bar after a backslash does not separate cells.
fn cells(line: &str) -> Vec<String> {
    let line = line.trim().trim_start_matches('|').trim_end_matches('|').replace("\\|", "\u{1}");
    line.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect()
}

/// Returns a text with its code and bold words in bold, and only the texts of its links.
fn inline(text: &str) -> Vec<Inline> {
    let text = without_links(text);
    let mut found = Vec::new();
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            found.push(bold(part));
            continue;
        }
        for (at, part) in part.replace("\\*", STAR).split("**").enumerate() {
            let words = part.split('*').enumerate();
            found.extend(words.map(|(word_at, word)| {
                let word = unescaped(word);
                match (at % 2 == 1, word_at % 2 == 1) {
                    (true, _) => bold(word),
                    (false, true) => italic(word),
                    (false, false) => roman(word),
                }
            }));
        }
    }
    found
}

/// Stands for a star that marks nothing.
const STAR: &str = "\u{2}";

/// Returns a text without marks.
fn plain(text: &str) -> String {
    without_links(text).replace(['`', '*'], "")
}

/// Removes the backslashes before characters that mean something to Markdown.
fn unescaped(text: &str) -> String {
    text.replace(STAR, "*").replace("\\<", "<").replace("\\~", "~")
}

/// Replaces links by their texts.
fn without_links(text: &str) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let Some((head, name)) = before.rsplit_once('[') else { break };
        let Some((_, after)) = after.split_once(')') else { break };
        done.push_str(head);
        done.push_str(name);
        rest = after;
    }
    done + rest
}
