//! Which columns of a file may be the amount to load, and what each of them comes to.

use shared::{
    amount::{Amount, Sum},
    file::columns::key_of,
};

use super::{
    headings::{self, Heading},
    quoted, sides,
    table::Table,
};

/// What says debit and what says credit, in lower case.
const LETTERS: [(&str, &str); 36] = [
    ("s", "h"),
    ("d", "c"),
    ("d", "k"),
    ("dr", "cr"),
    ("debit", "credit"),
    ("debet", "credit"),
    ("debet", "kredit"),
    ("soll", "haben"),
    ("d", "a"),
    ("dare", "avere"),
    ("d", "h"),
    ("debe", "haber"),
    ("deudor", "acreedor"),
    ("deudora", "acreedora"),
    ("devedor", "credor"),
    ("devedora", "credora"),
    ("débit", "crédit"),
    ("débiteur", "créditeur"),
    ("d", "p"),
    ("duguje", "potražuje"),
    ("t", "k"),
    ("tartozik", "követel"),
    ("b", "a"),
    ("borç", "alacak"),
    ("md", "d"),
    ("wn", "ma"),
    ("д", "к"),
    ("дт", "кт"),
    ("дебет", "кредит"),
    ("χ", "π"),
    ("+", "-"),
    ("借", "貸"),
    ("借方", "貸方"),
    ("借", "贷"),
    ("借方", "贷方"),
    ("차변", "대변"),
];

/// What classes are called whose accounts are in debit, and those whose accounts are in credit, in lower case.
const DEBIT_CLASSES: [&str; 20] = [
    "asset",
    "assets",
    "expense",
    "expenses",
    "cost",
    "costs",
    "aktiva",
    "aufwand",
    "aufwendungen",
    "actif",
    "charges",
    "charge",
    "activo",
    "gasto",
    "gastos",
    "ativo",
    "despesa",
    "despesas",
    "資産",
    "費用",
];
const CREDIT_CLASSES: [&str; 30] = [
    "liability",
    "liabilities",
    "equity",
    "income",
    "revenue",
    "revenues",
    "sales",
    "capital",
    "passiva",
    "ertrag",
    "erträge",
    "eigenkapital",
    "passif",
    "produits",
    "produit",
    "pasivo",
    "patrimonio",
    "patrimonio neto",
    "ingreso",
    "ingresos",
    "passivo",
    "receita",
    "receitas",
    "patrimônio líquido",
    "負債",
    "純資産",
    "資本",
    "収益",
    "负债",
    "所有者权益",
];
/// Of so much money a part may be below zero where the rest has no sign: what is against the nature of its account.
const UNSIGNED: u128 = 8;
/// Letters of a text that may say a side.
const SIDE_LETTERS: usize = 24;

/// Readings that are named.
const NAMED: usize = 12;

/// Where an amount may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// One column, as it stands.
    Column(usize),
    /// One column, and another that says its side, by its place among the indicators.
    Indicated { column: usize, indicator: usize },
    /// What is debited less what is credited.
    Sides { debit: usize, credit: usize },
}

/// A reading, and what it comes to.
pub(super) struct Candidate {
    pub(super) reading: Reading,
    /// By row; none where there is none.
    pub(super) amounts: Vec<Option<Amount>>,
}

/// A column that says debit or credit.
pub(super) struct Indicator {
    pub(super) place: usize,
    /// Its values that mean either, or all of them where one is not known.
    pub(super) values: Result<(Vec<String>, Vec<String>), Vec<String>>,
}

/// The second account of a line.
pub(super) struct Contra {
    /// The columns of both accounts.
    pub(super) account: usize,
    pub(super) contra: usize,
    /// The columns of their names, where those are others.
    pub(super) names: Option<(usize, usize)>,
    /// The second one's own amount.
    pub(super) amount: Option<usize>,
}

