//! Damaged files: cut off, and with bytes changed.

use proptest::prelude::*;

use crate::{
    delimited::written,
    described,
    dialect::dialects,
    file::Table,
    ledger::ledgers,
    reading::{profile, read, slice},
};

/// What befalls a file.
#[derive(Debug, Clone)]
enum Damage {
    CutTo(prop::sample::Index),
    Flipped(Vec<(prop::sample::Index, u8)>),
    Doubled(prop::sample::Index, prop::sample::Index),
    Lost(prop::sample::Index, prop::sample::Index),
}

fn damages() -> impl Strategy<Value = Damage> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        place().prop_map(Damage::CutTo),
        prop::collection::vec((place(), 1..=255_u8), 1..6).prop_map(Damage::Flipped),
        (place(), place()).prop_map(|(from, to)| Damage::Doubled(from, to)),
        (place(), place()).prop_map(|(from, to)| Damage::Lost(from, to)),
    ]
}

impl Damage {
    fn befall(&self, bytes: &mut Vec<u8>) {
        let part = |from: &prop::sample::Index, to: &prop::sample::Index, bytes: &Vec<u8>| {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            from.min(to)..from.max(to)
        };
        match self {
            Self::CutTo(place) => bytes.truncate(place.index(bytes.len())),
            Self::Flipped(flips) => {
                for (place, bits) in flips {
                    let place = place.index(bytes.len());
                    bytes[place] ^= bits;
                }
            }
            Self::Doubled(from, to) => {
                let range = part(from, to, bytes);
                let again = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, again);
            }
            Self::Lost(from, to) => drop(bytes.drain(part(from, to, bytes))),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_gives_a_result_or_a_permanent_failure(
        ledger in ledgers(8),
        dialect in dialects(),
        damage in damages(),
    ) {
        let (ledger, dialect) = written(ledger, dialect);
        let table = Table::new(&ledger, &dialect);
        let mut bytes = table.bytes();
        damage.befall(&mut bytes);
        for decimal in [true, false] {
            let profile = profile(&described::profile(&dialect, &table, decimal));
            match read(&bytes, &profile, &slice(&ledger.slices[0].0, &ledger.period(0))) {
                Ok((checked, rows)) => prop_assert_eq!(checked.rows, rows.0.len() as u64),
                Err(failure) => prop_assert!(!failure.code.is_transient(), "{}", failure),
            }
        }
    }
}
