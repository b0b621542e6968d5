//! The ledger's columns: their names, kinds and owners.

use crate::failure::SchemaFault;

/// Amount columns, in the order in which rows hold them.
pub const AMOUNTS: [&str; 4] = ["balance", "balance_carryforward", "debit_period", "credit_period"];

/// Text columns that the ERP owns and each export writes, in the order in which rows hold them.
pub const ERP_TEXTS: [&str; 7] =
    ["account_name", "bs_pl", "status", "department", "account_category", "sub_category", "report_type"];

/// Text columns of the review workflow, which an export fills in new rows only. They follow the
/// ERP's in each row.
pub const REVIEW_TEXTS: [&str; 11] = [
    "criticality",
    "review_status",
    "review_flag",
    "reviewer_name",
    "review_date",
    "review_frequency",
    "review_checkpoint",
    "reconciliation_type",
    "sla_deadline",
    "analysis_required",
    "variance_pct",
];

/// How many text columns a row holds.
pub const TEXTS: usize = ERP_TEXTS.len() + REVIEW_TEXTS.len();

/// Columns without which a file is no trial balance.
pub const REQUIRED: [&str; 7] = ["account_code", "account_name", "balance", "entity", "period", "bs_pl", "status"];

/// What a column of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The legal entity.
    Entity,
    /// The period.
    Period,
    /// The company code, part of the key.
    CompanyCode,
    /// The account code, part of the key.
    AccountCode,
    /// An amount, by its place in [`AMOUNTS`].
    Amount(usize),
    /// A text, by its place in [`ERP_TEXTS`] and then [`REVIEW_TEXTS`].
    Text(usize),
    /// A column that Aura does not know.
    Extra,
}

impl Column {
    /// The column of that name.
    pub fn named(name: &str) -> Self {
        match name {
            "entity" => Self::Entity,
            "period" => Self::Period,
            "company_code" => Self::CompanyCode,
            "account_code" => Self::AccountCode,
            _ => {
                let place = |list: &[&str]| list.iter().position(|known| *known == name);
                place(&AMOUNTS)
                    .map(Self::Amount)
                    .or_else(|| place(&ERP_TEXTS).map(Self::Text))
                    .or_else(|| place(&REVIEW_TEXTS).map(|place| Self::Text(ERP_TEXTS.len() + place)))
                    .unwrap_or(Self::Extra)
            }
        }
    }
}

/// The columns of one file: what each is, and what they are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The names as the file has them; `column_7` where a cell is empty.
    pub names: Vec<String>,
    /// What each is.
    pub columns: Vec<Column>,
}

/// A header that has no place for a required column, or two for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidHeader {
    /// What is wrong, in words.
    pub message: String,
    /// The columns.
    pub fault: SchemaFault,
}

impl Header {
    /// Reads a header: names count whatever their case and the spaces around them.
    ///
    /// # Errors
    /// If a required column is missing, or a name stands twice.
    pub fn read<'a>(cells: impl Iterator<Item = &'a str>) -> Result<Self, InvalidHeader> {
        let mut header = Self { names: Vec::new(), columns: Vec::new() };
        let mut keys: Vec<String> = Vec::new();
        let mut twice = Vec::new();
        for (place, cell) in cells.enumerate() {
            let name = match cell.trim() {
                "" => format!("column_{}", place + 1),
                name => name.to_owned(),
            };
            let key = key_of(&name);
            if keys.contains(&key) && !twice.contains(&name) {
                twice.push(name.clone());
            }
            header.columns.push(Column::named(&key));
            header.names.push(name);
            keys.push(key);
        }
        let missing: Vec<String> = REQUIRED
            .iter()
            .filter(|name| !keys.iter().any(|key| key == *name))
            .map(|name| (*name).to_owned())
            .collect();
        if missing.is_empty() && twice.is_empty() {
            return Ok(header);
        }
        let mut faults = Vec::new();
        if !missing.is_empty() {
            faults.push(format!("required columns are missing: {}", missing.join(", ")));
        }
        if !twice.is_empty() {
            faults.push(format!("columns stand twice: {}", twice.join(", ")));
        }
        let fault = SchemaFault {
            missing_required: missing,
            extra_columns: header.extra_columns(),
            present_optional: header.present_optional(),
        };
        Err(InvalidHeader { message: faults.join("; "), fault })
    }

    /// The names of the columns that Aura does not know.
    pub fn extra_columns(&self) -> Vec<String> {
        self.names_where(|name, column| column == Column::Extra && !name.is_empty())
    }

    /// The names of the optional columns that are there.
    pub fn present_optional(&self) -> Vec<String> {
        self.names_where(|name, column| column != Column::Extra && !REQUIRED.contains(&key_of(name).as_str()))
    }

    /// Whether the file has this column.
    pub fn has(&self, column: Column) -> bool {
        self.columns.contains(&column)
    }

    /// The place of this column in each record.
    pub fn place(&self, column: Column) -> Option<usize> {
        self.columns.iter().position(|known| *known == column)
    }

    fn names_where(&self, keep: impl Fn(&str, Column) -> bool) -> Vec<String> {
        let pairs = self.names.iter().zip(&self.columns);
        pairs.filter(|(name, column)| keep(name, **column)).map(|(name, _)| name.clone()).collect()
    }
}

/// A column's name whatever its case and the spaces around and within it.
fn key_of(name: &str) -> String {
    name.to_lowercase().split_whitespace().collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_counts_whatever_its_case_and_spaces() {
        let cells = [
            "Entity",
            " PERIOD",
            "account code",
            "Account Name ",
            "balance",
            "BS_PL",
            "status",
            "",
            "Segment",
            "department",
        ];
        let header = Header::read(cells.into_iter()).unwrap();
        assert_eq!(header.place(Column::AccountCode), Some(2));
        assert_eq!(header.extra_columns(), ["column_8", "Segment"]);
        assert_eq!(header.present_optional(), ["department"]);
        assert!(!header.has(Column::CompanyCode));
    }

    #[test]
    fn what_is_missing_and_what_stands_twice_is_named_at_once() {
        let invalid = Header::read(["entity", "Entity", "balance", "note"].into_iter()).unwrap_err();
        assert_eq!(
            invalid.message,
            "required columns are missing: account_code, account_name, period, bs_pl, status; columns stand twice: Entity"
        );
        assert_eq!(invalid.fault.extra_columns, ["note"]);
    }
}
