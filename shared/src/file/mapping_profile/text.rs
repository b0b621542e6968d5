//! How a file is written: encoding, delimiter, quotes, header.

use serde::{Deserialize, Serialize, Serializer};

/// How a file is written. Compression and workbooks are recognised by their first bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextFormat {
    /// The encodings of files without a byte order mark, the first that fits; otherwise UTF-8.
    pub encoding: Encodings,
    /// What separates fields; otherwise found out from the header.
    pub delimiter: Option<Delimiter>,
    /// What surrounds fields that hold a delimiter.
    pub quote: Quote,
    /// Whether a quoted field may go over several lines.
    pub line_breaks_in_quotes: bool,
    /// What ends a record.
    pub line_end: LineEnd,
    /// Lines before the header.
    pub skip_lines: u64,
    /// Whether there is a header.
    pub header: HeaderLine,
    /// Cells by which the header is told from the title lines above it.
    pub header_contains: Vec<HeaderCell>,
    /// Records that the header goes over, whose cells are joined.
    pub header_rows: CellRow,
    /// Lines below the header that hold no data.
    pub skip_after_header: u64,
    /// The columns' names where the file has no header.
    pub column_names: Vec<String>,
    /// What two columns of one name are.
    pub repeated_headers: RepeatedHeaders,
    /// What a record with fewer fields than the header is.
    pub short_records: ShortRecords,
    /// What a record with more fields than the header is.
    pub long_records: LongRecords,
    /// Whether each record begins with a delimiter.
    pub leading_delimiter: bool,
    /// Whether each record ends with a delimiter.
    pub trailing_delimiter: bool,
    /// Whether spaces around cells are padding; otherwise texts are kept as they stand.
    pub trim_cells: bool,
    /// The sheet of a workbook; otherwise the first.
    pub sheet: Option<Sheet>,
}

impl Default for TextFormat {
    fn default() -> Self {
        Self {
            encoding: Encodings::default(),
            delimiter: None,
            quote: Quote(Some(b'"')),
            line_breaks_in_quotes: true,
            line_end: LineEnd::Any,
            skip_lines: 0,
            header: HeaderLine::Assumed,
            header_contains: Vec::new(),
            header_rows: CellRow(1),
            skip_after_header: 0,
            column_names: Vec::new(),
            repeated_headers: RepeatedHeaders::Refuse,
            short_records: ShortRecords::Refuse,
            long_records: LongRecords::Refuse,
            leading_delimiter: false,
            trailing_delimiter: false,
            trim_cells: false,
            sheet: None,
        }
    }
}

impl TextFormat {
    /// The key that does not go with the others, and why.
    pub(super) fn fault(&self) -> Option<(&'static str, &'static str)> {
        let headless = self.header == HeaderLine::Absent;
        if headless && !self.header_contains.is_empty() {
            return Some(("header_contains", "header = false goes with no header_contains"));
        }
        if self.header_contains.iter().any(|cell| cell.texts().is_empty()) {
            return Some(("header_contains", "a list of headings is empty"));
        }
        if headless && (self.header_rows.0 != 1 || self.skip_after_header != 0) {
            return Some(("header", "header = false goes with neither header_rows nor skip_after_header"));
        }
        if !headless && !self.column_names.is_empty() {
            return Some(("column_names", "column_names go with header = false"));
        }
        let quote = self.quote.0;
        let same = self.delimiter.is_some_and(|delimiter| Some(delimiter.0) == quote);
        same.then_some(("delimiter", "delimiter and quote are the same character"))
    }
}

/// An encoding by its label of the WHATWG Encoding Standard, such as `windows-1252` or `shift_jis`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Encoding(pub &'static encoding_rs::Encoding);

impl TryFrom<String> for Encoding {
    type Error = String;

    fn try_from(label: String) -> Result<Self, String> {
        let dashed = label.to_ascii_lowercase().replace("cp125", "windows-125");
        match encoding_rs::Encoding::for_label_no_replacement(dashed.as_bytes()) {
            Some(encoding) => Ok(Self(encoding)),
            None => Err(format!(
                "{label:?} is not a known encoding; such are utf-8, utf-16le, utf-16be, windows-1250 to windows-1258, \
                 iso-8859-1 to iso-8859-16, shift_jis, euc-jp, gbk, gb18030, big5, euc-kr, ibm866, koi8-r, macintosh"
            )),
        }
    }
}

impl From<Encoding> for String {
    fn from(value: Encoding) -> String {
        value.0.name().to_ascii_lowercase()
    }
}

/// A cell of the header, or several of which it has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected the text of a heading, or a list of which the headings have one")]
pub enum HeaderCell {
    /// This one.
    One(String),
    /// One of these.
    Any(Vec<String>),
}