/// What is known of the amounts of a file.
pub(super) struct Amounts {
    /// The readings that give different figures: one of them is taken, of several none.
    pub(super) candidates: Vec<Candidate>,
    /// Readings that are not named.
    pub(super) more: usize,
    /// Whether the only one has no amount below zero, so that credits may stand there without their sign.
    pub(super) is_unsigned: bool,
    /// The columns that say debit or credit.
    pub(super) indicators: Vec<Indicator>,
    pub(super) contra: Option<Contra>,
}

impl Candidate {
    pub(super) fn count(&self) -> usize {
        self.amounts.iter().flatten().count()
    }

    pub(super) fn sum(&self) -> String {
        shown(self.amounts.iter().flatten().copied())
    }
}

impl Amounts {
    pub(super) fn new(table: &Table) -> Self {
        let known = indicators(table);
        let indicators: Vec<Indicator> = match known.is_empty() {
            true => guessed(table),
            false => known,
        };
        // Codes of accounts are figures, too.
        let is_amount =
            |place: usize| table.figures(place).are_amounts() && !headings::names_account(&table.headings[place]);
        let (mut numeric, texts): (Vec<_>, Vec<_>) =
            sides::pairs(table).into_iter().partition(|(debit, credit)| is_amount(*debit) && is_amount(*credit));
        if let Some(named) = table.at(Heading::Debit).zip(table.at(Heading::Credit)) {
            let is_taken = |place| numeric.iter().any(|(debit, credit)| [*debit, *credit].contains(&place));
            if !is_taken(named.0) && !is_taken(named.1) {
                numeric.insert(0, named);
            }
        }
        let contra = Contra::new(table, &numeric, &texts);
        let own = contra.as_ref().and_then(|contra| contra.amount);
        let single = own.and_then(|own| numeric.iter().find(|(_, credit)| *credit == own)).map(|(debit, _)| *debit);
        let readings = match single {
            Some(debit) => vec![Reading::Column(debit)],
            None => readings(table, &numeric, &texts, &indicators),
        };
        // What is the same in this file need not be in the next: a closing balance and the first month's movement.
        let candidates = readings.into_iter().map(|reading| candidate(table, reading, &indicators));
        let mut candidates: Vec<Candidate> = candidates.filter(|candidate| candidate.count() > 0).collect();
        let more = candidates.len().saturating_sub(NAMED);
        candidates.truncate(NAMED);
        let is_unsigned = match candidates.as_slice() {
            [Candidate { reading: Reading::Column(_), amounts }] => contra.is_none() && are_unsigned(amounts),
            _ => false,
        };
        Self { candidates, more, is_unsigned, indicators, contra }
    }

    /// What a reading makes of rows, by row.
    pub(super) fn of(&self, table: &Table, rows: &[Vec<String>], reading: Reading) -> Vec<Option<Amount>> {
        read(table, rows, reading, &self.indicators)
    }

    /// The one reading that there is.
    pub(super) fn only(&self) -> Option<&Candidate> {
        match self.candidates.as_slice() {
            [one] if !self.is_unsigned => Some(one),
            _ => None,
        }
    }
}

/// Whether there are several amounts, and next to nothing of them is below zero.
fn are_unsigned(amounts: &[Option<Amount>]) -> bool {
    let of = |below: bool| {
        let these = amounts.iter().flatten().filter(|amount| (**amount < Amount::ZERO) == below);
        these.fold(0_u128, |sum, amount| sum.saturating_add(amount.units().unsigned_abs()))
    };
    let several = amounts.iter().flatten().filter(|amount| **amount != Amount::ZERO).nth(1).is_some();
    several && of(true).saturating_mul(UNSIGNED) <= of(false)
}

/// All columns that have the heading by which one is known as an indicator.
fn indicators(table: &Table) -> Vec<Indicator> {
    let Some(first) = table.at(Heading::Indicator) else { return Vec::new() };
    let same = |place: &usize| key_of(&table.headings[*place]) == key_of(&table.headings[first]);
    (0..table.width()).filter(same).map(|place| Indicator::new(table, place)).collect()
}

