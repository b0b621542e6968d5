//! Reading: a file through a profile, with all that comes of it.

use std::collections::BTreeMap;

use shared::{
    amount::Amount,
    file::{
        columns::ERP_TEXTS,
        dialect::FileLimits,
        mapping_profile::MappingProfile,
        records::RecordLimits,
        trial_balance::{self, CheckedSlice, LedgerRow, Request, RowSink, read_until_settled},
        unpack::Expansion,
        workbook::WorkbookLimits,
    },
    message::{
        failure::{BadRow, Failure},
        job::{Control, OnError},
    },
    slice::Slice,
};

/// What a worker allows by default, a little smaller.
pub(crate) const LIMITS: FileLimits = FileLimits {
    record: RecordLimits { bytes: 1 << 20, fields: 4096 },
    expansion: Expansion { bytes: 1 << 26, ratio: 200 },
    workbook: WorkbookLimits { bytes: 1 << 24, unpacked: 1 << 26 },
};

/// A row, as a ledger has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) line: u64,
    pub(crate) company: String,
    pub(crate) code: String,
    pub(crate) name: Option<String>,
    pub(crate) department: Option<String>,
    pub(crate) balance: i128,
    pub(crate) forward: Option<i128>,
    pub(crate) extra: BTreeMap<String, String>,
}

/// The rows that were read.
#[derive(Debug, Default)]
pub(crate) struct Rows(pub(crate) Vec<Row>);

impl RowSink for Rows {
    fn good(&mut self, row: &LedgerRow<'_>) -> Result<(), Failure> {
        let text = |name: &str| {
            let place = ERP_TEXTS.iter().position(|known| *known == name).expect("a column of the ledger");
            row.texts[place].as_deref().map(str::to_owned)
        };
        assert_eq!(text("bs_pl").as_deref(), Some("BS"));
        let extra = row.extra.as_deref().map(|json| serde_json::from_str(json).expect("an object of texts"));
        self.0.push(Row {
            line: row.line,
            company: row.company_code.clone().into_owned(),
            code: row.account_code.clone().into_owned(),
            name: text("account_name"),
            department: text("department"),
            balance: row.amounts[0].expect("a balance").units(),
            forward: row.amounts[1].map(Amount::units),
            extra: extra.unwrap_or_default(),
        });
        Ok(())
    }

    fn rejected(&mut self, _: &BadRow, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}

/// A profile of this text.
pub(crate) fn profile(toml: &str) -> MappingProfile {
    let name = "erp".parse().expect("a source's name");
    MappingProfile::parse(name, toml).unwrap_or_else(|fault| panic!("{fault}\n{toml}"))
}

/// Reads a slice.
pub(crate) fn read(bytes: &[u8], profile: &MappingProfile, slice: &Slice) -> Result<(CheckedSlice, Rows), Failure> {
    let request = Request {
        slice,
        profile,
        on_error: OnError::Abort,
        max_rejected: 0,
        limits: LIMITS,
        control: Control::default(),
        require_balanced: false,
        nil_tolerance: Amount::ZERO,
    };
    read_until_settled(|assumptions| {
        let mut rows = Rows::default();
        let checked = trial_balance::read(bytes, &request, assumptions, &mut rows)?;
        Ok((checked, rows))
    })
}

/// A slice by its codes.
pub(crate) fn slice(entity: &str, period: &str) -> Slice {
    Slice { entity: entity.parse().expect("an entity"), period: period.parse().expect("a period") }
}
