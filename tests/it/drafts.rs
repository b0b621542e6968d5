//! Drafts of mapping profiles do no harm: whatever is answered, what loads is the ledger, or what was announced.

use shared::{
    amount::Amount,
    file::{
        mapping_profile::MappingProfile,
        trial_balance::{self, LedgerRow, RowSink, read_until_settled},
    },
    message::failure::{BadRow, Failure},
    slice::Slice,
};
use tests::random::Random;

use crate::{hostile_files::workbooks::Workbook, reading::request, world::World};

const LEDGERS: u64 = 84;

/// A ledger in cents, and how its file is written.
struct Written {
    text: String,
    /// What all rows come to.
    closing: i128,
    /// Whether the draft has to leave open which amount is meant.
    is_open: bool,
}

struct Nothing;

impl RowSink for Nothing {
    fn good(&mut self, _: &LedgerRow<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn rejected(&mut self, _: &BadRow, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}

/// How the amounts of a file stand in it.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// One column.
    Balance,
    /// Opening, movement and closing.
    Three,
    /// Debit and credit, of which credits carry their minus.
    SignedSides,
    /// Debit and credit.
    Sides,
    /// An amount without a sign, and D or C.
    Indicated,
    /// An amount with its sign, and D or C all the same.
    SignedIndicated,
    /// Debit and credit of the opening and of the closing balance.
    TwoPairs,
    /// The same, under headings in two rows, the account's in the upper one.
    TwoTiers,
    /// Debit and credit under one heading, which stands above the others.
    Covered,
    /// One column, with a group of padded code above its accounts.
    Grouped,
    /// An amount without a sign, and two letters that no heading explains.
    Lettered,
    /// No headings.
    Headerless,
    /// Two accounts and an amount.
    Contra,
    /// Two accounts, each with an amount.
    ContraPairs,
}

const SHAPES: [Shape; 14] = [
    Shape::Balance,
    Shape::Three,
    Shape::SignedSides,
    Shape::Sides,
    Shape::Indicated,
    Shape::SignedIndicated,
    Shape::TwoPairs,
    Shape::TwoTiers,
    Shape::Covered,
    Shape::Grouped,
    Shape::Lettered,
    Shape::Headerless,
    Shape::Contra,
    Shape::ContraPairs,
];

impl Shape {
    fn headings(self) -> &'static [&'static str] {
        match self {
            Self::Balance | Self::Grouped => &["Account No.", "Account Name", "Class", "Balance"],
            Self::Lettered => &["Account No.", "Account Name", "Class", "Balance", "Oldal"],
            Self::Three => &["Account No.", "Account Name", "Class", "Opening", "Movement", "Closing"],
            Self::SignedSides | Self::Sides => &["Account No.", "Account Name", "Class", "Debit", "Credit"],
            Self::Indicated => &["Account No.", "Account Name", "Class", "CB", "D/C"],
            Self::SignedIndicated => &["Account No.", "Account Name", "Class", "Amount", "D/C"],
            Self::TwoPairs => {
                &["Account No.", "Account Name", "Class", "Opening Dr", "Opening Cr", "YTD Debit", "YTD Credit"]
            }
            Self::TwoTiers => &["", "", "", "Debit", "Credit", "Debit", "Credit"],
            Self::Covered => &["Account No.", "Account Name", "Class", "Debit", "Credit"],
            Self::Headerless => &[],
            Self::Contra => &["Konto", "Gegenkonto", "Text", "Betrag"],
            Self::ContraPairs => &["借方勘定科目", "借方金額", "貸方勘定科目", "貸方金額"],
        }
    }

