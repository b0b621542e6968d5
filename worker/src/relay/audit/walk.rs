//! A walk from chain to chain, so that none is passed over and a halted one costs one look-up.

use deadpool_postgres::Transaction;
use shared::stores::postgres::PostgresError;

use super::{
    super::{progress::Progress, statements::query},
    chain::{Chain, chain_of},
};

/// Chains that a step looks at, and that it takes up. Halted ones are looked at and not taken up.
const STEPS: i64 = 1_000;
const TAKEN: usize = 250;

/// Where a walk is: after which chain it goes on. It starts before all of them.
///
/// It is a matter of fairness alone: wherever a walk goes on, it comes round to every chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Walk(Chain);

/// What a step of a walk found.
pub(super) struct Stretch {
    /// Chains that are not halted, in order.
    pub(super) chains: Vec<Chain>,
    /// Where the walk goes on; at its start if this stretch reached the end.
    pub(super) next: Walk,
    /// Whether chains lie outside this stretch.
    pub(super) is_part: bool,
}

impl Walk {
    /// Finds the next chains with a statement that walks along them.
    pub(super) async fn step(
        &self,
        transaction: &Transaction<'_>,
        sql: &str,
        what: &'static str,
    ) -> Result<Stretch, PostgresError> {
        let Self((entity, period)) = self;
        let rows = query(transaction, sql, what, &[entity, period, &STEPS]).await?;
        let (mut chains, mut next) = (Vec::new(), Self::default());
        let mut walked = 0;
        for row in &rows {
            walked += 1;
            if !row.get::<_, bool>("is_halted") {
                chains.push(chain_of(row));
            }
            if chains.len() == TAKEN {
                break;
            }
        }
        let is_end = walked == rows.len() && (rows.len() as i64) < STEPS;
        if let Some(last) = rows.get(..walked).and_then(<[_]>::last).filter(|_| !is_end) {
            next = Self(chain_of(last));
        }
        let is_part = !is_end || *self != Self::default();
        Ok(Stretch { chains, next, is_part })
    }

    /// A walk that goes on after this chain.
    pub(super) const fn after(chain: Chain) -> Self {
        Self(chain)
    }
}

impl Stretch {
    /// What came of the stretch, of which more events may have been left.
    ///
    /// A walk that has come to its end goes on at its start at once. Where nothing could be done, it
    /// pauses before it goes on.
    pub(super) fn progress(&self, done: usize, left: bool) -> Progress {
        let is_at_start = self.next == Walk::default();
        let more = (left && done > 0) || (self.is_part && (done > 0 || is_at_start));
        Progress { done, more, refused: None }
    }
}

/// The entities and the periods of chains.
pub(super) fn columns(chains: &[Chain]) -> (Vec<&str>, Vec<&str>) {
    chains.iter().map(|(entity, period)| (entity.as_str(), period.as_str())).unzip()
}
