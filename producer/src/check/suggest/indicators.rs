//! Columns that say of an amount beside them whether it is debit or credit.

use shared::{amount::Amount, file::columns::key_of};

use super::{headings::Heading, quoted, table::Table};

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
/// Letters of a mark beside a figure.
const MARK_LETTERS: usize = 3;
/// Letters of a text that may say a side.
const SIDE_LETTERS: usize = 24;

/// Letters that stand behind or before figures, and whether they mean debit: those of one language, if they are known.
pub(super) fn marks<'a>(cells: impl Iterator<Item = &'a str>) -> Vec<(String, bool)> {
    let mut found: Vec<String> = Vec::new();
    for mark in cells.filter_map(mark) {
        if !found.contains(&mark) {
            found.push(mark);
        }
    }
    let lower: Vec<String> = found.iter().map(|mark| mark.to_lowercase()).collect();
    let holds = |pair: &&(&str, &str)| lower.iter().all(|mark| mark == pair.0 || mark == pair.1);
    let pair = LETTERS.iter().filter(|_| !found.is_empty() && found.len() < 3).find(holds);
    let Some((debit, credit)) = pair else { return Vec::new() };
    let sided = found.into_iter().zip(&lower).map(|(mark, lower)| (mark, lower == debit));
    let mut marks: Vec<(String, bool)> = sided.collect();
    // Where one side stands without a letter, that of the other may come.
    if let [(_, is_debit)] = marks.as_slice() {
        let other = !is_debit;
        marks.push(((if other { debit } else { credit }).to_string(), other));
    }
    marks
}

/// What stands beside a figure in its cell.
fn mark(cell: &str) -> Option<String> {
    let is_of_figure = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '\'' | ' ' | '\u{a0}' | '-' | '(' | ')');
    let mark = cell.trim().trim_matches(is_of_figure);
    let has_figure = cell.bytes().any(|byte| byte.is_ascii_digit());
    (has_figure && !mark.is_empty() && mark.chars().count() <= MARK_LETTERS && mark.chars().all(char::is_alphabetic))
        .then(|| mark.to_owned())
}

/// A column that says debit or credit.
pub(super) struct Indicator {
    pub(super) place: usize,
    /// Its values that mean either, or all of them where one is not known.
    pub(super) values: Result<(Vec<String>, Vec<String>), Vec<String>>,
}

/// All columns that have the heading by which one is known as an indicator.
pub(super) fn indicators(table: &Table) -> Vec<Indicator> {
    let Some(first) = table.at(Heading::Indicator) else { return Vec::new() };
    let same = |place: &usize| key_of(&table.headings[*place]) == key_of(&table.headings[first]);
    (0..table.width()).filter(same).map(|place| Indicator::new(table, place)).collect()
}

/// Columns that may say debit or credit, although no heading says so: those of two texts, and those of classes. Of two
/// that are not known each may be either.
pub(super) fn guessed(table: &Table) -> Vec<Indicator> {
    let is_free = |place: &usize| !table.found.iter().any(|(heading, known)| known == place && !heading.is_class());
    let mut guessed = Vec::new();
    for place in (0..table.width()).filter(is_free) {
        let mut values: Vec<String> = table.cells(place).map(str::to_owned).collect();
        let filled = values.len();
        values.sort_unstable();
        values.dedup();
        let is_short = values.iter().all(|value| value.chars().count() <= SIDE_LETTERS);
        // One side may stand without a letter.
        if let [only] = values.as_slice()
            && filled < table.rows.len()
            && let Ok((debit, _)) = &Indicator::new(table, place).values
        {
            let (this, blank) = (vec![only.clone()], vec![String::new()]);
            let sides = if debit.contains(only) { (this, blank) } else { (blank, this) };
            guessed.push(Indicator { place, values: Ok(sides) });
            continue;
        }
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
    pub(super) fn turns_most(&self, table: &Table, amounts: &[Option<Amount>]) -> bool {
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
    pub(super) fn applied(&self, rows: &[Vec<String>], amounts: Vec<Option<Amount>>) -> Vec<Option<Amount>> {
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