    /// The row above the headings, where they are two.
    fn upper(self) -> Option<&'static [&'static str]> {
        match self {
            Self::TwoTiers => Some(&["Account No.", "Account Name", "Class", "Opening", "", "Closing", ""]),
            Self::Covered => Some(&["", "", "", "Saldo", ""]),
            Self::Balance
            | Self::Grouped
            | Self::Lettered
            | Self::Three
            | Self::SignedSides
            | Self::Sides
            | Self::Indicated
            | Self::SignedIndicated
            | Self::TwoPairs
            | Self::Headerless
            | Self::Contra
            | Self::ContraPairs => None,
        }
    }
}

/// A random ledger, written in a form that people meet.
fn written(random: &mut Random) -> Written {
    let comma = random.percent(50);
    let delimiter = if comma { ';' } else { random.one_of(&[',', ';', '\t']) };
    let cents = |units: i64| {
        let mark = if comma { ',' } else { '.' };
        let sign = if units < 0 { "-" } else { "" };
        format!("{sign}{}{mark}{:02}", units.abs() / 100, units.abs() % 100)
    };
    let sides = |units: i64| if units > 0 { [cents(units), String::new()] } else { [String::new(), cents(-units)] };
    let shape = random.one_of(&SHAPES);
    // Lines above a file without headings cannot be told from its rows.
    let titles = if shape == Shape::Headerless { 0 } else { random.between(0, 2) };
    let mut text: String = (0..titles).map(|_| "Trial balance of the group\n").collect();
    let line = |cells: &[String]| cells.join(&delimiter.to_string()) + "\n";
    if let Some(upper) = shape.upper() {
        text += &line(&upper.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    }
    if shape != Shape::Headerless {
        text += &line(&shape.headings().iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    }
    let mut closing = 0;
    let (mut unsigned, mut group) = (true, 0);
    let rows = random.between(3, 12);
    let mut lines: Vec<String> = Vec::new();
    for row in 0..rows {
        let repeats = shape != Shape::Grouped && row > 0 && random.percent(20);
        let code = 1000 + if repeats { 0 } else { row } + if shape == Shape::Grouped { 10 } else { 0 };
        // At least one figure with decimals tells the mark.
        let (units, other) = (random.between(1, 90_000) as i64 * 2 + 1, random.between(1, 90_000) as i64);
        // The accounts of a group have its sign.
        let units = if shape == Shape::Grouped || random.percent(50) { units } else { -units };
        (unsigned, group) = (unsigned && units > 0, group + units);
        closing += i128::from(units);
        let named = [code.to_string(), format!("Account {code}"), "BS".to_owned()];
        let indicator = if units > 0 { "D" } else { "C" }.to_owned();
        let cells: Vec<String> = match shape {
            Shape::Balance | Shape::Grouped | Shape::Headerless => named.into_iter().chain([cents(units)]).collect(),
            Shape::Three => named.into_iter().chain([cents(units - other), cents(other), cents(units)]).collect(),
            Shape::SignedSides if units < 0 => named.into_iter().chain([String::new(), cents(units)]).collect(),
            Shape::SignedSides | Shape::Sides | Shape::Covered => named.into_iter().chain(sides(units)).collect(),
            Shape::Lettered => {
                let letter = if units > 0 { "T" } else { "K" }.to_owned();
                named.into_iter().chain([cents(units.abs()), letter]).collect()
            }
            Shape::Indicated => named.into_iter().chain([cents(units.abs()), indicator]).collect(),
            Shape::SignedIndicated => named.into_iter().chain([cents(units), indicator]).collect(),
            Shape::TwoPairs | Shape::TwoTiers => named.into_iter().chain(sides(other)).chain(sides(units)).collect(),
            Shape::Contra => {
                closing -= i128::from(units);
                vec![code.to_string(), (5000 + row).to_string(), "Text".to_owned(), cents(units)]
            }
            Shape::ContraPairs => {
                closing += i128::from(units.abs() - other) - i128::from(units);
                vec![format!("科目{code}"), cents(units.abs()), format!("科目{}", 5000 + row), cents(other)]
            }
        };
        lines.push(line(&cells));
    }
    if shape == Shape::Grouped {
        // And the account that balances them, which is no group's.
        lines.insert(0, line(&["1000", "Group", "BS", &cents(group)].map(str::to_owned)));
        lines.push(line(&["9000", "Others", "BS", &cents(-group)].map(str::to_owned)));
        closing = 0;
    }
    text += &lines.concat();
    // Amounts without any sign may be those of liabilities.
    let is_one_column = matches!(shape, Shape::Balance | Shape::Headerless | Shape::Lettered);
    let is_open = matches!(shape, Shape::Three | Shape::TwoPairs | Shape::TwoTiers | Shape::Lettered)
        || is_one_column && unsigned;
    Written { text, closing: closing * 10_i128.pow(14), is_open }
}

/// An answer to a question of a draft: the lines that it puts there, those at the end, and what was announced for it.
type Answer = (String, String, Option<Amount>);

/// What a draft asks, and every answer with the sum that it announces, if it does.
fn answers(key: &str, comment: &str, draft: &str) -> Vec<Answer> {
    let plain = |answer: &str, announced| (format!("{key} = {answer}\n"), String::new(), announced);
    match key {
        "repeated_keys" => {
            let offered = ["sum", "last", "refuse"].map(|answer| format!("\"{answer}\""));
            offered.iter().filter(|answer| comment.contains(*answer)).map(|answer| plain(answer, None)).collect()
        }
        "signed" => vec![
            plain("true", amount_behind(comment, "the rows sum to ")),
            plain("false", amount_behind(comment, "subtracted (")),
        ],
        "balance" => draft.lines().filter_map(candidate).collect(),
        "without_key" => vec![plain("\"skip\"", None)],
        "keep" => {
            let (leaves_out, keeps) = comment.split_once("; [] keeps all").expect("two answers");
            let (condition, told) = leaves_out.split_once(" leaves them out").expect("a condition");
            let sum = |told| amount_behind(told, "sum to ");
            vec![plain(condition.trim_start_matches([' ', '#']), sum(told)), plain("[]", sum(keeps))]
        }
        // Of a file without headings the test knows the places.
        "account_code" => vec![plain("1", None)],
        "account_name" => vec![plain("2", None)],
        "status" => vec![plain("{ value = \"Assets\" }", None)],
        "bs_pl" => vec![plain("{ value = \"BS\" }", None)],
        other => panic!("a question that no test answers: {other}\n{draft}"),
    }
}

/// The amount behind a text.
fn amount_behind(text: &str, mark: &str) -> Option<Amount> {
    text.split(mark).nth(1)?.split([')', ',', ';', ' ']).next()?.parse().ok()
}

/// A reading that a draft names, as an answer.
fn candidate(line: &str) -> Option<Answer> {
    let (reading, rest) = line.strip_prefix("#   ")?.rsplit_once(": ")?;
    let announced = Some(rest.split("amounts that sum to ").nth(1)?.split(',').next()?.parse().ok()?);
    Some(match reading.strip_prefix("[balance] ") {
        Some(keys) => (String::new(), format!("\n[balance]\n{}\n", keys.replace(", ", "\n")), announced),
        None => (format!("balance = {reading}\n"), String::new(), announced),
    })
}

/// The draft with its second account booked, and without it.
fn with_and_without_contra(draft: &str) -> Vec<(String, Option<Amount>)> {
    let Some(at) = draft.find("[contra]\n") else { return vec![(draft.to_owned(), None)] };
    let (before, section) = draft.split_at(at);
    let (section, after) = section.split_once("\n\n").expect("a section behind it");
    let question = section.lines().nth(1).expect("a question");
    let (_, comment) = question.split_once("= \"?\"   # ").expect("a comment");
    let (second, told) = comment.split_once(" books the other side").expect("the second account");
    let (both, alone) = told.split_once("; without this section").expect("what it gives alone");
    let answered = section.replace(question, &format!("account_code = {second}"));
    vec![
        (format!("{before}{answered}\n\n{after}"), amount_behind(both, "that sum to ")),
        (format!("{before}{after}"), amount_behind(alone, "that sum to ")),
    ]
}

/// Every way to complete a draft: the profile, and the sum that was announced for it.
fn completed(draft: &str) -> Vec<(String, Option<Amount>)> {
    let mut all = Vec::new();
    for (draft, announced) in with_and_without_contra(draft) {
        let mut ways = vec![(String::new(), String::new(), announced)];
        for line in draft.lines() {
            let options = match line.split_once(" = \"?\"") {
                Some((key, comment)) => answers(key, comment, &draft),
                None => vec![(format!("{line}\n"), String::new(), None)],
            };
            let grown = ways.iter().flat_map(|(text, end, told): &Answer| {
                options.iter().map(move |(line, more, announced)| {
                    (format!("{text}{line}"), format!("{end}{more}"), announced.or(*told))
                })
            });
            ways = grown.collect();
        }
        all.extend(ways.into_iter().map(|(text, end, told)| (text + &end, told)));
    }
    all
}

#[tokio::test]
async fn no_completed_draft_loads_other_figures_than_the_ledgers_or_those_it_announced() {
    let world = World::new().await;
    let (mut loaded, mut announced_ones) = (0, 0);
    for seed in 0..LEDGERS {
        let written = written(&mut Random::new(seed));
        let file = world.write("a.csv", &written.text);
        let draft = world.producer(&["check", &file, "--suggest"]).await.expect(0).stdout;
        assert_eq!(draft.contains("\nbalance = \"?\""), written.is_open || draft.contains("[balance] "), "{draft}");
        let before = loaded;
        for (toml, announced) in completed(&draft) {
            let told = || format!("seed {seed}\n{toml}\n--- of ---\n{}", written.text);
            let profile = MappingProfile::parse("draft".parse().unwrap(), &toml);
            let profile = profile.unwrap_or_else(|invalid| panic!("{invalid}\n{}", told()));
            let slice = Slice { entity: "A".parse().unwrap(), period: "2022-06".parse().unwrap() };
            let request = request(&slice, &profile);
            let read = read_until_settled(|assumptions| {
                trial_balance::read(written.text.as_bytes(), &request, assumptions, &mut Nothing)
            });
            // What is refused does no harm.
            let Ok(checked) = read else { continue };
            let ledger = Amount::from_units(written.closing).unwrap();
            assert_eq!(checked.balance_sum, announced.unwrap_or(ledger), "{}", told());
            loaded += 1;
            announced_ones += u32::from(announced.is_some_and(|announced| announced != ledger));
        }
        assert!(loaded > before, "seed {seed}: no way to complete it loads\n{draft}\n--- of ---\n{}", written.text);
    }
    assert!(loaded > LEDGERS as u32 && announced_ones > 0, "{loaded} loaded, {announced_ones} of them as announced");
}

/// A file in each of the forms that a draft finds, and what it must say of it.
const FORMS: [(&str, &[&str]); 23] = [
    (
        // Without headings, and an entity's column that is filled beside one that is not.
        "1000,Cash,5.50\n2000,Debt,-5.50\n",
        &["header = false", "#   3: 5.50, -5.50", "account_code = \"?\"", "balance = 3"],
    ),
    (
        "Entity;CompanyCode;Account No.;Account Name;CB\n;DE01;1000;Cash;5,50\n;DE01;2000;Debt;-5,50\n",
        &[
            "entity = \"CompanyCode\"",
            "balance = \"CB\"",
            "# kept in extra as they are, unless a rule above names them: Entity",
        ],
    ),
    (
        // The account's side is told by another column, and the amount has no name of one.
        "科目コード,科目名称,貸借区分,期末金額\n100,現金,借,500\n200,借入金,貸,500\n",
        &[
            "[balance]\ncolumn = \"期末金額\"\nindicator = \"貸借区分\"\ndebit_values = [\"借\"]\ncredit_values = [\"貸\"]",
        ],
    ),
    (
        "Year,Period,Account No.,Account Name,Closing Balance\n2022,6,1000 Cash,Cash,1.50\n2022,6,2000 Debt,Debt,-1.50\n",
        &[
            "period = { columns = [\"Year\", \"Period\"], join = \"-\", format = [\"YYYY-MM\", \"YYYY-M\", \"YYYY-PPP\"] }",
        ],
    ),
    (
        "|St|Account    |Saldo  |\n|--|-----------|-------|\n|@ |1000 Kasse |  5,50 |\n|@ |2000 Schuld|  5,50-|\n",
        &[
            "leading_delimiter = true\ntrailing_delimiter = true",
            "account_code = { column = \"Account\", part = '^(\\d+(?:[-.]\\d+)*)\\s' }",
        ],
    ),
    (
        "Account No.,Account Name,Status,Balance\n1000,Cash,Active,$ 5.50\n2000,Debt,Locked,-\n",
        &["currency = [\"$\"]", "empty = [\"-\"]", "status = \"?\"", "\"Status\" holds Active, Locked"],
    ),
    (
        // Groups beside their accounts.
        "Code;Name;Balance\n1;Assets;100.00\n11;Cash;100.00\n111;Petty cash;100.00\n2;Debt;-100.00\n21;Loans;-100.00\n211;Bank;-100.00\n",
        &[
            "keep = \"?\"   # [{ column = \"Code\", is_not = [\"1\", \"11\", \"2\", \"21\"] }] leaves them out, and the rows sum to 0, debit 100; [] keeps all, which sum to 0, debit 300",
        ],
    ),
    (
        // Movements that are the balance in this month alone.
        "Rekening;Omschrijving;Debet;Credit;Saldo debet;Saldo credit\n10;Kas;5,00;;5,00;\n20;Lening;;5,00;;5,00\n",
        &[
            "#   [balance] debit = \"Debet\", credit = \"Credit\": 2",
            "#   [balance] debit = \"Saldo debet\", credit = \"Saldo credit\": 2",
        ],
    ),
    (
        // Each amount with the letter beside it, and codes that look like amounts.
        "科目编码,科目名称,方向,期初余额,方向,期末余额\n10.01,现金,借,1.50,借,2.50\n20.01,借款,贷,1.50,贷,2.50\n",
        &[
            "[balance] column = \"期末余额\", indicator = 5",
            "[balance] column = \"期初余额\", indicator = 3",
            "decimal = \".\"",
        ],
    ),
    (
        // Headings in two rows, which a profile joins.
        "Trial balance\nAccount;Name;Opening;;Closing;\n;;Debit;Credit;Debit;Credit\n10;Cash;1;;2;\n20;Debt;;1;;2\n",
        &[
            "header_contains = [\"Account\", \"Name\", \"Opening\"]   # 1 records above it",
            "header_rows = 2",
            "account_code = \"Account\"",
            "#   [balance] debit = \"Closing Debit\", credit = \"Closing Credit\": 2 amounts that sum to 0",
        ],
    ),
    (
        // Titles above the rows of a company, and a total in a language that no list has.
        "Account;Name;Balance\nCompany: A;;\n10;Cash;5.50\n20;Debt;-5.50\nCompany: B;;\n30;Cash;7.50\n40;Debt;-7.50\nJumla;;0.00\n",
        &[
            "# 1 rows have no number where others have one",
            "# 2 rows have one cell: titles?",
            "is_not = [\"Jumla\", \"Company: A\", \"Company: B\"] }] leaves them out, and the rows sum to 0, debit 13",
        ],
    ),
    (
        // Columns that tell books apart, of which one holds several.
        "Konto;Bezeichnung;Firma;Währung;Saldo\n10;Kasse;1;EUR;5,50\n20;Kapital;2;EUR;-5,50\n",
        &[
            "same = \"?\"   # \"Firma\" (1: 1 rows, 5.5; 2: 1 rows, -5.5); [\"Firma\", \"Währung\"] refuses a file with several",
        ],
    ),
    (
        // Balances without their signs, and classes that tell them.
        "Account;Name;Type;Balance\n10;Cash;Asset;9.50\n20;Debt;Liability;5.50\n30;Shares;Equity;4.00\n",
        &[
            "#   \"Balance\": 3 amounts that sum to 19",
            "indicator = \"Type\", debit_values = [\"Asset\"], credit_values = [\"Equity\", \"Liability\"]: 3 amounts that sum to 0",
            "balance = \"?\"",
        ],
    ),
    (
        // A total that is none: no rows above it sum to it.
        "Account;Balance\nTotal Oil payable;-600.00\nCash;400.00\nBank;200.00\nTotal;0.00\n",
        &[
            "is_not = [\"Total Oil payable\"] }] leaves them out, and the rows sum to 600",
            "{ column = \"*\", is = \"Total\" }",
        ],
    ),
    (
        // Letters of a language beside the figures.
        "Konto;Név;Egyenleg\n10;Pénz;5,50 T\n20;Hitel;5,50 K\n",
        &["debit_marks = [\"T\"]\ncredit_marks = [\"K\"]", "balance = \"Egyenleg\""],
    ),
    (
        // Rows without an account that hold amounts, and a record that is cut off.
        "Account;Name;Balance\n10;Cash and cash;\n;equivalents;5.50\n20;Debt;-5.50\n30;Cos\n",
        &[
            "without_key = \"?\"   # 1 rows have no account, as \"equivalents 5.50\"; they sum to 5.5, debit 5.5",
            "short_records = \"?\"   # 1 records have fewer cells than the headings, and \"30 Cos\" ends before its amount",
        ],
    ),
    (
        // A text that is a total in one row and an account's name in another.
        "Account;Name;Balance\n10;Cash;5.50\n14;Total;3.00\n20;Debt;-8.50\n;Total;0.00\n",
        &["is_not = [\"14\"] }] leaves them out, and the rows sum to -3, debit 5.5"],
    ),
    (
        // Subtotals of both signs.
        "No;Name;Balance\n1010;Equipment;900.10\n1020;Depreciation;-300.05\n1999;Total assets;600.05\n\
         2010;Loan;-800.10\n2020;Discount;200.05\n2999;Total debt;-600.05\n",
        &["is_not = [\"1999\", \"2999\"] }] leaves them out, and the rows sum to 0, debit 1100.15"],
    ),
    (
        // A mark for credits alone.
        "Account;Name;Balance;Type\n10;Cash;5.50;\n20;Debt;5.50;CR\n",
        &[
            "#   \"Balance\": 2 amounts that sum to 11, debit 11",
            "indicator = \"Type\", debit_values = [\"\"], credit_values = [\"CR\"]: 2 amounts that sum to 0, debit 5.5",
        ],
    ),
    (
        // Codes that stand as formulas.
        "Account;Name;Balance\n=\"0010\";Cash;5.50\n=\"0020\";Debt;-5.50\n",
        &[r#"account_code = { column = "Account", part = '^="(.*)"$' }"#],
    ),
    (
        // Movements that are headed as if they were periods.
        "Konto\tBenämning\tIngående balans\tPeriod\tUtgående balans\n10\tKassa\t1,50\t4,00\t5,50\n20\tSkuld\t-1,50\t-4,00\t-5,50\n",
        &["#   \"Period\": 2 amounts that sum to 0", "period = { message = \"period\" }"],
    ),
    (
        // The only amounts are those of a budget.
        "Account;Name;Budget\n10;Cash;5.50\n20;Debt;-5.50\n",
        &["# \"Budget\" does not say that it is the closing balance.", "balance = \"?\""],
    ),
    (
        // Postings of one account that are equal are no groups.
        "Account No.,Account Name,Balance\n10,Cash,5.50\n10,Cash,5.50\n20,Debt,-5.50\n20,Debt,-5.50\n",
        &["repeated_keys = \"?\"   # 2 of 4 rows", "\n[amounts]\ndecimal = \".\"\n\n[columns]"],
    ),
];

#[tokio::test]
async fn a_draft_finds_what_is_there() {
    let world = World::new().await;
    for (text, says) in FORMS {
        let file = world.write("a.csv", text);
        let draft = world.producer(&["check", &file, "--suggest"]).await.expect(0).stdout;
        for told in says {
            assert!(draft.contains(told), "{told}\n--- in ---\n{draft}\n--- of ---\n{text}");
        }
    }
}

#[tokio::test]
async fn no_draft_is_made_of_a_file_whose_columns_no_delimiter_tells_apart() {
    let world = World::new().await;
    for (text, says) in [
        (
            "ACCT    DESCRIPTION        BALANCE\n1000    CASH IN HAND      1,500.00\n1100    BANK                300.00\n\
             2000    PAYABLES         -1,800.00\n",
            "columns of fixed width",
        ),
        (
            "Account,Name,Debit,Credit\n1000,Cash,500.00,\n1200,Bank,2,700.00,\n3000,Capital,,900.00\n",
            "commas between their thousands and no quotes",
        ),
    ] {
        let file = world.write("a.csv", text);
        let refused = world.producer(&["check", &file, "--suggest"]).await.expect(2).stderr;
        assert!(refused.contains(says), "{refused}");
    }
}

#[tokio::test]
async fn a_draft_asks_which_sheet_is_meant_and_names_those_that_it_did_not_read() {
    let world = World::new().await;
    let row = |cells: [&str; 3]| {
        let cells = cells.map(|text| format!(r#"<c t="str"><v>{text}</v></c>"#));
        format!("<row>{}</row>", cells.concat())
    };
    let sheet = |balance: &str| {
        let rows = [row(["Account No.", "Account Name", "Balance"]), row(["10", "Cash", balance])];
        format!("<worksheet><sheetData>{}</sheetData></worksheet>", rows.concat())
    };
    const OFFICE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let (mut sheets, mut links) = (String::new(), String::new());
    for (number, name) in ["Notes", "June", "July", "Gone"].iter().enumerate() {
        sheets += &format!(r#"<sheet name="{name}" sheetId="{number}" r:id="r{number}"/>"#);
        links += &format!(r#"<Relationship Id="r{number}" Type="{OFFICE}/worksheet" Target="worksheets/{name}.xml"/>"#);
    }
    let book = format!(r#"<workbook xmlns:r="{OFFICE}"><sheets>{sheets}</sheets></workbook>"#);
    let notes = format!("<worksheet><sheetData>{}</sheetData></worksheet>", row(["As of June", "", ""]));
    let workbook = Workbook::of_sheet("")
        .part("xl/workbook.xml", book)
        .part("xl/_rels/workbook.xml.rels", format!("<Relationships>{links}</Relationships>"))
        .part("xl/worksheets/Notes.xml", notes)
        .part("xl/worksheets/June.xml", sheet("5.50"))
        .part("xl/worksheets/July.xml", sheet("7.50"));
    let file = world.write("a.xlsx", workbook.packed());
    let draft = world.producer(&["check", &file, "--suggest"]).await.expect(0).stdout;
    for told in [
        "sheet = \"?\"   # the name of the sheet to load",
        "#   \"June\": 1 rows below Account No., Account Name, Balance",
        "#   \"July\": 1 rows below",
        "# The sheet \"Gone\" was not looked at.",
        "balance = \"Balance\"",
    ] {
        assert!(draft.contains(told), "{told}\n{draft}");
    }
}
