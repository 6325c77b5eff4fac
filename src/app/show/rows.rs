//! Rows as JSON: one array, or one object a line.

use std::io::{self, Write};

use serde::Serialize;

/// The form of many rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsForm {
    /// One JSON array, on one line.
    Array,
    /// JSON lines: one object a line.
    Lines,
}

impl RowsForm {
    /// Returns the text of some consecutive rows, for [`RowsWriter::write`].
    ///
    /// # Errors
    /// When a row cannot be serialized.
    pub fn text(self, rows: impl IntoIterator<Item = impl Serialize>) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        for row in rows {
            match self {
                RowsForm::Array => {
                    text.push(b',');
                    serde_json::to_writer(&mut text, &row)?;
                }
                RowsForm::Lines => {
                    serde_json::to_writer(&mut text, &row)?;
                    text.push(b'\n');
                }
            }
        }
        Ok(text)
    }
}

/// Writes the texts of consecutive rows as a whole.
pub struct RowsWriter<'o> {
    form: RowsForm,
    to: &'o mut dyn Write,
    is_first: bool,
}

impl<'o> RowsWriter<'o> {
    /// Begins the output.
    ///
    /// # Errors
    /// Those of the output.
    pub fn new(form: RowsForm, to: &'o mut dyn Write) -> io::Result<RowsWriter<'o>> {
        if form == RowsForm::Array {
            to.write_all(b"[")?;
        }
        Ok(RowsWriter { form, to, is_first: true })
    }

    /// Writes the next rows, as [`RowsForm::text`] returns them.
    ///
    /// # Errors
    /// Those of the output.
    pub fn write(&mut self, text: &[u8]) -> io::Result<()> {
        // Each row of an array begins with a comma, but the first one.
        let skipped = usize::from(self.form == RowsForm::Array && self.is_first && !text.is_empty());
        self.is_first &= text.is_empty();
        self.to.write_all(&text[skipped..])
    }

    /// Ends the output.
    ///
    /// # Errors
    /// Those of the output.
    pub fn end(self) -> io::Result<()> {
        match self.form {
            RowsForm::Array => self.to.write_all(b"]\n"),
            RowsForm::Lines => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: RowsForm, parts: &[&[i32]]) -> String {
        let mut to = Vec::new();
        let mut writer = RowsWriter::new(form, &mut to).unwrap();
        parts.iter().for_each(|part| writer.write(&form.text(*part).unwrap()).unwrap());
        writer.end().unwrap();
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn parts_make_one_whole() {
        assert_eq!(written(RowsForm::Array, &[&[], &[1, 2], &[], &[3]]), "[1,2,3]\n");
        assert_eq!(written(RowsForm::Array, &[&[], &[]]), "[]\n");
        assert_eq!(written(RowsForm::Lines, &[&[1], &[], &[2, 3]]), "1\n2\n3\n");
        assert_eq!(written(RowsForm::Lines, &[]), "");
    }
}