/// Columns that may say debit or credit, although no heading says so: those of two texts, and those of classes. Of two
/// that are not known each may be either.
fn guessed(table: &Table) -> Vec<Indicator> {
    let is_free = |place: &usize| !table.found.iter().any(|(heading, known)| known == place && !heading.is_class());
    let mut guessed = Vec::new();
    for place in (0..table.width()).filter(is_free) {
        let mut values: Vec<String> = table.cells(place).map(str::to_owned).collect();
        let filled = values.len();
        values.sort_unstable();
        values.dedup();
        let is_short = values.iter().all(|value| value.chars().count() <= SIDE_LETTERS);
        if values.len() < 2 || !is_short || filled * 5 < table.rows.len() * 4 {
            continue;
        }
        let of = |classes: &[&str]| -> Vec<String> {
            values.iter().filter(|value| classes.contains(&value.to_lowercase().as_str())).cloned().collect()
        };
        let (debit, credit) = (of(&DEBIT_CLASSES), of(&CREDIT_CLASSES));
        let are_classes = debit.len() + credit.len() == values.len() && !debit.is_empty() && !credit.is_empty();
        if are_classes {
            guessed.push(Indicator { place, values: Ok((debit, credit)) });
            continue;
        }
        let [one, other] = values.as_slice() else { continue };
        let is_figure =
            |text: &String| text.bytes().any(|byte| byte.is_ascii_digit()) && !["1", "2"].contains(&text.as_str());
        if is_figure(one) || is_figure(other) || table.headings[place].is_empty() && table.is_headed {
            continue;
        }
        let known = Indicator::new(table, place);
        if known.values.is_ok() {
            guessed.push(known);
        } else {
            let sides = |debit: &String, credit: &String| Ok((vec![debit.clone()], vec![credit.clone()]));
            guessed.push(Indicator { place, values: sides(one, other) });
            guessed.push(Indicator { place, values: sides(other, one) });
        }
    }
    guessed
}

/// The readings that a file allows, the likeliest first.
fn readings(
    table: &Table,
    pairs: &[(usize, usize)],
    accounts: &[(usize, usize)],
    indicators: &[Indicator],
) -> Vec<Reading> {
    let of_pair = |place: usize| pairs.iter().chain(accounts).any(|(debit, credit)| [*debit, *credit].contains(&place));
    let balance = table.at(Heading::Target("balance"));
    let is_other = |place: usize| {
        table.found.iter().any(|(heading, known)| *known == place && *heading != Heading::Target("balance"))
    };
    let others = (0..table.width()).filter(|place| {
        Some(*place) != balance
            && !of_pair(*place)
            && !is_other(*place)
            && table.looks_like_amounts(*place, &table.figures(*place))
    });
    let columns: Vec<usize> = balance.into_iter().chain(others).collect();
    let is_guessed = table.at(Heading::Indicator).is_none();
    // Files have the letter before each amount or behind it: as the first one stands, so do the others.
    let first = indicators.iter().map(|indicator| indicator.place).min();
    let is_before = first < columns.iter().copied().min();
    let distance = |indicator: &Indicator, column: usize| {
        ((indicator.place < column) != is_before, indicator.place.abs_diff(column))
    };
    let singles = columns.into_iter().flat_map(|column| {
        let figures = table.figures(column).amounts;
        if is_guessed {
            let says = |place: &usize| are_unsigned(&figures) || indicators[*place].turns_most(table, &figures);
            let ways = (0..indicators.len()).filter(says);
            let ways = ways.map(|indicator| Reading::Indicated { column, indicator });
            return std::iter::once(Reading::Column(column)).chain(ways).collect();
        }
        let nearest = indicators.iter().enumerate().min_by_key(|(_, indicator)| distance(indicator, column));
        let Some((indicator, _)) = nearest else { return vec![Reading::Column(column)] };
        let indicated = Reading::Indicated { column, indicator };
        // A figure that has a sign may carry its side already.
        let is_signed = figures.iter().flatten().any(|amount| *amount < Amount::ZERO);
        if is_signed { vec![Reading::Column(column), indicated] } else { vec![indicated] }
    });
    singles.chain(pairs.iter().map(|(debit, credit)| Reading::Sides { debit: *debit, credit: *credit })).collect()
}

