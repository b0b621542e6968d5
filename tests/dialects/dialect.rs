//! Dialects: everything in which one ERP's files differ from another's.

use encoding_rs::Encoding;
use proptest::prelude::*;

use crate::{figures::Figures, periods::PERIODS};

/// An encoding, and whether the file begins with its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TextEncoding(pub(crate) &'static Encoding, pub(crate) bool);

/// What shrinks a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    None,
    Gzip,
    Zstd,
}

/// How the headings are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Headings {
    /// They are the first record.
    First,
    /// So many lines stand above them.
    Below(usize),
    /// Lines stand above them, and the profile says what they contain.
    Told(usize),
    /// There are none: the profile names the columns, or tells them by place.
    None { named: bool },
}

/// How an entity is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entities {
    Plain,
    /// By a label that the profile maps.
    Mapped,
    /// Only where it changes.
    FilledDown,
}

/// Where the balance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Balance {
    Plain,
    Negated,
    Sides { signed: bool },
    Indicated { negate: bool },
}

/// What stands between rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Noise {
    pub(crate) blank_lines: bool,
    pub(crate) totals: bool,
    pub(crate) keyless: bool,
    pub(crate) headings_again: bool,
    pub(crate) footer: bool,
}

/// Everything in which files differ.
#[derive(Debug, Clone)]
pub(crate) struct Dialect {
    pub(crate) encoding: TextEncoding,
    pub(crate) packing: Packing,
    pub(crate) delimiter: char,
    pub(crate) delimiter_is_told: bool,
    pub(crate) quote: Option<char>,
    pub(crate) line_end: &'static str,
    /// Whether the profile says that a line feed alone ends a line.
    pub(crate) feeds_only: bool,
    pub(crate) headings: Headings,
    pub(crate) leading: bool,
    pub(crate) trailing: bool,
    pub(crate) short: bool,
    pub(crate) noise: Noise,
    pub(crate) entities: Entities,
    pub(crate) period: usize,
    pub(crate) balance: Balance,
    pub(crate) figures: Figures,
    pub(crate) forward: bool,
    pub(crate) extra: usize,
    /// For what is chosen row by row.
    pub(crate) seed: u64,
}

impl Dialect {
    /// A text with what the encoding and, without quotes, the format can hold of it.
    pub(crate) fn holdable(&self, text: &str) -> String {
        let held = |c: char| if self.holds(c) { c } else { '?' };
        let text: String = text.chars().map(held).collect();
        match self.quote {
            Some(_) => text,
            None => text.replace([self.delimiter, '\n', '\r'], "_"),
        }
    }

    /// Whether the encoding brings a character back.
    pub(crate) fn holds(&self, c: char) -> bool {
        let TextEncoding(encoding, _) = self.encoding;
        if c == '\0' || c == '\u{feff}' {
            return false;
        }
        if [encoding_rs::UTF_8, encoding_rs::UTF_16LE, encoding_rs::UTF_16BE].contains(&encoding) {
            return true;
        }
        let text = String::from(c);
        let (bytes, _, lost) = encoding.encode(&text);
        !lost && encoding.decode_without_bom_handling(&bytes).0 == text
    }

    pub(crate) fn holds_all(&self, text: &str) -> bool {
        text.chars().all(|c| self.holds(c))
    }
}

/// Any dialect.
pub(crate) fn dialects() -> impl Strategy<Value = Dialect> {
    let headings = prop_oneof![
        2 => Just(Headings::First),
        1 => (1..5_usize).prop_map(Headings::Below),
        1 => (0..5_usize).prop_map(Headings::Told),
        1 => any::<bool>().prop_map(|named| Headings::None { named }),
    ];
    let written = (
        encodings(),
        prop::sample::select(vec![Packing::None, Packing::None, Packing::Gzip, Packing::Zstd]),
        prop::sample::select(vec![',', ';', '\t', '|', '~', '^', ':']),
        any::<bool>(),
        prop::sample::select(vec![Some('"'), Some('"'), Some('\''), None]),
        prop::sample::select(vec!["\n", "\r\n", "\r"]),
        any::<bool>(),
        headings,
    );
    let records = (any::<bool>(), any::<bool>(), any::<bool>(), noises(), 0..=crate::ledger::EXTRA, any::<bool>());
    let entities = prop::sample::select(vec![Entities::Plain, Entities::Mapped, Entities::FilledDown]);
    let said = (entities, 0..PERIODS.len(), balances(), crate::figures::styles(), any::<u64>());
    (written, records, said).prop_map(|(written, records, said)| {
        let (encoding, packing, delimiter, delimiter_is_told, quote, line_end, feeds_only, headings) = written;
        let (leading, trailing, short, noise, extra, forward) = records;
        let (entities, period, balance, figures, seed) = said;
        let dialect = Dialect {
            encoding,
            packing,
            delimiter,
            delimiter_is_told,
            quote,
            line_end,
            feeds_only,
            headings,
            leading,
            trailing,
            short,
            noise,
            entities,
            period,
            balance,
            figures,
            forward,
            extra,
            seed,
        };
        dialect.possible()
    })
}

impl Dialect {
    /// The dialect without what cannot go together.
    fn possible(mut self) -> Self {
        // Without quotes nothing may hold the delimiter: no figure, period or code.
        if self.quote.is_none() && !matches!(self.delimiter, ';' | '\t' | '|') {
            self.delimiter = ';';
        }
        // A delimiter that is not a usual one, or with no headings to tell it by, must be told.
        self.delimiter_is_told |=
            !matches!(self.delimiter, ',' | ';' | '\t' | '|') || matches!(self.headings, Headings::None { .. });
        self.feeds_only &= self.line_end != "\r";
        self.short &= !self.trailing;
        if matches!(self.headings, Headings::None { .. }) {
            self.noise.headings_again = false;
        }
        // Filters by name need names.
        if !self.holds_all(PERIODS[self.period].needs) {
            self.period = 0;
        }
        self.figures = self.figures.clone().possible(|c| self.holds(c), self.balance);
        self
    }
}

fn encodings() -> impl Strategy<Value = TextEncoding> {
    use encoding_rs::{GB18030, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
    let all = [
        (UTF_8, false),
        (UTF_8, true),
        (UTF_16LE, false),
        (UTF_16LE, true),
        (UTF_16BE, false),
        (UTF_16BE, true),
        (WINDOWS_1252, false),
        (SHIFT_JIS, false),
        (GB18030, false),
    ];
    prop::sample::select(all.map(|(encoding, mark)| TextEncoding(encoding, mark)).to_vec())
}

fn noises() -> impl Strategy<Value = Noise> {
    any::<(bool, bool, bool, bool, bool)>().prop_map(|(blank_lines, totals, keyless, headings_again, footer)| Noise {
        blank_lines,
        totals,
        keyless,
        headings_again,
        footer,
    })
}

fn balances() -> impl Strategy<Value = Balance> {
    prop_oneof![
        2 => Just(Balance::Plain),
        1 => Just(Balance::Negated),
        1 => any::<bool>().prop_map(|signed| Balance::Sides { signed }),
        1 => any::<bool>().prop_map(|negate| Balance::Indicated { negate }),
    ]
}
