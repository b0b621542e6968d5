//! Statistics of balances, exact where they are decimals, within bounded memory.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    ops::RangeInclusive,
};

use serde::Serialize;

use crate::amount::{Amount, SCALE, Sum, decimal_text};

/// Balances that are held in memory, 16 bytes each; what is past them goes to a temporary file.
const HELD: usize = 1 << 17;
/// Ranges of balances that one pass over that file tells apart, as a power of two.
const RANGES: u32 = 16;

/// Takes in the non-blank balances of a slice.
#[derive(Default)]
pub struct Balances {
    held: Vec<i128>,
    spilled: Option<BufWriter<File>>,
    count: u64,
    sum: Sum,
    min: Option<Amount>,
    max: Option<Amount>,
    near_zero: u64,
    mean: f64,
    squares: f64,
}

/// `balance_stats` of the data profile. Decimals are texts; all are absent if no balance is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BalanceStats {
    /// Exact.
    pub sum: Option<String>,
    /// Rounded to 16 fractional digits.
    pub mean: Option<String>,
    /// Exact.
    pub median: Option<String>,
    /// Exact.
    pub min: Option<String>,
    /// Exact.
    pub max: Option<String>,
    /// Of the sample, to the precision of a double.
    pub std: Option<String>,
}

impl Balances {
    /// Takes in a balance.
    ///
    /// # Errors
    /// If the temporary file cannot be written.
    #[expect(clippy::float_arithmetic, reason = "the standard deviation is a statistic, not an amount")]
    pub fn add(&mut self, balance: Amount) -> io::Result<()> {
        self.count += 1;
        self.sum.add(balance);
        self.min = Some(self.min.map_or(balance, |min| min.min(balance)));
        self.max = Some(self.max.map_or(balance, |max| max.max(balance)));
        self.near_zero += u64::from(balance.is_near_zero());
        // Welford: sums of squares would cancel out.
        let value = balance.units() as f64 / 10_f64.powi(SCALE as i32);
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
        if self.held.len() == HELD {
            self.spill()?;
        }
        self.held.push(balance.units());
        Ok(())
    }

    /// How many balances were taken in.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many of them are below 0.01 in magnitude.
    pub fn near_zero(&self) -> u64 {
        self.near_zero
    }

    /// Their sum, or none if it has more than 18 integer digits.
    pub fn sum(&self) -> Option<Amount> {
        self.sum.total()
    }

    /// The statistics.
    ///
    /// # Errors
    /// If the temporary file cannot be read.
    #[expect(clippy::float_arithmetic, reason = "the standard deviation is a statistic, not an amount")]
    pub fn stats(mut self) -> io::Result<BalanceStats> {
        if self.count == 0 {
            return Ok(BalanceStats::default());
        }
        let sum = self.sum.total();
        let std = (self.count > 1).then(|| (self.squares / (self.count - 1) as f64).sqrt());
        let low = self.nth((self.count - 1) / 2)?;
        let high = if self.count % 2 == 1 { low } else { self.nth(self.count / 2)? };
        // The mean of two amounts needs one more digit.
        let median = decimal_text((low + high) * 5, SCALE + 1);
        Ok(BalanceStats {
            sum: sum.map(|sum| sum.to_string()),
            mean: sum.map(|sum| decimal_text(rounded_division(sum.units(), i128::from(self.count)), SCALE)),
            median: Some(median),
            min: self.min.map(|min| min.to_string()),
            max: self.max.map(|max| max.to_string()),
            std: std.map(|std| std.to_string()),
        })
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match self.spilled.take() {
            Some(file) => file,
            None => BufWriter::new(tempfile::tempfile()?),
        };
        let file = self.spilled.insert(file);
        for units in self.held.drain(..) {
            file.write_all(&units.to_le_bytes())?;
        }
        Ok(())
    }

    /// The balance at a place of their order.
    fn nth(&mut self, place: u64) -> io::Result<i128> {
        if self.spilled.is_none() {
            let place = place as usize;
            return Ok(*self.held.select_nth_unstable(place).1);
        }
        self.spill()?;
        // Each pass counts the balances of many ranges between two bounds, of which the one with the place is gone
        // on with, until what is in it can be held.
        let (mut from, mut to) = (self.min.map_or(0, order), self.max.map_or(0, order));
        let mut place = place;
        loop {
            let shift = (u128::BITS - (to - from).leading_zeros()).saturating_sub(RANGES);
            let mut counts = vec![0_u64; 1 << RANGES];
            self.each_spilled(from..=to, |order| {
                let range = usize::try_from((order - from) >> shift).ok();
                range.and_then(|range| counts.get_mut(range)).into_iter().for_each(|count| *count += 1);
            })?;
            let mut found = None;
            for (range, count) in (0_u128..).zip(counts) {
                if place < count {
                    found = Some((from + (range << shift), count));
                    break;
                }
                place -= count;
            }
            let (start, count) = found.ok_or(io::ErrorKind::UnexpectedEof)?;
            (from, to) = (start, to.min(start + ((1 << shift) - 1)));
            if count <= HELD as u64 {
                let mut held = Vec::with_capacity(count as usize);
                self.each_spilled(from..=to, |order| held.push(order))?;
                let found = *held.select_nth_unstable(place as usize).1;
                return Ok((found ^ 1 << 127) as i128);
            }
            if from == to {
                return Ok((from ^ 1 << 127) as i128);
            }
        }
    }