fn candidate(table: &Table, reading: Reading, indicators: &[Indicator]) -> Candidate {
    Candidate { reading, amounts: read(table, &table.rows, reading, indicators) }
}

fn read(table: &Table, rows: &[Vec<String>], reading: Reading, indicators: &[Indicator]) -> Vec<Option<Amount>> {
    let figures = |place: usize| table.figures_in(rows, place).amounts;
    match reading {
        Reading::Column(place) => figures(place),
        Reading::Indicated { column, indicator } => match indicators.get(indicator) {
            Some(indicator) => indicator.applied(rows, figures(column)),
            None => figures(column),
        },
        Reading::Sides { debit, credit } => {
            let less = |(debit, credit): (Option<Amount>, Option<Amount>)| match (debit, credit) {
                (None, None) => None,
                (debit, credit) => Amount::from_units(debit.map_or(0, Amount::units) - credit.map_or(0, Amount::units)),
            };
            figures(debit).into_iter().zip(figures(credit)).map(less).collect()
        }
    }
}

impl Indicator {
    fn new(table: &Table, place: usize) -> Self {
        let mut values: Vec<String> = table.cells(place).map(str::to_owned).collect();
        values.sort_unstable();
        values.dedup();
        values.truncate(10);
        // Two texts are a pair of the same language; one alone may be of several.
        let pair = match values.as_slice() {
            [one, other] => {
                let (one, other) = (one.to_lowercase(), other.to_lowercase());
                let is = |a: &str, b: &str| a == one && b == other || a == other && b == one;
                LETTERS.iter().find(|(debit, credit)| is(debit, credit))
            }
            _ => None,
        };
        let side = |value: &String| {
            let value = value.to_lowercase();
            if let Some((debit, credit)) = pair {
                return Some(if value == *debit { (true, *credit) } else { (false, *debit) });
            }
            LETTERS.iter().find_map(|(debit, credit)| match value.as_str() {
                value if value == *debit => Some((true, *credit)),
                value if value == *credit => Some((false, *debit)),
                _ => None,
            })
        };
        let sides: Option<Vec<(bool, &str)>> = values.iter().map(side).collect();
        let Some(sides) = sides.filter(|sides| !sides.is_empty()) else { return Self { place, values: Err(values) } };
        // Where the sample has one side alone, the other is what stands beside it everywhere.
        let is_upper = values.iter().all(|value| value.to_uppercase() == *value);
        let opposite = |other: &str| if is_upper { other.to_uppercase() } else { other.to_owned() };
        let of = |debit: bool| -> Vec<String> {
            let these: Vec<String> =
                values.iter().zip(&sides).filter(|(_, (is, _))| *is == debit).map(|(value, _)| value.clone()).collect();
            let others = || sides.iter().map(|(_, other)| opposite(other)).take(1).collect();
            if these.is_empty() { others() } else { these }
        };
        let (debit, credit) = (of(true), of(false));
        Self { place, values: Ok((debit, credit)) }
    }

    /// Whether it tells classes, and most amounts of those whose accounts are in credit stand without their sign.
    fn turns_most(&self, table: &Table, amounts: &[Option<Amount>]) -> bool {
        let Ok((_, credit)) = &self.values else { return false };
        let are_classes = credit.iter().all(|value| CREDIT_CLASSES.contains(&value.to_lowercase().as_str()));
        let is_credit =
            |row: &Vec<String>| row.get(self.place).is_some_and(|cell| credit.iter().any(|value| value == cell.trim()));
        let of_credit =
            || table.rows.iter().zip(amounts).filter(|(row, _)| is_credit(row)).filter_map(|(_, amount)| *amount);
        let above = of_credit().filter(|amount| *amount > Amount::ZERO).count();
        are_classes && above > of_credit().filter(|amount| *amount < Amount::ZERO).count()
    }

