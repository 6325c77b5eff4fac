//! Tables: columns that fit the width of a terminal, in the colours of states and outcomes. Returns strings.
//!
//! A list of thousands of rows is written on several threads, so the cells of a part of the rows stand one after the
//! other in one text ([`Cells`]) instead of in a string each.

use std::{borrow::Cow, fmt::Display};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::io::sys;

/// A column of a table.
pub struct Column {
    name: &'static str,
    kind: Kind,
    /// On a narrow terminal, columns of the lowest rank are omitted first. Columns of rank 9 are never omitted.
    rank: u8,
    /// Whether the column is shown if it is empty.
    keep: bool,
}

/// The content of a column.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Numbers: right-aligned and never truncated, because a truncated number is another number.
    Number,
    /// Fixed words of this program: never truncated.
    Word,
    /// Text of users: truncated if space is short.
    Text,
    /// The state of a task: coloured by its first word, never truncated.
    State,
    /// An outcome: coloured by its first word, truncated if space is short.
    Outcome,
}

impl Kind {
    fn is_cut(self) -> bool {
        match self {
            Kind::Text | Kind::Outcome => true,
            Kind::Number | Kind::Word | Kind::State => false,
        }
    }

    fn is_painted(self) -> bool {
        match self {
            Kind::State | Kind::Outcome => true,
            Kind::Number | Kind::Word | Kind::Text => false,
        }
    }
}

/// Returns a column; see the fields of [`Column`].
pub const fn column(name: &'static str, kind: Kind, rank: u8, keep: bool) -> Column {
    Column { name, kind, rank, keep }
}

/// Blanks between two columns.
const GAP: usize = 2;
/// Width to which texts are truncated before a column is omitted.
const SHORTEST_TEXT: usize = 12;

/// The cells of consecutive rows, in the order of the columns.
#[derive(Debug)]
pub struct Cells {
    columns: usize,
    text: String,
    /// For each cell, where it ends in `text` and its width in columns of a terminal.
    ends: Vec<(usize, usize)>,
    /// The width of the widest cell of each column.
    widest: Vec<usize>,
}

impl Cells {
    /// Returns the cells of no row yet, for a table of this many columns.
    pub fn new(columns: usize, rows: usize) -> Cells {
        let (text, ends) = (String::with_capacity(rows * 64), Vec::with_capacity(rows * columns));
        Cells { columns, text, ends, widest: vec![0; columns] }
    }

    /// Adds the next cell.
    pub fn add(&mut self, cell: &str) {
        self.text.push_str(cell);
        self.end_cell();
    }

    /// Adds the next cell from a value.
    pub fn add_value(&mut self, value: impl Display) {
        use std::fmt::Write as _;
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{value}");
        self.end_cell();
    }

    /// Adds the next cell; an empty one for `None`.
    pub fn add_some(&mut self, value: Option<impl Display>) {
        match value {
            Some(value) => self.add_value(value),
            None => self.end_cell(),
        }
    }

    fn end_cell(&mut self) {
        let start = self.ends.last().map_or(0, |(end, _)| *end);
        let width = width_of(&self.text[start..]);
        let column = self.ends.len() % self.columns;
        self.widest[column] = self.widest[column].max(width);
        self.ends.push((self.text.len(), width));
    }

    /// Yields each row: the text of its cells and their widths.
    fn rows(&self) -> impl Iterator<Item = impl Iterator<Item = (&str, usize)>> {
        let mut start = 0;
        self.ends.chunks(self.columns).map(move |row| {
            let mut from = start;
            start = row.last().map_or(start, |(end, _)| *end);
            row.iter().map(move |(end, width)| {
                let cell = &self.text[from..*end];
                from = *end;
                (cell, *width)
            })
        })
    }
}

/// Returns a table of rows whose cells are strings.
pub fn table(
    columns: &[Column],
    rows: impl IntoIterator<Item = Vec<String>>,
    width: Option<u16>,
    colours: bool,
) -> String {
    let mut cells = Cells::new(columns.len(), 0);
    for row in rows {
        row.iter().for_each(|cell| cells.add(cell));
    }
    table_of(columns, &[cells], width, colours)
}