    /// Visits what is spilled between two bounds, by its order.
    fn each_spilled(&mut self, between: RangeInclusive<u128>, mut visit: impl FnMut(u128)) -> io::Result<()> {
        let Some(file) = self.spilled.as_mut() else { return Ok(()) };
        file.flush()?;
        let file = file.get_mut();
        file.rewind()?;
        let mut reader = BufReader::with_capacity(1 << 16, &*file);
        let mut bytes = [0; 16];
        for _ in 0..self.count {
            reader.read_exact(&mut bytes)?;
            let order = ordered(i128::from_le_bytes(bytes));
            if between.contains(&order) {
                visit(order);
            }
        }
        Ok(())
    }
}

fn order(amount: Amount) -> u128 {
    ordered(amount.units())
}

/// The same order as that of the signed numbers.
fn ordered(units: i128) -> u128 {
    units as u128 ^ 1 << 127
}

/// Division, half away from zero.
fn rounded_division(dividend: i128, divisor: i128) -> i128 {
    let (quotient, remainder) = (dividend / divisor, dividend % divisor);
    if remainder.abs() * 2 >= divisor { quotient + dividend.signum() } else { quotient }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stats(values: impl IntoIterator<Item = &'static str>) -> BalanceStats {
        let mut balances = Balances::default();
        for value in values {
            balances.add(value.parse().unwrap()).unwrap();
        }
        balances.stats().unwrap()
    }

    #[test]
    fn the_statistics_are_exact() {
        let stats = stats(["0.1", "0.2", "-5", "100.0000000000000001"]);
        assert_eq!(stats.sum.unwrap(), "95.3000000000000001");
        assert_eq!(stats.median.unwrap(), "0.15");
        assert_eq!((stats.min.unwrap().as_str(), stats.max.unwrap().as_str()), ("-5", "100.0000000000000001"));
        assert_eq!(stats.mean.unwrap(), "23.825");
        assert!(stats.std.unwrap().starts_with("50.841"));
    }

    #[test]
    fn one_balance_has_no_deviation_and_none_has_no_statistics() {
        assert_eq!(stats(["7"]).std, None);
        assert_eq!(stats([]), BalanceStats::default());
    }

    #[test]
    fn the_middle_of_a_dense_heap_far_from_others_takes_several_passes() {
        // Of two in the middle, and of one: with one far away, the first passes tell nothing of the heap apart.
        for number in [HELD as i128 * 3, HELD as i128 * 3 + 1] {
            let mut balances = Balances::default();
            balances.add(Amount::from_units(10_i128.pow(33)).unwrap()).unwrap();
            // In no order: 7919 shares no factor with the number.
            for place in 0..number {
                balances.add(Amount::from_units(place * 7919 % number * 3 + 5).unwrap()).unwrap();
            }
            let at = |place: i128| place * 3 + 5;
            let (low, high) = (at(number / 2), at((number + 1) / 2));
            let median = balances.stats().unwrap().median.unwrap();
            assert_eq!(median, decimal_text((low + high) * 5, SCALE + 1), "{number}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn the_median_of_what_is_spilled_is_that_of_what_is_held(
            values in prop::collection::vec(prop_oneof![-1_000_000_i128..1_000_000, Just(7), Just(8)], 1..50),
            power in 0_u32..24,
            more in prop_oneof![Just(0), Just(HELD * 2 + 1)],
        ) {
            // Of a value that stands there more often than can be held, no range is small enough.
            let values: Vec<i128> =
                values.iter().map(|value| value * 10_i128.pow(power)).chain(std::iter::repeat_n(7, more)).collect();
            let mut balances = Balances::default();
            for value in &values {
                balances.add(Amount::from_units(*value).unwrap()).unwrap();
            }
            balances.spill().unwrap();
            let median = balances.stats().unwrap().median.unwrap();
            let mut sorted = values;
            sorted.sort_unstable();
            let expected = (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) * 5;
            prop_assert_eq!(median, decimal_text(expected, SCALE + 1));
        }
    }
}