impl HeaderCell {
    /// The texts of which the header has one.
    pub fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Any(texts) => texts,
        }
    }
}

/// Encodings that are tried in their order: the first of which all bytes of the file are text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "OneOrMore")]
pub struct Encodings(pub Vec<Encoding>);

/// Encodings as a profile has them.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected the name of an encoding, or a list of names")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl TryFrom<OneOrMore> for Encodings {
    type Error = String;

    fn try_from(written: OneOrMore) -> Result<Self, String> {
        let labels = match written {
            OneOrMore::One(label) => vec![label],
            OneOrMore::More(labels) if labels.is_empty() => return Err("the list of encodings is empty".to_owned()),
            OneOrMore::More(labels) => labels,
        };
        Ok(Self(labels.into_iter().map(Encoding::try_from).collect::<Result<_, _>>()?))
    }
}

impl Serialize for Encodings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [] => serializer.serialize_none(),
            [one] => one.serialize(serializer),
            more => more.serialize(serializer),
        }
    }
}

impl Encodings {
    /// The encoding that is tried after so many others; none if all were.
    pub fn nth(&self, tried: usize) -> Option<&'static encoding_rs::Encoding> {
        self.0.get(tried).map(|encoding| encoding.0)
    }
}

/// What separates fields: one ASCII character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Delimiter(pub u8);

impl TryFrom<String> for Delimiter {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_bytes() {
            b"tab" | b"\\t" => Ok(Self(b'\t')),
            [byte] if byte.is_ascii() && !byte.is_ascii_alphanumeric() && !matches!(byte, b'"' | b'\n' | b'\r' | 0) => {
                Ok(Self(*byte))
            }
            _ => Err(format!("{text:?} is not a delimiter; it is one ASCII character such as \";\", or \"tab\"")),
        }
    }
}

impl From<Delimiter> for String {
    fn from(value: Delimiter) -> String {
        if value.0 == b'\t' { "tab".to_owned() } else { char::from(value.0).to_string() }
    }
}

/// What surrounds fields that hold a delimiter: one ASCII character, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quote(pub Option<u8>);

impl TryFrom<String> for Quote {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_bytes() {
            b"none" => Ok(Self(None)),
            [byte] if byte.is_ascii_punctuation() => Ok(Self(Some(*byte))),
            _ => Err(format!("{text:?} is not a quote; it is one ASCII character such as '\"', or \"none\"")),
        }
    }
}

impl From<Quote> for String {
    fn from(value: Quote) -> String {
        value.0.map_or_else(|| "none".to_owned(), |byte| char::from(byte).to_string())
    }
}

/// What ends a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineEnd {
    /// A line feed, a carriage return, or both.
    Any,
    /// A line feed; a carriage return elsewhere is text.
    Lf,
}

/// Whether there is a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "bool", into = "bool")]
pub enum HeaderLine {
    /// There is one, as far as anybody can tell: the profile does not say it.
    Assumed,
    /// There is one.
    Present,
    /// There is none: columns are told by their place, or by `column_names`.
    Absent,
}

impl From<bool> for HeaderLine {
    fn from(present: bool) -> Self {
        if present { Self::Present } else { Self::Absent }
    }
}

impl From<HeaderLine> for bool {
    fn from(value: HeaderLine) -> bool {
        value != HeaderLine::Absent
    }
}

/// A number of records from 1 to 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct CellRow(pub u8);

impl TryFrom<u64> for CellRow {
    type Error = String;

    fn try_from(count: u64) -> Result<Self, String> {
        match u8::try_from(count) {
            Ok(count @ 1..=9) => Ok(Self(count)),
            _ => Err(format!("{count} is not a number of records from 1 to 9")),
        }
    }
}

impl From<CellRow> for u64 {
    fn from(value: CellRow) -> u64 {
        value.0.into()
    }
}

/// What two columns of one name are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepeatedHeaders {
    /// A mistake, which fails the job.
    Refuse,
    /// Two columns, the second of which is called `Name (2)`.
    Number,
    /// Columns that are called by the one on their left: `Name (Left)`.
    Left,
}

/// What a record with fewer fields than the header is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShortRecords {
    /// A bad row.
    Refuse,
    /// A row whose last fields are blank.
    Pad,
}

/// What a record with more fields than the header is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LongRecords {
    /// A bad row.
    Refuse,
    /// A row, if what stands past the header is blank; otherwise a bad row.
    Blank,
    /// A row; what stands past the header is left out.
    Cut,
}

/// A sheet of a workbook: its name, or its place from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected the name of a sheet, or its place from 1")]
pub enum Sheet {
    /// By its place, from 1.
    Place(std::num::NonZeroU32),
    /// By its name.
    Name(String),
}
