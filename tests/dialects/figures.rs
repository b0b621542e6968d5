//! Figures: amounts as people and ERPs write them.

use proptest::prelude::*;
use tests::random::Random;

use crate::dialect::Balance;

/// How digits are grouped, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Groups {
    None,
    /// By threes, with one of the marks that the profile names so.
    Threes(&'static str, &'static str),
    /// By twos and a last three, with a comma.
    Indian,
}

/// How a figure shows that it is negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Minus {
    Before(&'static str),
    After(&'static str),
    Parentheses,
    /// With a mark beside it, as other figures have one for debit.
    Marks(&'static str, &'static str),
}

/// How figures are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) comma: bool,
    pub(crate) groups: Groups,
    /// Whether the profile names the thousands mark.
    pub(crate) groups_are_told: bool,
    pub(crate) minus: Minus,
    /// What stands before the figure, or after it, and means nothing.
    pub(crate) currency: Option<(&'static str, bool)>,
    pub(crate) padding: bool,
    /// What stands where an amount is blank.
    pub(crate) blank: &'static str,
    /// Digits behind the mark, at least.
    pub(crate) cents: usize,
}

/// Any way to write figures.
pub(crate) fn styles() -> impl Strategy<Value = Figures> {
    let groups = prop::sample::select(vec![
        Groups::None,
        Groups::Threes(",.", ",."),
        Groups::Threes(" ", " "),
        Groups::Threes(" ", "\u{a0}"),
        Groups::Threes(" ", "\u{202f}"),
        Groups::Threes("'", "'"),
        Groups::Threes("'", "\u{2019}"),
        Groups::Indian,
    ]);
    let minus = prop::sample::select(vec![
        Minus::Before("-"),
        Minus::Before("\u{2212}"),
        Minus::Before("△"),
        Minus::Before("▲ "),
        Minus::After("-"),
        Minus::After(" \u{2013}"),
        Minus::Parentheses,
        Minus::Marks("Dr", "Cr"),
        Minus::Marks("", "H"),
        Minus::Marks("借", "貸"),
    ]);
    let currency = prop::sample::select(vec![
        None,
        None,
        Some(("€", true)),
        Some((" EUR", false)),
        Some(("R$ ", true)),
        Some((" 円", false)),
    ]);
    let blank = prop::sample::select(vec!["", "", "  ", "-", "n/a"]);
    (any::<bool>(), groups, any::<bool>(), minus, currency, prop::bool::weighted(0.2), blank, 0..4_usize).prop_map(
        |(comma, groups, groups_are_told, minus, currency, padding, blank, cents)| Figures {
            comma,
            groups,
            groups_are_told,
            minus,
            currency,
            padding,
            blank,
            cents,
        },
    )
}

impl Figures {
    /// The style with what an encoding holds, beside a balance of that kind.
    pub(crate) fn possible(mut self, holds: impl Fn(char) -> bool, balance: Balance) -> Self {
        let held = |text: &str| text.chars().all(&holds);
        if let Groups::Threes(_, mark) = self.groups
            && !held(mark)
        {
            self.groups = Groups::None;
        }
        if self.groups == Groups::Indian && self.comma {
            self.comma = false;
        }
        let lost = match self.minus {
            Minus::Before(text) | Minus::After(text) => !held(text),
            Minus::Marks(debit, credit) => !held(debit) || !held(credit) || balance != Balance::Plain,
            Minus::Parentheses => false,
        };
        if lost {
            self.minus = Minus::Before("-");
        }
        self.currency = self.currency.filter(|(text, _)| held(text));
        self
    }

    /// The lines under `[amounts]` that say all this.
    pub(crate) fn told(&self, decimal: bool) -> String {
        let mut lines = Vec::new();
        if decimal {
            lines.push(format!("decimal = '{}'", if self.comma { ',' } else { '.' }));
        }
        if self.groups_are_told {
            lines.push(match self.groups {
                Groups::None => "thousands = 'none'".to_owned(),
                Groups::Threes(",.", _) => format!("thousands = '{}'", if self.comma { '.' } else { ',' }),
                Groups::Threes(mark, _) => format!("thousands = \"{mark}\""),
                Groups::Indian => "thousands = ','".to_owned(),
            });
        }
        if !self.blank.trim().is_empty() {
            lines.push(format!("empty = ['{}', 'nil']", self.blank));
        }
        if let Some((text, _)) = self.currency {
            lines.push(format!("currency = ['CHF', '{}']", text.trim()));
        }
        if let Minus::Marks(debit, credit) = self.minus {
            lines.push(format!("debit_marks = ['{}']", if debit.is_empty() { "S" } else { debit }));
            lines.push(format!("credit_marks = ['{credit}']"));
        }
        if self.padding {
            lines.push("padding = '*_'".to_owned());
        }
        if lines.is_empty() { String::new() } else { format!("[amounts]\n{}\n", lines.join("\n")) }
    }

    /// An amount in this style.
    pub(crate) fn write(&self, units: Option<i128>, random: &mut Random) -> String {
        let Some(units) = units else { return self.blank.to_owned() };
        let mut figure = self.digits(units.unsigned_abs());
        if let Some((text, before)) = self.currency
            && random.percent(70)
        {
            figure = if before { format!("{text}{figure}") } else { format!("{figure}{text}") };
        }
        figure = match self.minus {
            Minus::Marks(debit, credit) => {
                let mark = if units < 0 { credit } else { debit };
                let mark = if random.percent(30) { mark.to_lowercase() } else { mark.to_owned() };
                if random.percent(50) { format!("{figure} {mark}") } else { format!("{figure}{mark}") }
            }
            _ if units >= 0 => {
                if random.percent(5) {
                    format!("+{figure}")
                } else {
                    figure
                }
            }
            Minus::Before(minus) => format!("{minus}{figure}"),
            Minus::After(minus) => format!("{figure}{minus}"),
            Minus::Parentheses => format!("({figure})"),
        };
        if self.padding {
            figure = format!("**{figure}");
        }
        match random.between(0, 9) {
            0 => format!(" {figure}"),
            1 => format!("{figure}  "),
            _ => figure,
        }
    }

    /// The digits and the marks between them.
    fn digits(&self, magnitude: u128) -> String {
        let one = 10_u128.pow(16);
        let integer = (magnitude / one).to_string();
        let fraction = format!("{:016}", magnitude % one);
        let shown = fraction.trim_end_matches('0').len().max(self.cents);
        let mut digits = String::new();
        for (place, digit) in integer.chars().enumerate() {
            let left = integer.len() - place;
            let (border, mark) = match self.groups {
                Groups::None => (false, ""),
                Groups::Threes(",.", _) => (left.is_multiple_of(3), if self.comma { "." } else { "," }),
                Groups::Threes(_, mark) => (left.is_multiple_of(3), mark),
                Groups::Indian => (left == 3 || left > 3 && left % 2 == 1, ","),
            };
            if place > 0 && border {
                digits.push_str(mark);
            }
            digits.push(digit);
        }
        if shown > 0 {
            digits.push(if self.comma { ',' } else { '.' });
            digits.push_str(&fraction[..shown]);
        }
        digits
    }
}
