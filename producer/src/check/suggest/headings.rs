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
}

impl Heading {
    /// Whether its cells are amounts.
    pub(super) fn is_amount(self) -> bool {
        match self {
            Self::Target(name) => shared::file::columns::AMOUNTS.contains(&name),
            Self::Debit | Self::Credit => true,
            Self::Indicator => false,
        }
    }
}

/// Names by meaning, in lower case, the likeliest first.
const NAMES: [(Heading, &[&str]); 14] = [
    (
        Heading::Target("account_code"),
        &[
            "account_code",
            "account code",
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
            "account",
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
        ],
    ),
    (
        Heading::Target("entity"),
        &[
            "entity",
            "legal entity",
            "company code",
            "company",
            "bukrs",
            "rbukrs",
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
        ],
    ),
];

/// What the cells of a header are taken for, each meaning once, in the header's order.
pub(super) fn find(header: &[String]) -> Vec<(Heading, usize)> {
    let keys: Vec<String> = header.iter().map(|cell| key_of(cell)).collect();
    let mut found: Vec<(Heading, usize)> = Vec::new();
    for (heading, names) in NAMES {
        let free = |place: &usize| !found.iter().any(|(_, taken)| taken == place);
        let place =
            names.iter().find_map(|name| keys.iter().position(|key| *key == key_of(name)).filter(|place| free(place)));
        if let Some(place) = place {
            found.push((heading, place));
        }
    }
    found.sort_by_key(|(_, place)| *place);
    found
}
