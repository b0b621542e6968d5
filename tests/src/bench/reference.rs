//! What another program has loaded, compared with what its files hold.

use tokio_postgres::Client;

/// The amounts that are compared; a blank one is the same as 0, which Aura makes of it.
const AMOUNTS: [&str; 4] = ["balance", "balance_carryforward", "debit_period", "credit_period"];
/// What [`fault`] compares with: a table that [`fill`](super::floor::Floor::fill) has made.
pub const REFERENCE: &str = "reference";

/// What is wrong with the rows of a table, if anything is: rows too few or too many, other amounts, another sum.
///
/// # Panics
/// If there is no such table, or no reference.
pub async fn fault(session: &Client, table: &str) -> Option<String> {
    let query = comparison(table);
    let row = session.query_one(&query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let [missing, extra, other]: [i64; 3] = [row.get(0), row.get(1), row.get(2)];
    let [wanted, found]: [String; 2] = [row.get(3), row.get(4)];
    let is_right = [missing, extra, other] == [0; 3] && wanted == found;
    let message = || {
        format!(
            "WRONG: {missing} rows are missing, {extra} too many, {other} have other amounts; the balances sum to \
             {found} instead of {wanted}"
        )
    };
    (!is_right).then(message)
}

fn comparison(table: &str) -> String {
    let amounts = |of: &str| {
        let all: Vec<_> = AMOUNTS.iter().map(|name| format!("coalesce({of}.{name}, 0)")).collect();
        format!("ROW({})", all.join(", "))
    };
    format!(
        "SELECT count(*) FILTER (WHERE f.entity IS NULL), count(*) FILTER (WHERE r.entity IS NULL), \
         count(*) FILTER (WHERE f.entity = r.entity AND {} IS DISTINCT FROM {}), \
         coalesce(trim_scale(sum(r.balance)), 0)::text, coalesce(trim_scale(sum(f.balance)), 0)::text \
         FROM {REFERENCE} r FULL JOIN {table} f USING (entity, period, company_code, account_code)",
        amounts("r"),
        amounts("f")
    )
}