/// Returns a table without empty columns, at most `width` wide: first texts are truncated, then columns of the lowest
/// ranks are omitted. Each part of the rows is laid out on its own processor.
pub fn table_of(columns: &[Column], parts: &[Cells], width: Option<u16>, colours: bool) -> String {
    let widest = |index: usize| parts.iter().map(|part| part.widest[index]).max().unwrap_or(0);
    let natural: Vec<usize> =
        columns.iter().enumerate().map(|(index, column)| widest(index).max(column.name.len())).collect();
    let mut shown: Vec<usize> = (0..columns.len()).filter(|&index| columns[index].keep || widest(index) > 0).collect();
    let mut widths = natural.clone();
    if let Some(width) = width.map(usize::from) {
        let shortest = |index: usize| match columns[index].kind {
            kind if kind.is_cut() => natural[index].min(SHORTEST_TEXT),
            _ => natural[index],
        };
        let needed = |shown: &[usize]| shown.iter().map(|&index| shortest(index) + GAP).sum::<usize>() - GAP;
        while needed(&shown) > width {
            let Some(least) = shown.iter().copied().filter(|&i| columns[i].rank < 9).min_by_key(|&i| columns[i].rank)
            else {
                break;
            };
            shown.retain(|&index| index != least);
        }
        // Spare width goes to the texts: to higher ranks first, and among equal ranks to the last column, an outcome.
        let mut spare = width.saturating_sub(needed(&shown));
        let mut order = shown.clone();
        order.sort_by_key(|&index| std::cmp::Reverse((columns[index].rank, index)));
        for index in order {
            let wish = natural[index] - shortest(index);
            widths[index] = shortest(index) + wish.min(spare);
            spare -= wish.min(spare);
        }
    }
    let layout: Vec<Option<(Kind, usize)>> =
        (0..columns.len()).map(|index| shown.contains(&index).then(|| (columns[index].kind, widths[index]))).collect();
    let mut text = String::new();
    write_row(&mut text, &layout, columns.iter().map(|column| (column.name, column.name.len())), false);
    let line = layout.iter().flatten().map(|(_, width)| width + GAP).sum::<usize>();
    let written = sys::on_all_processors(parts, 1, |parts| {
        let rows = parts.iter().map(|part| part.ends.len() / part.columns.max(1)).sum::<usize>();
        let mut text = String::with_capacity(rows * line);
        for row in parts.iter().flat_map(Cells::rows) {
            text.push('\n');
            write_row(&mut text, &layout, row, colours);
        }
        vec![text]
    });
    written.iter().for_each(|part| text.push_str(part));
    text
}

/// Writes one line: of each column that is shown, its cell in the width that the column has.
fn write_row<'c>(
    text: &mut String,
    layout: &[Option<(Kind, usize)>],
    cells: impl Iterator<Item = (&'c str, usize)>,
    colours: bool,
) {
    const BLANKS: &str = "                                                                ";
    // Blanks are written only before the next cell, so that no line ends with blanks.
    let mut blanks = 0;
    for (place, (cell, natural)) in layout.iter().zip(cells) {
        let Some((kind, width)) = *place else { continue };
        let (cell, taken) = match natural <= width {
            true => (Cow::Borrowed(cell), natural),
            false => {
                let cut = cut(cell, width);
                let taken = width_of(&cut);
                (cut, taken)
            }
        };
        let spare = width.saturating_sub(taken);
        let (before, after) = if kind == Kind::Number { (spare, 0) } else { (0, spare) };
        blanks += before;
        if !cell.is_empty() {
            while blanks > 0 {
                let some = blanks.min(BLANKS.len());
                text.push_str(&BLANKS[..some]);
                blanks -= some;
            }
            match colour(&cell).filter(|_| colours && kind.is_painted()) {
                Some(number) => text.push_str(&format!("\x1b[{number}m{cell}\x1b[0m")),
                None => text.push_str(&cell),
            }
        }
        blanks += after + GAP;
    }
}

