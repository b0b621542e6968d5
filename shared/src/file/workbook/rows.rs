//! Rows of a sheet on their way from its cells to records. They lie in a temporary file, of which little is
//! held in memory.

use std::{
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    mem,
};

use tempfile::SpooledTempFile;

use crate::file::records::CellKind;

/// Bytes that stay in memory before a file is made.
pub(super) const HELD: usize = 1 << 20;

/// A row that holds anything.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// Its number, from 1.
    pub(super) line: u64,
    /// The cells that hold anything; a row may have far more that do not.
    pub(super) cells: Vec<Cell>,
    /// Their texts, with a tab behind each.
    pub(super) text: String,
}

/// A cell of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) column: usize,
    /// Bytes of its text.
    pub(super) bytes: usize,
    pub(super) kind: CellKind,
}

impl Row {
    /// The columns, texts and kinds of the cells.
    pub(super) fn cells(&self) -> impl Iterator<Item = (usize, &str, CellKind)> {
        let mut start = 0;
        self.cells.iter().map(move |cell| {
            let text = &self.text[start..start + cell.bytes];
            start += cell.bytes + 1;
            (cell.column, text, cell.kind)
        })
    }
}

/// Takes in rows one after the other.
pub(super) struct Writer(BufWriter<SpooledTempFile>);

impl Writer {
    pub(super) fn new() -> Self {
        Self(BufWriter::new(tempfile::spooled_tempfile(HELD)))
    }

    /// Takes in a row, and leaves an empty one.
    pub(super) fn push(&mut self, row: &mut Row) -> io::Result<()> {
        self.0.write_all(&row.line.to_le_bytes())?;
        self.0.write_all(&(row.cells.len() as u64).to_le_bytes())?;
        for cell in row.cells.drain(..) {
            let kind = match cell.kind {
                CellKind::Text => 0,
                CellKind::Number => 1,
                CellKind::Unvalued => 2,
            };
            let column = (cell.column as u32) << 2 | kind;
            self.0.write_all(&column.to_le_bytes())?;
            self.0.write_all(&(cell.bytes as u32).to_le_bytes())?;
        }
        self.0.write_all(&(row.text.len() as u64).to_le_bytes())?;
        self.0.write_all(row.text.as_bytes())?;
        row.text.clear();
        Ok(())
    }

    /// Lets the rows be read from the first on.
    pub(super) fn finish(self) -> io::Result<Reader> {
        let mut file = self.0.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(Reader(BufReader::new(file)))
    }
}

/// Gives the rows back in their order.
#[derive(Debug)]
pub(super) struct Reader(BufReader<SpooledTempFile>);

impl Reader {
    pub(super) fn next(&mut self) -> io::Result<Option<Row>> {
        let mut line = [0; 8];
        match self.0.read_exact(&mut line) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut row = Row { line: u64::from_le_bytes(line), ..Row::default() };
        let count = self.number()?;
        row.cells.reserve_exact(count as usize);
        for _ in 0..count {
            let (mut column, mut bytes) = ([0; 4], [0; 4]);
            self.0.read_exact(&mut column)?;
            self.0.read_exact(&mut bytes)?;
            let column = u32::from_le_bytes(column);
            let kind = match column & 3 {
                1 => CellKind::Number,
                2 => CellKind::Unvalued,
                _ => CellKind::Text,
            };
            let bytes = u32::from_le_bytes(bytes) as usize;
            row.cells.push(Cell { column: column as usize >> 2, bytes, kind });
        }
        let mut text = vec![0; self.number()? as usize];
        self.0.read_exact(&mut text)?;
        row.text = String::from_utf8(mem::take(&mut text)).map_err(io::Error::other)?;
        Ok(Some(row))
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.0.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}
