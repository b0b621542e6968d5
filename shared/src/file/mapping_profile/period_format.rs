//! How a period is written.

use serde::{Serialize, Serializer};

/// Names of the months that are understood if a profile names none.
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

/// How a period or a date within it is written: `MM/YYYY`, `DD.MM.YYYY`, `MMM-YY`, `YYYYPPP`.
///
/// `YYYY` is a year, `YY` one of 2000 to 2099, `Y` one of any length; the year offset is added to each, and what then
/// is no year of 1900 to 2199 does not fit;
/// `MM` and `M` are a month from 1 to 12, or a closing period to 16 where the format has no day, `PPP` the same in
/// three digits; `MMM` is a month's name or its beginning; `DD` and `D` are a day; `*` is anything; letters in brackets, and all
/// other characters, stand for themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodFormat {
    text: String,
    tokens: Vec<Token>,
    months: Vec<String>,
    year_offset: i32,
}

/// A text that is not a format of a period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPeriodFormat {
    /// It lacks a year or a month, or has two.
    #[error("the format {0:?} needs one year (YYYY, YY or Y) and one month (MM, M, MMM or PPP)")]
    Incomplete(String),
    /// A bracket is not closed.
    #[error("the format {0:?} has a [ without a ]")]
    Open(String),
    /// Two months have one name.
    #[error("months has a name twice")]
    SameMonths,
    /// The list of months is not a list of twelve.
    #[error("months needs 12 names, from January to December; it has {0}")]
    Months(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// A year of so many digits at least and at most.
    Year(usize, usize),
    Month(usize, usize),
    MonthName,
    Day(usize, usize),
    Literal(char),
    Rest,
}

impl Serialize for PeriodFormat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.text, &self.months, self.year_offset).serialize(serializer)
    }
}

impl PeriodFormat {
    /// Reads a format; `months` are the names from January to December, or none for English ones.
    ///
    /// # Errors
    /// If it does not tell a year and a month.
    pub fn new(text: &str, months: &[String], year_offset: i32) -> Result<Self, InvalidPeriodFormat> {
        let tokens = tokens(text)?;
        let count = |is: fn(&Token) -> bool| tokens.iter().filter(|token| is(token)).count();
        let years = count(|token| matches!(token, Token::Year(..)));
        let of_month = count(|token| matches!(token, Token::Month(..) | Token::MonthName));
        if (years, of_month) != (1, 1) {
            return Err(InvalidPeriodFormat::Incomplete(text.to_owned()));
        }
        let months: Vec<String> = match months.len() {
            0 => ENGLISH.iter().map(|name| name.to_lowercase()).collect(),
            12 => months.iter().map(|name| name.trim().trim_end_matches('.').to_lowercase()).collect(),
            other => return Err(InvalidPeriodFormat::Months(other)),
        };
        if months.iter().enumerate().any(|(place, name)| months.iter().take(place).any(|other| other == name)) {
            return Err(InvalidPeriodFormat::SameMonths);
        }
        Ok(Self { text: text.to_owned(), tokens, months, year_offset })
    }

    /// The format as the profile has it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The period that a text names, as `YYYY-MM`.
    pub fn read(&self, text: &str) -> Option<String> {
        let (mut year, mut month) = (None, None);
        let mut rest = text.trim();
        for token in &self.tokens {
            match *token {
                Token::Year(least, most) => {
                    let century = if most == 2 { 2000 } else { 0 };
                    year = Some(number(&mut rest, least, most)? + century);
                }
                Token::Month(least, most) => month = Some(number(&mut rest, least, most)?),
                Token::MonthName => month = Some(self.month_name(&mut rest)?),
                Token::Day(least, most) => {
                    let day = number(&mut rest, least, most)?;
                    (1..=31).contains(&day).then_some(())?;
                }
                Token::Literal(expected) => rest = rest.strip_prefix(expected)?,
                Token::Rest => rest = "",
            }
        }
        let (year, month) = (year?.checked_add(self.year_offset)?, month?);
        // A year that needs no offset is of another format of the list.
        if self.year_offset != 0 && !(1900..2200).contains(&year) {
            return None;
        }
        // A date is never one of a closing period: 15/01/2025 under MM/DD/YYYY has its day first.
        let most = if self.tokens.iter().any(|token| matches!(token, Token::Day(..))) { 12 } else { 16 };
        let fits = rest.is_empty() && (1000..=9999).contains(&year) && (1..=most).contains(&month);
        fits.then(|| format!("{year:04}-{month:02}"))
    }

