//! Rows as PostgreSQL's binary COPY takes them.

use std::io::{Seek, SeekFrom, Write};

use bytes::{BufMut, Bytes};
use shared::{
    amount::{Amount, SCALE},
    file::{
        columns::{ERP_TEXTS, OF_JOB, row_columns},
        trial_balance::{LedgerRow, RowSink},
    },
    message::failure::{BadRow, ErrorCode, Failure, Stage},
    slice::Slice,
};
use tempfile::SpooledTempFile;
use tokio::sync::mpsc;
use uuid::Uuid;

/// The columns of a rejected row.
pub(crate) const REJECTED_COLUMNS: &str = "entity, period, job_id, source_line, column_name, reason, line_text";

/// What a copy begins with.
pub(super) const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const CHUNK: usize = 256 * 1024;
/// Rejected rows that are held in memory, in bytes; more go to a temporary file.
const HELD: usize = 1 << 20;

/// Encodes the rows of a job.
pub(crate) struct RowEncoder {
    /// The fields that every row begins with, and how many fields a row has.
    prefix: Vec<u8>,
    fields: i16,
}

/// Encodes the rows of a slice and hands them on in chunks.
pub(crate) struct RowCopy {
    encoder: RowEncoder,
    buffer: Vec<u8>,
    chunks: mpsc::Sender<Bytes>,
    rejected: Rejected,
}

/// Bad rows that were put aside, as binary COPY takes them.
pub(crate) struct Rejected {
    prefix: Vec<u8>,
    spool: SpooledTempFile,
    /// How many there are.
    pub(crate) count: u64,
}

impl RowEncoder {
    /// An encoder for the rows of one job; `whole` rows carry the job's columns as well.
    pub(crate) fn new(slice: &Slice, job_id: Uuid, whole: bool) -> Self {
        let columns = row_columns().count() as i16;
        if whole {
            Self { prefix: of_job(slice, job_id), fields: OF_JOB.len() as i16 + columns }
        } else {
            Self { prefix: Vec::new(), fields: columns }
        }
    }

    /// Puts a row as COPY takes it.
    pub(crate) fn put(&self, buffer: &mut Vec<u8>, row: &LedgerRow<'_>) {
        buffer.put_i16(self.fields);
        buffer.put_slice(&self.prefix);
        put_row(buffer, row);
    }
}

impl RowCopy {
    /// An encoder for the rows of one job; `whole` rows carry the job's columns as well.
    pub(crate) fn new(slice: &Slice, job_id: Uuid, whole: bool, chunks: mpsc::Sender<Bytes>) -> Self {
        let mut buffer = Vec::with_capacity(CHUNK + CHUNK / 4);
        buffer.put_slice(SIGNATURE);
        let encoder = RowEncoder::new(slice, job_id, whole);
        Self { encoder, buffer, chunks, rejected: Rejected::new(slice, job_id) }
    }

    /// Ends the copy and returns the rows that were put aside.
    ///
    /// # Errors
    /// If nobody takes the rows any more.
    pub(crate) fn finish(mut self) -> Result<Rejected, Failure> {
        self.buffer.put_i16(-1);
        self.send()?;
        Ok(self.rejected)
    }

    fn send(&mut self) -> Result<(), Failure> {
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK + CHUNK / 4));
        self.chunks.blocking_send(chunk.into()).map_err(|_| {
            // The other end has its own error, which is the one that is reported.
            Failure::new(ErrorCode::PostgresUnavailable, Stage::Write, "PostgreSQL took no more rows")
        })
    }
}

impl RowSink for RowCopy {
    fn good(&mut self, row: &LedgerRow<'_>) -> Result<(), Failure> {
        self.encoder.put(&mut self.buffer, row);
        if self.buffer.len() >= CHUNK { self.send() } else { Ok(()) }
    }

    fn rejected(&mut self, row: &BadRow, raw: &str) -> Result<(), Failure> {
        self.rejected.add(row, raw)
    }
}

impl Rejected {
    /// Those of a job, of which there are none yet.
    pub(crate) fn new(slice: &Slice, job_id: Uuid) -> Self {
        Self { prefix: of_job(slice, job_id), spool: SpooledTempFile::new(HELD), count: 0 }
    }

    /// Adds one, with its text as it stands in the file.
    ///
    /// # Errors
    /// If no temporary file can be kept.
    pub(crate) fn add(&mut self, row: &BadRow, raw: &str) -> Result<(), Failure> {
        self.write(row, raw).map_err(|error| {
            let reason = format!("no temporary file can be kept for rejected rows: {error}");
            Failure::new(ErrorCode::StorageUnavailable, Stage::Write, reason)
        })
    }

    fn write(&mut self, row: &BadRow, raw: &str) -> std::io::Result<()> {
        let mut buffer = Vec::new();
        if self.count == 0 {
            buffer.put_slice(SIGNATURE);
        }
        buffer.put_i16(7);
        buffer.put_slice(&self.prefix);
        put_field(&mut buffer, &(row.line as i64).to_be_bytes());
        put_optional(&mut buffer, row.column.as_deref());
        put_text(&mut buffer, &row.reason);
        put_text(&mut buffer, raw);
        self.count += 1;
        self.spool.write_all(&buffer)
    }

    /// The rows as one COPY stream.
    ///
    /// # Errors
    /// If the temporary file cannot be read.
    pub(crate) fn into_stream(mut self) -> std::io::Result<SpooledTempFile> {
        self.spool.write_all(&(-1_i16).to_be_bytes())?;
        self.spool.seek(SeekFrom::Start(0))?;
        Ok(self.spool)
    }
}

