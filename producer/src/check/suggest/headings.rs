//! What columns are called in the exports of many ERPs and languages.

use shared::file::columns::key_of;

/// What a column is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heading {
    /// A column of the ledger.
    Target(&'static str),
    /// What is debited.
    Debit,
    /// What is credited.
    Credit,
    /// Whether the amount is debit or credit.
    Indicator,
    /// The second account of a line.
    Contra,
    /// The year of a period that has a column of its own.
    Year,
}

impl Heading {
    /// Whether its cells are amounts.
    pub(super) fn is_amount(self) -> bool {
        match self {
            Self::Target(name) => shared::file::columns::AMOUNTS.contains(&name),
            Self::Debit | Self::Credit => true,
            Self::Indicator | Self::Contra | Self::Year => false,
        }
    }

    /// Whether its cells are classes of accounts.
    pub(super) fn is_class(self) -> bool {
        matches!(self, Self::Target("bs_pl" | "status" | "account_category" | "sub_category" | "report_type"))
    }
}

/// Names by meaning, in lower case, the likeliest first.
const NAMES: [(Heading, &[&str]); 16] = [
    (
        Heading::Target("account_code"),
        &[
            "account_code",
            "account code",
            "account combination",
            "account no",
            "account no.",
            "account number",
            "account id",
            "gl account",
            "g/l account",
            "g/l acct",
            "racct",
            "hkont",
            "saknr",
            "sachkonto",
            "konto",
            "kontonummer",
            "konto-nr.",
            "konto nr",
            "kontonr",
            "mainaccount",
            "main account",
            "no.",
            "nominal code",
            "n/c",
            "code",
            "comptenum",
            "compte",
            "n° compte",
            "cuenta",
            "código",
            "codigo",
            "conta",
            "código da conta",
            "conto",
            "rekening",
            "grootboekrekening",
            "勘定科目コード",
            "科目コード",
            "科目代號",
            "會計科目代號",
            "会计科目编码",
            "科目编码",
            "счет",
            "счёт",
            "код счета",
            "hesap kodu",
            "nr konta",
            "rekening nr",
            "kontonr.",
            "tili",
            "account",
            "acct",
            "acct no",
            "acct no.",
            "a/c",
            "a/c no",
            "a/c no.",
            "a/c code",
            "no",
            "nr",
            "nr.",
            "nº cuenta",
            "kod",
            "rekeningnummer",
            "科目代码",
            "科目编号",
            "科目編號",
            "科目番号",
            "계정코드",
            "główne konto",
            "konto księgowe",
            "symbol konta",
            "főkönyvi szám",
            "számlaszám",
            "účet",
            "číslo účtu",
            "λογαριασμός",
            "κωδικός",
            "رقم الحساب",
            "sąskaita",
            "cont",
            "simbol cont",
        ],
    ),
    (
        Heading::Target("account_name"),
        &[
            "account_name",
            "account name",
            "account description",
            "account_desc",
            "account desc",
            "gl account long text",
            "txt50",
            "txt20",
            "kontobezeichnung",
            "bezeichnung",
            "beschriftung",
            "kontoname",
            "kontenbezeichnung",
            "name",
            "description",
            "comptelib",
            "libellé",
            "intitulé",
            "descripción",
            "descrição",
            "descrizione",
            "omschrijving",
            "particulars",
            "勘定科目",
            "勘定科目名",
            "科目名称",
            "科目名稱",
            "會計科目名稱",
            "ledger name",
            "nombre",
            "nome",
            "nazwa",
            "nazwa konta",
            "descricao",
            "descripcion",
            "descr",
            "descr.",
            "account title",
            "acct name",
            "gl name",
            "nominal name",
            "a/c name",
            "main account name",
            "desc",
            "desc.",
            "kontotext",
            "kontonavn",
            "descrição da conta",
            "科目名",
            "계정과목",
            "megnevezés",
            "název",
            "název účtu",
            "názov",
            "περιγραφή",
            "اسم الحساب",
            "pavadinimas",
            "denumire",
            "denumirea contului",
            "наименование",
            "hesap adı",
            "kontonamn",
            "benämning",
            "naam",
            "navn",
            "nimi",
        ],
    ),
    (
        Heading::Target("entity"),
        &[
            "entity",
            "legal entity",
            "company code",
            "cocd",
            "company",
            "bukrs",
            "rbukrs",
            "entity code",
            "company id",
            "société",
            "sociedad",
            "empresa",
            "società",
            "buchungskreis",
            "subsidiary",
            "會社",
            "会社コード",
        ],
    ),
    (
        Heading::Target("period"),
        &[
            "period",
            "fiscal period",
            "posting period",
            "periode",
            "buchungsperiode",
            "monat",
            "poper",
            "monthnumber",
            "month",
            "période",
            "período",
            "periodo",
            "期間",
        ],
    ),
    (Heading::Target("bs_pl"), &["bs_pl", "bs/pl", "statement", "bilanz/guv"]),
    (Heading::Target("status"), &["status", "state", "estado", "statut"]),
    (
        Heading::Target("balance"),
        &[
            "balance",
            "closing balance",
            "ending balance",
            "net balance",
            "saldo",
            "schlusssaldo",
            "endsaldo",
            "kumulierter saldo",
            "amount",
            "amount in local currency",
            "amount in local cur.",
            "amount in lc",
            "hsl",
            "dmbtr",
            "betrag",
            "umsatz (ohne soll/haben-kz)",
            "umsatz",
            "solde",
            "montant",
            "saldo final",
            "saldo atual",
            "saldo finale",
            "残高",
            "金額",
            "餘額",
            "期末余额",
            "balance at date",
            "net change",
        ],
    ),
    (
        Heading::Target("balance_carryforward"),
        &[
            "balance_carryforward",
            "opening balance",
            "beginning balance",
            "eröffnungssaldo",
            "saldovortrag",
            "saldo anterior",
            "solde initial",
            "saldo iniziale",
            "繰越残高",
            "期初餘額",
        ],
    ),
    (
        Heading::Target("department"),
        &[
            "department",
            "cost center",
            "cost centre",
            "kostenstelle",
            "kostl",
            "centro de costo",
            "centre de coûts",
            "部門",
        ],
    ),
    (Heading::Target("account_category"), &["account_category", "account type", "type", "kontoart"]),
    (Heading::Target("company_code"), &["company_code"]),
    (
        Heading::Debit,
        &[
            "debit",
            "debits",
            "debit balance",
            "soll",
            "sollsaldo",
            "débit",
            "debe",
            "débito",
            "debito",
            "dare",
            "debet",
            "借方",
            "借方金額",
            "debit amount",
            "dr",
            "year debit",
        ],
    ),
    (
        Heading::Credit,
        &[
            "credit",
            "credits",
            "credit balance",
            "haben",
            "habensaldo",
            "crédit",
            "haber",
            "crédito",
            "credito",
            "avere",
            "貸方",
            "貸方金額",
            "credit amount",
            "cr",
            "year credit",
        ],
    ),
    (
        Heading::Indicator,
        &[
            "soll/haben-kennzeichen",
            "soll/haben",
            "s/h",
            "shkzg",
            "drcrk",
            "debit/credit ind.",
            "debit/credit",
            "d/c",
            "dc",
            "d/k",
            "sens",
            "natureza",
            "貸借区分",
            "借贷方向",
            "方向",
        ],
    ),
    (
        Heading::Contra,
        &[
            "gegenkonto (ohne bu-schlüssel)",
            "gegenkonto",
            "contra account",
            "contra account no.",
            "offset account",
            "offsetting account",
            "bal. account no.",
            "balancing account",
            "tegenrekening",
            "contropartita",
            "contrapartida",
            "contre-partie",
            "相手勘定科目",
            "相手科目",
            "对方科目",
        ],
    ),
    (
        Heading::Year,
        &[
            "fiscal year",
            "year",
            "geschäftsjahr",
            "gjahr",
            "ryear",
            "jahr",
            "wirtschaftsjahr",
            "exercice",
            "ejercicio",
            "exercício",
            "esercizio",
            "boekjaar",
            "ano",
            "año",
            "anno",
            "年度",
            "年",
        ],
    ),
];

