//! Profiles: a dialect as a person would describe it from the guide.

use tests::random::Random;

use crate::{
    dialect::{Balance, Dialect, Entities, Headings},
    file::{Column, Table},
    periods::PERIODS,
};

/// The profile of a file, as TOML; with its decimal mark, or without.
pub(crate) fn profile(dialect: &Dialect, table: &Table, decimal: bool) -> String {
    let mut random = Random::at(dialect.seed, 2);
    let mut toml = "repeated_keys = 'sum'\n".to_owned();
    toml.push_str(&text(dialect, table));
    toml.push_str(&rows(dialect, table, &mut random));
    toml.push_str(&dialect.figures.told(decimal));
    toml.push_str(&balance(dialect, table, &mut random));
    toml.push_str("[columns]\n");
    for column in &table.columns {
        let own = reference(dialect, table, *column, &mut random);
        match column {
            Column::Entity => match dialect.entities {
                Entities::Plain => toml.push_str(&format!("entity = {own}\n")),
                Entities::FilledDown => {
                    toml.push_str(&format!("entity = {{ column = {own}, fill_down = true }}\n"));
                }
                Entities::Mapped => {
                    let entries: Vec<_> = table
                        .ledger
                        .slices
                        .iter()
                        .map(|(entity, ..)| entity)
                        .collect::<std::collections::BTreeSet<_>>()
                        .into_iter()
                        .map(|entity| format!("{} = {}", quoted(&Table::label(entity)), quoted(entity)))
                        .collect();
                    toml.push_str(&format!("entity = {{ column = {own}, map = {{ {} }} }}\n", entries.join(", ")));
                }
            },
            Column::Period => match PERIODS[dialect.period].rule {
                "" => toml.push_str(&format!("period = {own}\n")),
                rule => toml.push_str(&format!("period = {{ column = {own}, {rule} }}\n")),
            },
            Column::Code => toml.push_str(&format!("account_code = {own}\n")),
            Column::Name => toml.push_str(&format!("account_name = ['No such column', {own}]\n")),
            Column::Department => toml.push_str(&format!("department = {own}\n")),
            Column::Forward => toml.push_str(&format!("balance_carryforward = {own}\n")),
            Column::Amount if dialect.balance == Balance::Plain => toml.push_str(&format!("balance = {own}\n")),
            Column::Amount | Column::Credit | Column::Indicator | Column::Extra(_) => {}
        }
    }
    toml.push_str("bs_pl = { value = 'BS' }\nstatus = { value = 'Assets' }\n");
    toml
}

fn text(dialect: &Dialect, table: &Table) -> String {
    let mut lines = vec!["[text]".to_owned()];
    let crate::dialect::TextEncoding(encoding, mark) = dialect.encoding;
    if encoding != encoding_rs::UTF_8 && !mark {
        lines.push(format!("encoding = {}", quoted(&encoding.name().to_ascii_lowercase())));
    }
    if dialect.delimiter_is_told {
        lines.push(match dialect.delimiter {
            '\t' => "delimiter = 'tab'".to_owned(),
            delimiter => format!("delimiter = '{delimiter}'"),
        });
    }
    match dialect.quote {
        Some('"') => {}
        Some(quote) => lines.push(format!("quote = \"{quote}\"")),
        None => lines.push("quote = 'none'".to_owned()),
    }
    if dialect.feeds_only {
        lines.push("line_end = 'lf'".to_owned());
    }
    match dialect.headings {
        Headings::First => {}
        Headings::Below(_) => lines.push(format!("skip_lines = {}", table.titles)),
        Headings::Told(_) => {
            let cells = [Column::Code, Column::Name].map(|column| quoted(&table.heading(column).to_uppercase()));
            lines.push(format!("header_contains = [{}]", cells.join(", ")));
        }
        Headings::None { named } => {
            lines.push("header = false".to_owned());
            if named || dialect.short || dialect.extra > 0 {
                let names: Vec<_> = table.columns.iter().map(|column| quoted(&table.heading(*column))).collect();
                lines.push(format!("column_names = [{}]", names.join(", ")));
            }
        }
    }
    for (set, key) in [(dialect.leading, "leading_delimiter"), (dialect.trailing, "trailing_delimiter")] {
        if set {
            lines.push(format!("{key} = true"));
        }
    }
    if dialect.short {
        lines.push("short_records = 'pad'".to_owned());
    }
    lines.join("\n") + "\n"
}

fn rows(dialect: &Dialect, table: &Table, random: &mut Random) -> String {
    let code = reference(dialect, table, Column::Code, random);
    let noise = dialect.noise;
    let mut drop = Vec::new();
    if noise.totals {
        drop.push(format!("{{ column = {code}, starts_with = 'Total' }}"));
    }
    if noise.headings_again {
        drop.push(format!("{{ column = {code}, is = {} }}", quoted(&table.heading(Column::Code))));
    }
    let mut lines = vec!["[rows]".to_owned()];
    if !drop.is_empty() {
        lines.push(format!("drop = [{}]", drop.join(", ")));
    }
    if noise.footer {
        lines.push("end = [{ column = '*', matches = '^End of report' }]".to_owned());
    }
    if noise.keyless {
        lines.push("without_key = 'skip'".to_owned());
    }
    if lines.len() > 1 { lines.join("\n") + "\n" } else { String::new() }
}

fn balance(dialect: &Dialect, table: &Table, random: &mut Random) -> String {
    let mut of = |column| reference(dialect, table, column, random);
    match dialect.balance {
        Balance::Plain => String::new(),
        Balance::Negated => format!("[balance]\ncolumn = {}\nnegate = true\n", of(Column::Amount)),
        Balance::Sides { signed } => {
            format!("[balance]\ndebit = {}\ncredit = {}\nsigned = {signed}\n", of(Column::Amount), of(Column::Credit))
        }
        Balance::Indicated { negate } => format!(
            "[balance]\ncolumn = {}\nindicator = {}\ndebit_values = ['S', '40']\ncredit_values = ['H', '50']\nnegate = {negate}\n",
            of(Column::Amount),
            of(Column::Indicator),
        ),
    }
}

/// A column as a profile refers to it: by its name, however that is written, or by its place.
fn reference(dialect: &Dialect, table: &Table, column: Column, random: &mut Random) -> String {
    let place = table.columns.iter().position(|known| *known == column).expect("a column of the table") + 1;
    let unnamed = matches!(dialect.headings, Headings::None { named: false }) && !dialect.short && dialect.extra == 0;
    if unnamed || random.percent(15) {
        return place.to_string();
    }
    let name = table.heading(column);
    quoted(&match random.between(0, 3) {
        0 => name.to_uppercase(),
        1 => format!(" {} ", name.replace(' ', "   ")),
        2 => name.to_lowercase().replace(' ', "_"),
        _ => name,
    })
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