/// The fields of [`OF_JOB`].
fn of_job(slice: &Slice, job_id: Uuid) -> Vec<u8> {
    let mut job = Vec::new();
    put_text(&mut job, slice.entity.as_str());
    put_text(&mut job, slice.period.as_str());
    put_field(&mut job, job_id.as_bytes());
    job
}

/// Puts the fields of [`row_columns`]. A new row's review starts with the defaults of the ledger; whether
/// it is new is decided where it is written.
#[expect(clippy::indexing_slicing, reason = "a row has all texts that there are names of")]
fn put_row(buffer: &mut Vec<u8>, row: &LedgerRow<'_>) {
    put_text(buffer, &row.company_code);
    put_text(buffer, &row.account_code);
    put_field(buffer, &(row.line as i64).to_be_bytes());
    let (erp, review) = row.texts.split_at(ERP_TEXTS.len());
    erp.iter().for_each(|text| put_optional(buffer, text.as_deref()));
    put_text(buffer, review[0].as_deref().unwrap_or("medium"));
    put_text(buffer, review[1].as_deref().unwrap_or("pending"));
    review[2..].iter().for_each(|text| put_optional(buffer, text.as_deref()));
    row.amounts.iter().for_each(|amount| match amount {
        Some(amount) => put_numeric(buffer, *amount),
        None => buffer.put_i32(-1),
    });
    match &row.extra {
        Some(json) => {
            buffer.put_i32(json.len() as i32 + 1);
            buffer.put_u8(1);
            buffer.put_slice(json.as_bytes());
        }
        None => buffer.put_i32(-1),
    }
}

/// Puts a value with its length before it.
pub(super) fn put_field(buffer: &mut Vec<u8>, bytes: &[u8]) {
    buffer.put_i32(bytes.len() as i32);
    buffer.put_slice(bytes);
}

fn put_text(buffer: &mut Vec<u8>, text: &str) {
    put_field(buffer, text.as_bytes());
}

fn put_optional(buffer: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => put_text(buffer, text),
        None => buffer.put_i32(-1),
    }
}

/// Puts a `numeric`: groups of four decimal digits, the first weighing 10000^weight.
#[expect(clippy::indexing_slicing, reason = "the groups are a fixed number, and first to last are among them")]
fn put_numeric(buffer: &mut Vec<u8>, amount: Amount) {
    const ONE: u128 = 10_u128.pow(SCALE);
    const FRACTION_GROUPS: usize = SCALE as usize / 4;
    let units = amount.units().unsigned_abs();
    let (mut integer, mut fraction) = ((units / ONE) as u64, (units % ONE) as u64);
    let mut groups = [0_i16; 5 + FRACTION_GROUPS];
    for group in groups[5..].iter_mut().rev() {
        *group = (fraction % 10_000) as i16;
        fraction /= 10_000;
    }
    for group in groups[..5].iter_mut().rev() {
        *group = (integer % 10_000) as i16;
        integer /= 10_000;
    }
    let first = groups.iter().position(|group| *group != 0).unwrap_or(groups.len());
    let last = groups.iter().rposition(|group| *group != 0).map_or(first, |last| last + 1);
    let digits = &groups[first..last];
    // Digits after the point that are shown; those of the last group may end in zeros.
    let scale = match last.saturating_sub(5) {
        _ if digits.is_empty() => 0,
        0 => 0,
        shown => shown * 4 - trailing_zeros(groups[last - 1]),
    };
    buffer.put_i32(8 + digits.len() as i32 * 2);
    buffer.put_i16(digits.len() as i16);
    buffer.put_i16(if digits.is_empty() { 0 } else { 4 - first as i16 });
    buffer.put_i16(if amount.units() < 0 { 0x4000 } else { 0 });
    buffer.put_i16(scale as i16);
    digits.iter().for_each(|group| buffer.put_i16(*group));
}

fn trailing_zeros(group: i16) -> usize {
    [1000, 100, 10].iter().position(|unit| group % unit == 0).map_or(0, |place| 3 - place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(text: &str) -> Vec<i16> {
        let mut buffer = Vec::new();
        put_numeric(&mut buffer, text.parse().unwrap());
        assert_eq!(i32::from_be_bytes(buffer[..4].try_into().unwrap()) as usize, buffer.len() - 4);
        buffer[4..].chunks_exact(2).map(|pair| i16::from_be_bytes(pair.try_into().unwrap())).collect()
    }

    #[test]
    fn amounts_are_encoded_as_postgresql_reads_them() {
        // Groups, weight, sign, scale, digits; as `numeric_send` gives them.
        assert_eq!(numeric("0"), [0, 0, 0, 0]);
        assert_eq!(numeric("1"), [1, 0, 0, 0, 1]);
        assert_eq!(numeric("-12345.67"), [3, 1, 0x4000, 2, 1, 2345, 6700]);
        assert_eq!(numeric("10000"), [1, 1, 0, 0, 1]);
        assert_eq!(numeric("0.0001"), [1, -1, 0, 4, 1]);
        assert_eq!(numeric("0.00000001"), [1, -2, 0, 8, 1]);
        assert_eq!(numeric("15883780430.629999993"), [6, 2, 0, 9, 158, 8378, 430, 6299, 9999, 3000]);
        assert_eq!(numeric("999999999999999999.9999999999999999")[..4], [9, 4, 0, 16]);
    }
}