/// Words of which a heading of amounts has one, in lower case.
const AMOUNT_WORDS: [&str; 39] = [
    "amount",
    "amt",
    "betrag",
    "montant",
    "importe",
    "importo",
    "valor",
    "bedrag",
    "saldo",
    "solde",
    "balance",
    "debit",
    "credit",
    "soll",
    "haben",
    "débit",
    "crédit",
    "débito",
    "crédito",
    "debe",
    "haber",
    "dare",
    "avere",
    "umsatz",
    "movement",
    "movimento",
    "movimiento",
    "сальдо",
    "bakiye",
    "obroty",
    "mouvement",
    "残高",
    "金額",
    "金额",
    "餘額",
    "余额",
    "借方",
    "貸方",
    "贷方",
];

/// Words of which a heading of accounts has one, and those that say that it is their code.
const ACCOUNT_WORDS: [&str; 12] =
    ["account", "acct", "konto", "compte", "cuenta", "conta", "conto", "rekening", "科目", "ledger", "hesap", "a/c"];
const CODE_WORDS: [&str; 11] =
    ["code", "no", "no.", "number", "nummer", "id", "コード", "代號", "编码", "番号", "código"];

/// Whether a heading says that its cells are amounts.
pub(in crate::check) fn names_amount(heading: &str) -> bool {
    let heading = heading.to_lowercase();
    AMOUNT_WORDS.iter().any(|word| heading.contains(word))
}

