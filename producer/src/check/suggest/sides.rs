//! Columns that come in twos, one for each side: `YTD Debit` and `YTD Credit`, 借方金額 and 貸方金額.

use super::table::Table;

/// The words for the two sides, in lower case.
const WORDS: [(&str, &str); 31] = [
    ("winien", "ma"),
    ("md", "d"),
    ("má dať", "dal"),
    ("má dáti", "dal"),
    ("tartozik", "követel"),
    ("χρέωση", "πίστωση"),
    ("مدين", "دائن"),
    ("duguje", "potražuje"),
    ("debitor", "creditor"),
    ("debitoare", "creditoare"),
    ("차변", "대변"),
    ("debits", "credits"),
    ("debit", "credit"),
    ("dr", "cr"),
    ("soll", "haben"),
    ("débit", "crédit"),
    ("débito", "crédito"),
    ("debito", "credito"),
    ("debe", "haber"),
    ("dare", "avere"),
    ("debet", "credit"),
    ("debet", "kredit"),
    ("débiteur", "créditeur"),
    ("deudor", "acreedor"),
    ("devedor", "credor"),
    ("wn", "ma"),
    ("дебет", "кредит"),
    ("debetsaldo", "kreditsaldo"),
    ("borç", "alacak"),
    ("借方", "貸方"),
    ("借方", "贷方"),
];

/// The columns that differ in the word for their side alone: of what is debited and of what is credited.
pub(super) fn pairs(table: &Table) -> Vec<(usize, usize)> {
    let headings: Vec<String> = table.headings.iter().map(|heading| heading.to_lowercase()).collect();
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    for (debit_word, credit_word) in WORDS {
        for (debit, heading) in headings.iter().enumerate() {
            let Some(stem) = stem(heading, debit_word) else { continue };
            let is_taken = |place: usize| pairs.iter().any(|(debit, credit)| [*debit, *credit].contains(&place));
            let same = |place: &usize| {
                !is_taken(*place) && self::stem(&headings[*place], credit_word).is_some_and(|other| other == stem)
            };
            // Where headings stand several times, the next one belongs to it.
            let credit = (debit + 1..headings.len()).find(same).or_else(|| (0..debit).find(same));
            if let Some(credit) = credit.filter(|_| !is_taken(debit)) {
                pairs.push((debit, credit));
            }
        }
    }
    pairs.sort_unstable();
    pairs
}

/// Whether a heading is that of one side.
pub(super) fn is_side(heading: &str) -> bool {
    let heading = heading.to_lowercase();
    WORDS.iter().any(|(debit, credit)| [debit, credit].iter().any(|word| stem(&heading, word).is_some()))
}

/// What is left of a heading without a word that stands in it by itself.
fn stem(heading: &str, word: &str) -> Option<String> {
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    // Words of these scripts have no spaces between them.
    let stands_alone = word.chars().any(|c| c >= '\u{2e80}');
    heading.match_indices(word).find_map(|(at, _)| {
        let (before, after) = (&heading[..at], &heading[at + word.len()..]);
        let is_word = stands_alone || !is_letter(before.chars().next_back()) && !is_letter(after.chars().next());
        is_word.then(|| format!("{before}\u{0}{after}"))
    })
}
