//! Figures: what was measured, told as medians with their spread, and held against the floor and what is aimed for.
#![expect(clippy::float_arithmetic, reason = "a measured time is not an amount")]

use std::time::Duration;

use serde_json::{Value, json};

/// What a figure is held against.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// At most so many units.
    AtMost(f64),
    /// At least so many units.
    AtLeast(f64),
    /// At most so many times the floor.
    Ratio(f64),
}

/// One line of the table: the same thing measured several times.
#[derive(Debug, Clone)]
pub struct Figure {
    what: String,
    unit: &'static str,
    values: Vec<f64>,
    floor: Vec<f64>,
    goal: Option<Goal>,
    note: Option<String>,
}

impl Figure {
    /// Times, in seconds.
    pub fn seconds(what: impl Into<String>, times: impl IntoIterator<Item = Duration>) -> Self {
        Self::of(what, "s", times.into_iter().map(|time| time.as_secs_f64()))
    }

    /// Times, in milliseconds.
    pub fn milliseconds(what: impl Into<String>, times: impl IntoIterator<Item = Duration>) -> Self {
        Self::of(what, "ms", times.into_iter().map(|time| time.as_secs_f64() * 1e3))
    }

    /// Anything, in a unit.
    pub fn of(what: impl Into<String>, unit: &'static str, values: impl IntoIterator<Item = f64>) -> Self {
        let values = values.into_iter().collect();
        Self { what: what.into(), unit, values, floor: Vec::new(), goal: None, note: None }
    }

    /// Something without a value, and why: what was not measured, or went wrong.
    pub fn note(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { note: Some(why.into()), ..Self::of(what, "", []) }
    }

    /// The same, held against what the floor took each time, in the order of the values.
    #[must_use]
    pub fn over(mut self, floor: &[Duration]) -> Self {
        let thousand = if self.unit == "ms" { 1e3 } else { 1.0 };
        self.floor = floor.iter().map(|time| time.as_secs_f64() * thousand).collect();
        self
    }

    /// The same, held against other values of its unit.
    #[must_use]
    pub fn beside(mut self, floor: &Self) -> Self {
        self.floor.clone_from(&floor.values);
        self
    }

    /// The same with what is aimed for.
    #[must_use]
    pub fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    /// The median.
    pub fn median(&self) -> f64 {
        at(&self.values, 50)
    }

    /// The value below which so many percent of all lie.
    pub fn percentile(&self, percent: usize) -> f64 {
        at(&self.values, percent)
    }

    /// How many times the floor it is: the median of the ratios, each to the floor measured beside it.
    pub fn ratio(&self) -> Option<f64> {
        let ratios: Vec<f64> = self.values.iter().zip(&self.floor).map(|(value, floor)| value / floor).collect();
        (!ratios.is_empty()).then(|| at(&ratios, 50))
    }

    /// What is aimed for, as times the floor, if there are both.
    pub fn goal_ratio(&self) -> Option<f64> {
        match self.goal? {
            Goal::Ratio(most) => Some(most),
            Goal::AtMost(most) if !self.floor.is_empty() => Some(most / at(&self.floor, 50)),
            Goal::AtMost(_) | Goal::AtLeast(_) => None,
        }
    }

    /// Whether the goal is reached, if there is one.
    pub fn is_reached(&self) -> Option<bool> {
        Some(match self.goal? {
            Goal::AtMost(most) => self.median() <= most,
            Goal::AtLeast(least) => self.median() >= least,
            Goal::Ratio(most) => self.ratio()? <= most,
        })
    }

    /// The line of the table.
    pub fn line(&self) -> String {
        if let Some(why) = &self.note {
            return format!("{}: {why}", self.what);
        }
        let spread = match self.values.len() {
            0 | 1 => String::new(),
            _ => format!("{}..{}", shown(at(&self.values, 0)), shown(at(&self.values, 100))),
        };
        let ratio = self.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2} x"));
        let goal = match self.goal {
            None => String::new(),
            Some(Goal::AtMost(most)) => format!("<= {most} {}", self.unit),
            Some(Goal::AtLeast(least)) => format!(">= {least} {}", self.unit),
            Some(Goal::Ratio(most)) => format!("<= {most} x"),
        };
        let verdict = match self.is_reached() {
            None => "",
            Some(true) => "met",
            Some(false) => "MISSED",
        };
        let Self { what, unit, .. } = self;
        let line =
            format!("{what:<52} {:>9} {unit:<6} {spread:>17} {ratio:>9}  {goal:<12} {verdict}", shown(self.median()));
        line.trim_end().to_owned()
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        json!({
            "what": self.what, "unit": self.unit, "median": self.median(), "values": self.values,
            "floor": self.floor, "ratio": self.ratio(), "goal_ratio": self.goal_ratio(), "reached": self.is_reached(),
            "note": self.note,
        })
    }
}

/// The names of the columns of [`Figure::line`].
pub fn heading() -> String {
    format!("{:<52} {:>9} {:<6} {:>17} {:>9}  {}", "", "median", "", "spread", "floor", "goal")
}

fn at(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len().saturating_sub(1) * percent + 50) / 100;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

fn shown(value: f64) -> String {
    if value.abs() < 10.0 {
        format!("{value:.2}")
    } else if value.abs() < 1_000.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_median_and_its_ratio_that_of_each_to_the_floor_beside_it() {
        let seconds = |numbers: [f64; 3]| numbers.map(Duration::from_secs_f64);
        let figure = Figure::seconds("x", seconds([1.0, 9.0, 2.0])).over(&seconds([1.0, 3.0, 1.0]));
        assert_eq!((figure.median(), figure.ratio()), (2.0, Some(2.0)));
        assert_eq!(figure.clone().goal(Goal::Ratio(1.5)).is_reached(), Some(false));
        assert_eq!(figure.clone().goal(Goal::AtMost(2.0)).is_reached(), Some(true));
        assert_eq!((figure.percentile(0), figure.percentile(100)), (1.0, 9.0));
        assert!(figure.goal(Goal::AtLeast(3.0)).line().ends_with("MISSED"));
    }

    #[test]
    fn a_goal_in_units_stands_in_the_picture_as_times_the_floor() {
        let figure = Figure::milliseconds("x", [Duration::from_millis(30)]).over(&[Duration::from_millis(5)]);
        assert_eq!(figure.clone().goal(Goal::AtMost(20.0)).goal_ratio(), Some(4.0));
        assert_eq!(figure.clone().goal(Goal::Ratio(1.5)).goal_ratio(), Some(1.5));
        assert_eq!(figure.goal(Goal::AtLeast(1.0)).goal_ratio(), None);
    }

    #[test]
    fn a_note_has_no_value_and_says_why() {
        let note = Figure::note("dlt", "not installed: no network");
        assert_eq!(note.line(), "dlt: not installed: no network");
        assert!(note.json()["median"].is_null() && note.json()["note"].is_string());
    }
}
