//! Ledgers: what a file is to say, whatever its dialect.

use proptest::prelude::*;

/// The first magnitude that is not an amount any more, in units of 10⁻¹⁶.
pub(crate) const LIMIT: i128 = 10_i128.pow(34);

/// A row of a ledger.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// Which of the slices it is of.
    pub(crate) slice: usize,
    pub(crate) code: String,
    pub(crate) name: String,
    /// The balance in units of 10⁻¹⁶; none if its cell is blank.
    pub(crate) balance: Option<i128>,
    pub(crate) forward: Option<i128>,
    pub(crate) department: String,
    /// The cells of the columns that Aura does not know.
    pub(crate) extra: Vec<String>,
}

/// A ledger of several slices.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    /// Entity, year and month of each slice.
    pub(crate) slices: Vec<(String, u16, u8)>,
    pub(crate) entries: Vec<Entry>,
}

/// Columns that Aura does not know, at most.
pub(crate) const EXTRA: usize = 3;

impl Ledger {
    /// The period of a slice as Aura writes it.
    pub(crate) fn period(&self, slice: usize) -> String {
        let (_, year, month) = &self.slices[slice];
        format!("{year:04}-{month:02}")
    }

    /// Changes every text.
    pub(crate) fn change_texts(&mut self, change: impl Fn(&str) -> String) {
        for entry in &mut self.entries {
            for text in [&mut entry.name, &mut entry.department].into_iter().chain(&mut entry.extra) {
                *text = change(text);
            }
        }
    }
}

/// Any ledger with up to `most` rows.
pub(crate) fn ledgers(most: usize) -> impl Strategy<Value = Ledger> {
    let slice = ("[A-Z0-9][A-Z0-9_.-]{0,6}", 2000..2099_u16, 1..17_u8);
    let slices = prop::collection::btree_set(slice, 1..4).prop_map(|slices| slices.into_iter().collect::<Vec<_>>());
    (slices, prop::collection::vec(entries(), 1..most)).prop_map(|(slices, mut entries)| {
        for (place, entry) in entries.iter_mut().enumerate() {
            // Every slice has a row.
            entry.slice = if place < slices.len() { place } else { entry.slice % slices.len() };
        }
        let slices = slices.into_iter().take(entries.len()).collect();
        Ledger { slices, entries }
    })
}

fn entries() -> impl Strategy<Value = Entry> {
    let code = prop_oneof![4 => "[0-9]{1,8}", 1 => "[A-Z0-9][A-Za-z0-9./-]{0,10}"];
    let fields = (0..3_usize, code, texts(), amounts(), amounts(), texts(), prop::collection::vec(texts(), EXTRA));
    fields.prop_map(|(slice, code, name, balance, forward, department, extra)| Entry {
        slice,
        code,
        name,
        balance,
        forward,
        department,
        extra,
    })
}

/// Texts with all that makes a cell hard to write.
pub(crate) fn texts() -> impl Strategy<Value = String> {
    let hard = prop::sample::select(vec![
        "\"", "'", "\"\"", ",", ";", "\t", "|", "\n", "\r\n", "\r", " ", "\u{a0}", "\\", "(", "-", "é", "ß", "€",
        "现金", "現金", "ｶﾅ", "表", "😀", "\u{301}", "0", "1,5", "=1+1", "#", "%",
    ]);
    prop_oneof![
        1 => Just(String::new()),
        6 => "[A-Za-z][a-z ]{0,12}[a-z]",
        6 => prop::collection::vec(prop_oneof![hard.prop_map(str::to_owned), "[a-zA-Z ]{0,3}"], 0..8)
            .prop_map(|parts| parts.concat()),
        1 => any::<String>().prop_map(|text| text.replace(['\0', '\u{feff}'], "").chars().take(20).collect()),
    ]
}

/// Amounts over the whole range, and blanks.
pub(crate) fn amounts() -> impl Strategy<Value = Option<i128>> {
    let cent = 10_i128.pow(14);
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(0)),
        6 => (-10_000_000_i128..10_000_000).prop_map(move |cents| Some(cents * cent)),
        2 => (-100_000_i128..100_000).prop_map(move |whole| Some(whole * 100 * cent)),
        2 => (1 - LIMIT..LIMIT).prop_map(Some),
        1 => (-1_000_i128..1_000).prop_map(Some),
        1 => prop::sample::select(vec![Some(LIMIT - 1), Some(1 - LIMIT), Some(LIMIT / 10), Some(-1)]),
    ]
}