/// Words of headings whose amounts are no closing balance, in lower case.
const NO_CLOSING: [&str; 41] = [
    "%",
    "rate",
    "kurs",
    "quantity",
    "qty",
    "menge",
    "limit",
    "opening",
    "budget",
    "movement",
    "last year",
    "prior",
    "previous",
    "plan",
    "forecast",
    "variance",
    "eröffnung",
    "anfang",
    "vorjahr",
    "bewegung",
    "ouverture",
    "mouvement",
    "n-1",
    "saldo inicial",
    "movimiento",
    "presupuesto",
    "saldo iniziale",
    "movimenti",
    "movimento",
    "beginsaldo",
    "mutaties",
    "bilans otwarcia",
    "obroty",
    "期初",
    "期首",
    "前期",
    "予算",
    "預算",
    "предыдущ",
    "оборот",
    "начал",
];

/// Whether a heading says that its amounts are an opening balance, a movement, a plan or of another year.
pub(super) fn names_no_closing(heading: &str) -> bool {
    let heading = heading.to_lowercase();
    NO_CLOSING.iter().any(|word| heading.contains(word))
}

/// Whether a heading of one side says that its cells are the amounts of that side, and not of a tax.
pub(super) fn is_amount_of_side(heading: &str) -> bool {
    let heading = heading.to_lowercase();
    ["金額", "金额", "amount", "betrag", "montant", "importe", "importo", "valor"]
        .iter()
        .any(|word| heading.contains(word))
        && !["税", "tax", "vat", "steuer"].iter().any(|word| heading.contains(word))
}

/// Whether a heading says that its cells are accounts, or their names.
pub(super) fn names_account(heading: &str) -> bool {
    let heading = heading.to_lowercase();
    ACCOUNT_WORDS.iter().any(|word| heading.contains(word)) || names_code(&heading)
}

/// Whether a heading says that its cells are codes.
pub(in crate::check) fn names_code(heading: &str) -> bool {
    let heading = heading.to_lowercase();
    let mut words = heading.split_whitespace();
    let is_ascii = |word: &&str| word.is_ascii();
    words.any(|part| CODE_WORDS.contains(&part))
        || CODE_WORDS.iter().filter(|word| !is_ascii(word)).any(|word| heading.contains(word))
}

/// What the cells of a header are taken for, each meaning once, in the header's order. Of several columns that may be
/// meant, one that the rows fill is taken.
pub(super) fn find(header: &[String], rows: &[Vec<String>]) -> Vec<(Heading, usize)> {
    let keys: Vec<String> = header.iter().map(|cell| squeezed(cell)).collect();
    let is_filled = |place: &usize| rows.iter().any(|row| row.get(*place).is_some_and(|cell| !cell.trim().is_empty()));
    let mut found: Vec<(Heading, usize)> = Vec::new();
    for (heading, names) in NAMES {
        let free = |place: &usize| !found.iter().any(|(_, taken)| taken == place);
        let named = |name: &&str| {
            let key = squeezed(name);
            keys.iter().enumerate().filter(move |(_, known)| **known == key).map(|(place, _)| place)
        };
        let places: Vec<usize> = names.iter().flat_map(named).filter(free).collect();
        let filled = places.iter().copied().find(is_filled);
        if let Some(place) = filled.or(places.first().copied()) {
            found.push((heading, place));
        }
    }
    found.sort_by_key(|(_, place)| *place);
    found
}

/// A heading whatever its case, and without what some write between its words.
fn squeezed(heading: &str) -> String {
    key_of(heading).chars().filter(|c| !matches!(c, '_' | '-')).collect()
}
