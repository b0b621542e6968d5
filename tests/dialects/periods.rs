//! How periods are written.

/// A way to write a period, as a profile says it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeriodForm {
    /// The rule beside the column; none if periods are written as Aura does.
    pub(crate) rule: &'static str,
    /// Characters that the encoding must hold.
    pub(crate) needs: &'static str,
    /// Whether it can tell the closing periods 13 to 16.
    pub(crate) closing: bool,
    write: fn(u16, u8) -> String,
}

const ENGLISH: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const FRENCH: [&str; 12] =
    ["janv", "févr", "mars", "avril", "mai", "juin", "juil", "août", "sept", "oct", "nov", "déc"];

/// The ways to write a period; the first needs no rule.
pub(crate) const PERIODS: [PeriodForm; 12] = [
    form("", "", true, |year, month| format!("{year}-{month:02}")),
    form("format = 'YYYYMM'", "", true, |year, month| format!("{year}{month:02}")),
    form("format = 'MM/YYYY'", "", true, |year, month| format!("{month:02}/{year}")),
    form("format = ['DD.MM.YYYY', 'PPP.YYYY']", "", true, |year, month| format!("{month:03}.{year}")),
    form("format = 'YYYYPPP'", "", true, |year, month| format!("{year}{month:03}")),
    form("format = 'M-YY'", "", true, |year, month| format!(" {month}-{:02}", year % 100)),
    form("format = 'DD.MM.YYYY'", "", false, |year, month| format!("28.{month:02}.{year}")),
    form("format = 'YYYY-MM-DD*'", "", false, |year, month| format!("{year}-{month:02}-28T00:00:00")),
    form("format = 'D-MMM-YY'", "", false, |year, month| {
        format!("1-{}-{:02}", &ENGLISH[usize::from(month) - 1][..3], year % 100)
    }),
    form(
        "format = 'MMM YYYY', months = ['janv.', 'févr.', 'mars', 'avril', 'mai', 'juin', 'juil.', 'août', 'sept.', 'oct.', 'nov.', 'déc.']",
        "éû",
        false,
        |year, month| format!("{}. {year}", FRENCH[usize::from(month) - 1].to_uppercase()),
    ),
    form("format = 'Y年M月', year_offset = 1911", "年月", true, |year, month| {
        format!("{}年{month}月", year - 1911)
    }),
    form("format = '[Period] M of YYYY', part = 'Period.*'", "", true, |year, month| {
        format!("** Period {month} of {year} ")
    }),
];

const fn form(rule: &'static str, needs: &'static str, closing: bool, write: fn(u16, u8) -> String) -> PeriodForm {
    PeriodForm { rule, needs, closing, write }
}

impl PeriodForm {
    /// A period in this form.
    pub(crate) fn write(&self, year: u16, month: u8) -> String {
        (self.write)(year, month)
    }
}