    /// What a profile says of it.
    pub(super) fn lines(&self, table: &Table) -> [String; 3] {
        let listed = |values: &[String]| values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", ");
        let [debit, credit] = match &self.values {
            Ok((debit, credit)) => {
                [format!("debit_values = [{}]", listed(debit)), format!("credit_values = [{}]", listed(credit))]
            }
            Err(values) => ["debit", "credit"].map(|side| {
                format!("{side}_values = \"?\"   # which of {} mean {side}: a list of texts", listed(values))
            }),
        };
        [format!("indicator = {}", table.name(self.place)), debit, credit]
    }

    /// Amounts with the sign that it gives them; as they are where it is not known what it means.
    fn applied(&self, rows: &[Vec<String>], amounts: Vec<Option<Amount>>) -> Vec<Option<Amount>> {
        let Ok((_, credit)) = &self.values else { return amounts };
        let is_credit =
            |row: &Vec<String>| row.get(self.place).is_some_and(|cell| credit.iter().any(|value| value == cell.trim()));
        let turned = |(amount, row): (Option<Amount>, &Vec<String>)| {
            let amount = amount?;
            if is_credit(row) { Amount::from_units(-amount.units()) } else { Some(amount) }
        };
        amounts.into_iter().zip(rows).map(turned).collect()
    }
}

impl Contra {
    /// The second account that lines have, by its name or as one of two columns that differ in their side.
    fn new(table: &Table, numeric: &[(usize, usize)], texts: &[(usize, usize)]) -> Option<Self> {
        let account = table.at(Heading::Target("account_code"));
        if let Some((contra, account)) = table.at(Heading::Contra).zip(account) {
            return Some(Self { account, contra, names: None, amount: None });
        }
        let heading = |place: usize| table.headings[place].as_str();
        let accounts = || texts.iter().filter(|(debit, _)| headings::names_account(heading(*debit))).copied();
        let codes = accounts().find(|(debit, _)| headings::names_code(heading(*debit)));
        let (account, contra) = codes.or_else(|| accounts().next())?;
        let names =
            codes.and_then(|code| accounts().find(|pair| *pair != code && !headings::names_code(heading(pair.0))));
        // The amounts beside them, and not those of a tax.
        let heading = |place: usize| table.headings[place].as_str();
        let amounts = || numeric.iter().filter(|(debit, _)| headings::is_amount_of_side(heading(*debit)));
        let amount = match (numeric, amounts().count()) {
            ([(_, credit)], _) => Some(*credit),
            (_, 1) => amounts().next().map(|(_, credit)| *credit),
            _ => None,
        };
        Some(Self { account, contra, names, amount })
    }

    /// The rows that the first account alone makes, and those that both make, each with their sum.
    pub(super) fn figures(&self, table: &Table, amounts: &Candidate) -> [(usize, String); 2] {
        let of = |place: usize, amounts: &[Option<Amount>], turned: bool| -> Vec<Amount> {
            let rows = table.rows.iter().zip(amounts).filter(|(row, _)| Table::is_filled(row, place));
            let signed = |amount: Amount| if turned { Amount::from_units(-amount.units()) } else { Some(amount) };
            rows.map(|(_, amount)| amount.and_then(signed).unwrap_or(Amount::ZERO)).collect()
        };
        let own = of(self.account, &amounts.amounts, false);
        let second = match self.amount {
            Some(place) => of(self.contra, &table.figures(place).amounts, true),
            None => of(self.contra, &amounts.amounts, true),
        };
        let told = |amounts: Vec<Amount>| (amounts.len(), shown(amounts.into_iter()));
        [told(own.clone()), told([own, second].concat())]
    }
}

/// The sum of amounts, for people.
pub(super) fn shown(amounts: impl Iterator<Item = Amount>) -> String {
    let mut sum = Sum::default();
    amounts.for_each(|amount| sum.add(amount));
    sum.total().map_or_else(|| "more than 18 digits".to_owned(), |sum| sum.to_string())
}