    /// Takes a month's name, or its beginning of three letters or more, with or without a full stop.
    fn month_name(&self, rest: &mut &str) -> Option<i32> {
        let (word, after) = rest.split_at(rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len()));
        let word = word.to_lowercase();
        if word.is_empty() {
            return None;
        }
        let exact = self.months.iter().position(|name| *name == word);
        let found = exact.or_else(|| {
            let mut begin = self.months.iter().enumerate().filter(|(_, name)| name.starts_with(&word));
            let (place, _) = begin.next().filter(|_| word.chars().count() >= 3)?;
            begin.next().is_none().then_some(place)
        })?;
        *rest = after.strip_prefix('.').unwrap_or(after);
        i32::try_from(found + 1).ok()
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, InvalidPeriodFormat> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('[') {
            let Some((literal, after)) = quoted.split_once(']') else {
                return Err(InvalidPeriodFormat::Open(text.to_owned()));
            };
            tokens.extend(literal.chars().map(Token::Literal));
            rest = after;
            continue;
        }
        let run = rest.chars().take_while(|c| *c == first).count();
        let token = match (first, run) {
            ('Y', 4) => Some(Token::Year(4, 4)),
            ('Y', 2) => Some(Token::Year(2, 2)),
            ('Y', 1) => Some(Token::Year(1, 4)),
            ('M', 3 | 4) => Some(Token::MonthName),
            ('M', 2) => Some(Token::Month(2, 2)),
            ('M', 1) => Some(Token::Month(1, 2)),
            ('P', 3) => Some(Token::Month(3, 3)),
            ('D', 2) => Some(Token::Day(2, 2)),
            ('D', 1) => Some(Token::Day(1, 2)),
            ('*', _) => Some(Token::Rest),
            _ => None,
        };
        match token {
            Some(token) => tokens.push(token),
            None => tokens.extend(std::iter::repeat_n(Token::Literal(first), run)),
        }
        rest = rest.trim_start_matches(first);
    }
    Ok(tokens)
}

/// Takes a number of so many digits from the front.
fn number(rest: &mut &str, least: usize, most: usize) -> Option<i32> {
    let digits = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if digits < least {
        return None;
    }
    let (number, after) = rest.split_at_checked(digits)?;
    *rest = after;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: &str, text: &str) -> Option<String> {
        PeriodFormat::new(format, &[], 0).unwrap().read(text)
    }

    #[test]
    fn periods_are_read_as_erps_write_them() {
        for (format, text) in [
            ("YYYY-MM", "2022-06"),
            ("YYYYMM", "202206"),
            ("YYYYMMDD", "20220630"),
            ("DD.MM.YYYY", "30.06.2022"),
            ("D/M/YYYY", "3/6/2022"),
            ("MM/YYYY", " 06/2022 "),
            ("PPP.YYYY", "006.2022"),
            ("YYYYPPP", "2022006"),
            ("MMM-YY", "Jun-22"),
            ("MMMM YYYY", "june 2022"),
            ("D-MMM-YY", "3-Jun-22"),
            ("[Periode] M/YYYY", "Periode 6/2022"),
            ("YYYY年M月", "2022年6月"),
            ("YYYY-MM-DD*", "2022-06-30T00:00:00"),
        ] {
            assert_eq!(read(format, text).as_deref(), Some("2022-06"), "{format} {text}");
        }
        assert_eq!(read("YYYYPPP", "2022016").as_deref(), Some("2022-16"));
        let taiwan = PeriodFormat::new("Y/MM/DD", &[], 1911).unwrap();
        assert_eq!(taiwan.read("111/06/30").as_deref(), Some("2022-06"));
        assert_eq!(taiwan.read("2022/06/30"), None, "3933 is no year of books");
        let months = "janv,févr,mars,avril,mai,juin,juil,août,sept,oct,nov,déc".split(',').map(str::to_owned);
        let french = PeriodFormat::new("MMM YYYY", &months.collect::<Vec<_>>(), 0).unwrap();
        assert_eq!(french.read("juin 2022").as_deref(), Some("2022-06"));
        assert_eq!(french.read("Août 2022").as_deref(), Some("2022-08"));
    }

    #[test]
    fn what_is_of_another_form_is_no_period() {
        for (format, text) in [
            ("YYYY-MM", "2022-6"),
            ("YYYY-MM", "2022-17"),
            ("YYYY-MM", "2022-00"),
            ("YYYY-MM", "2022-06-01"),
            ("DD.MM.YYYY", "2022-06-30"),
            ("DD.MM.YYYY", "32.06.2022"),
            ("MM/DD/YYYY", "15/01/2022"),
            ("YYYY-MM-DD", "2022-13-01"),
            ("PPP/D/YYYY", "013/1/2022"),
            ("MMM-YY", "Ju-22"),
            ("MM/YYYY", "Total"),
            ("MM/YYYY", ""),
        ] {
            assert_eq!(read(format, text), None, "{format} {text}");
        }
        assert!(PeriodFormat::new("YYYY", &[], 0).is_err());
        assert!(PeriodFormat::new("[x YYYY MM", &[], 0).is_err());
        assert!(PeriodFormat::new("YYYY MMM", &["Jan".to_owned()], 0).is_err());
    }
}