/// Returns the colour of a status or an outcome, as the parameter of an SGR sequence.
fn colour(text: &str) -> Option<u8> {
    let word = text.split([' ', ':']).next().unwrap_or_default();
    match word {
        "OK" => Some(32),
        "WARNINGS" | "SILENT" | "STOPPING" | "PAUSED" => Some(33),
        "ERROR" | "STALLED" => Some(31),
        "unknown" | "ORPHANED" => Some(35),
        _ => None,
    }
}

/// Returns the width of a text in columns of a terminal.
fn width_of(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.width() }
}

/// Truncates a text to a width in columns of a terminal.
fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if width_of(text) <= width {
        return Cow::Borrowed(text);
    }
    let (mut short, mut taken) = (String::new(), 0);
    for c in text.chars() {
        taken += c.width().unwrap_or(0);
        if taken + 1 > width {
            break;
        }
        short.push(c);
    }
    short.push('…');
    Cow::Owned(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: [Column; 4] = [
        column("A", Kind::Number, 9, true),
        column("B", Kind::Word, 9, false),
        column("NAME", Kind::Text, 9, true),
        column("INFO", Kind::Text, 0, false),
    ];

    fn row(cells: [&str; 4]) -> Vec<String> {
        cells.map(str::to_owned).to_vec()
    }

    #[test]
    fn columns_that_say_nothing_are_left_out() {
        let rows = vec![row(["1", "", "x", ""]), row(["10", "", "", ""])];
        assert_eq!(table(&SOME, rows, None, false), " A  NAME\n 1  x\n10");
    }

    #[test]
    fn a_narrow_terminal_cuts_texts_first_and_then_drops_columns() {
        let rows = || vec![row(["1", "", "a name of twenty-four ch", "some information"])];
        let lines = |width| table(&SOME, rows(), Some(width), false).lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(60)[1], "1  a name of twenty-four ch  some information");
        assert_eq!(lines(40)[1], "1  a name of twenty-four …  some inform…");
        assert_eq!(lines(29)[1], "1  a name of t…  some inform…");
        assert_eq!(lines(28), ["A  NAME", "1  a name of twenty-four ch"]);
        assert_eq!(lines(16), ["A  NAME", "1  a name of tw…"]);
        for width in 1..60 {
            let widest = lines(width).iter().map(|line| line.width()).max().unwrap();
            assert!(widest <= usize::from(width).max(15), "{width}: {widest}");
        }
    }

    #[test]
    fn states_are_coloured_where_they_stand() {
        const STATES: [Column; 3] = [
            column("NAME", Kind::Text, 9, true),
            column("STATUS", Kind::State, 9, true),
            column("X", Kind::Word, 9, true),
        ];
        let row = |name: &str, state: &str| vec![name.to_owned(), state.to_owned(), "ERROR".to_owned()];
        let rows = vec![row("日本", "OK"), row("ERROR", "RUNNING"), row("", "ERROR: x y")];
        assert_eq!(
            table(&STATES, rows, Some(80), true),
            "NAME   STATUS      X\n日本   \x1b[32mOK\x1b[0m          ERROR\n\
             ERROR  RUNNING     ERROR\n       \x1b[31mERROR: x y\x1b[0m  ERROR"
        );
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(cut("日本語の名前", 7), "日本語…");
        assert_eq!(cut("日本", 4), "日本");
    }

    #[test]
    fn parts_make_one_table() {
        let part = |cells: &[[&str; 4]]| {
            let mut part = Cells::new(SOME.len(), cells.len());
            cells.iter().flatten().for_each(|cell| part.add(cell));
            part
        };
        let parts = [part(&[["1", "", "x", ""], ["2", "", "é", ""]]), part(&[]), part(&[["10", "", "", "y"]])];
        assert_eq!(table_of(&SOME, &parts, None, false), " A  NAME  INFO\n 1  x\n 2  é\n10        y");
    }
}
