//! The figures as a picture: a bar for each that has a floor, in times that floor.
#![expect(clippy::float_arithmetic, reason = "a place in a picture is not an amount")]

use std::fmt::Write;

use serde_json::Value;

/// The picture's width and its margins, in pixels.
const WIDTH: f64 = 860.0;
const MARGIN: f64 = 20.0;
/// The heights of what stands above the figures, of a scenario's name, and of a figure.
const HEAD: f64 = 76.0;
const GROUP: f64 = 34.0;
const ROW: f64 = 46.0;

/// Light colours, and dark ones where the reader's system is dark.
const STYLE: &str = "\
text { font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; }
.group { font-weight: 600; }
.dim { fill: #59636e; }
.page { fill: #ffffff; }
.plain { fill: #4778b5; }
.met { fill: #2d8659; }
.missed { fill: #c2622d; }
.before { fill: #a9b2bc; }
.floor { stroke: #1f2328; stroke-width: 2; }
.goal { stroke: #8a4fd3; stroke-width: 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .dim { fill: #9aa4ae; }
  .page { fill: #0d1117; }
  .plain { fill: #5b93d6; }
  .met { fill: #43a873; }
  .missed { fill: #dd7c43; }
  .before { fill: #59636e; }
  .floor { stroke: #e6edf3; }
  .goal { stroke: #b68cf0; }
}";

/// What is drawn of one figure, in times its floor.
struct Bar<'a> {
    scenario: &'a str,
    what: &'a str,
    ratio: f64,
    goal: Option<f64>,
    before: Option<f64>,
    class: &'static str,
}

/// Draws a result, as `aura-bench --out` writes it, beside an earlier one if there is one.
pub fn picture(result: &Value, before: Option<&Value>) -> String {
    let bars = bars(result, before);
    let most = bars.iter().flat_map(|bar| [Some(bar.ratio), bar.goal, bar.before]).flatten().fold(1.0, f64::max);
    let scale = (WIDTH - 2.0 * MARGIN) / most;
    let (mut rows, mut top, mut scenario) = (String::new(), HEAD, "");
    for bar in &bars {
        if bar.scenario != scenario {
            scenario = bar.scenario;
            text(&mut rows, "group", MARGIN, top + 20.0, scenario);
            top += GROUP;
        }
        draw(&mut rows, bar, top, scale);
        top += ROW;
    }
    let height = top + MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<title>Times the floor</title>\n<style>\n{STYLE}\n</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n"
    );
    head(&mut svg, before.is_some());
    svg + &rows + "</svg>\n"
}

/// The figures that have a floor, with the same ones of an earlier result.
fn bars<'a>(result: &'a Value, before: Option<&Value>) -> Vec<Bar<'a>> {
    let bar = |figure: &'a Value| {
        let is_same = |other: &&Value| ["scenario", "what"].iter().all(|name| other[name] == figure[name]);
        let earlier =
            before.and_then(|before| figures(before).find(is_same)).and_then(|earlier| ratio(earlier, "ratio"));
        Some(Bar {
            scenario: figure["scenario"].as_str().unwrap_or_default(),
            what: figure["what"].as_str().unwrap_or_default(),
            ratio: ratio(figure, "ratio")?,
            goal: ratio(figure, "goal_ratio"),
            before: earlier,
            class: match figure["reached"].as_bool() {
                None => "plain",
                Some(true) => "met",
                Some(false) => "missed",
            },
        })
    };
    figures(result).filter_map(bar).collect()
}

fn figures(result: &Value) -> impl Iterator<Item = &Value> {
    result["figures"].as_array().into_iter().flatten()
}

fn ratio(figure: &Value, name: &str) -> Option<f64> {
    figure[name].as_f64().filter(|ratio| ratio.is_finite() && *ratio >= 0.0)
}

/// The title, and what the marks mean.
fn head(svg: &mut String, has_before: bool) {
    text(svg, "title", MARGIN, 28.0, "Times the floor: what PostgreSQL's COPY of the same rows takes");
    let mut marks = vec![("met", "goal met"), ("missed", "goal missed"), ("plain", "no goal")];
    if has_before {
        marks.push(("before", "before"));
    }
    let mut left = MARGIN;
    for (class, meaning) in marks {
        rectangle(svg, class, (left, 48.0), (12.0, 12.0));
        text(svg, "dim", left + 18.0, 59.0, meaning);
        left += 120.0;
    }
    for (class, meaning) in [("floor", "floor, 1.0 x"), ("goal", "goal")] {
        line(svg, class, left + 6.0, (46.0, 62.0));
        text(svg, "dim", left + 18.0, 59.0, meaning);
        left += 120.0;
    }
}

/// A figure: its name and its numbers, and below them its bar, the earlier one, the floor and the goal.
fn draw(svg: &mut String, bar: &Bar<'_>, top: f64, scale: f64) {
    let of = |what: &str, ratio: Option<f64>| ratio.map_or_else(String::new, |ratio| format!(", {what} {ratio:.2} x"));
    let numbers = format!("{:.2} x{}{}", bar.ratio, of("before", bar.before), of("goal", bar.goal));
    text(svg, "name", MARGIN, top + 13.0, bar.what);
    let right = WIDTH - MARGIN;
    let _ = writeln!(
        svg,
        "<text class=\"dim\" x=\"{right:.1}\" y=\"{:.1}\" text-anchor=\"end\">{numbers}</text>",
        top + 13.0
    );
    rectangle(svg, bar.class, (MARGIN, top + 20.0), (bar.ratio * scale, 11.0));
    if let Some(before) = bar.before {
        rectangle(svg, "before", (MARGIN, top + 33.0), (before * scale, 4.0));
    }
    line(svg, "floor", MARGIN + scale, (top + 18.0, top + 38.0));
    if let Some(goal) = bar.goal {
        line(svg, "goal", MARGIN + goal * scale, (top + 18.0, top + 33.0));
    }
}

// Writing to a string cannot fail.

fn text(svg: &mut String, class: &str, left: f64, base: f64, text: &str) {
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{left:.1}\" y=\"{base:.1}\">{}</text>", escaped(text));
}

fn rectangle(svg: &mut String, class: &str, (left, top): (f64, f64), (width, height): (f64, f64)) {
    let _ = writeln!(
        svg,
        "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"1.5\"/>"
    );
}

fn line(svg: &mut String, class: &str, place: f64, (top, bottom): (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line class=\"{class}\" x1=\"{place:.1}\" x2=\"{place:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>"
    );
}

/// A text as XML holds it, which has no place for control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use quick_xml::{Reader, events::Event};
    use serde_json::json;

    use super::*;

    /// The texts of a document, after making sure that it is well-formed.
    fn texts(document: &str) -> Vec<String> {
        let (mut reader, mut open, mut texts) = (Reader::from_str(document), 0, Vec::new());
        loop {
            match reader.read_event().unwrap() {
                Event::Start(tag) => {
                    assert!(tag.attributes().all(|attribute| attribute.is_ok()), "{tag:?}");
                    open += 1;
                    texts.push(String::new());
                }
                Event::Empty(tag) => assert!(tag.attributes().all(|attribute| attribute.is_ok()), "{tag:?}"),
                Event::End(_) => {
                    open -= 1;
                    texts.push(String::new());
                }
                Event::Text(text) => last(&mut texts).push_str(&text.xml10_content()),
                Event::GeneralRef(name) => last(&mut texts).push(match &*name.xml10_content() {
                    "amp" => '&',
                    "lt" => '<',
                    "gt" => '>',
                    "quot" => '"',
                    other => panic!("XML knows no {other}"),
                }),
                Event::Eof => break,
                other @ (Event::CData(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_)) => {
                    panic!("{other:?}")
                }
            }
        }
        assert_eq!(open, 0, "an element is not closed");
        texts
    }

    fn last(texts: &mut Vec<String>) -> &mut String {
        if texts.is_empty() {
            texts.push(String::new());
        }
        texts.last_mut().unwrap()
    }

    fn figure(what: &str, ratio: f64) -> Value {
        json!({"scenario": "large", "what": what, "ratio": ratio, "goal_ratio": 1.05, "reached": ratio <= 1.05})
    }

    #[test]
    fn a_picture_is_well_formed_and_names_every_figure_that_has_a_floor() {
        let names = ["1 % changed, <again> & \"again\"", "psql \\copy\u{1}", "first load"];
        let mut all: Vec<Value> =
            names.iter().zip([3.5, 1.0, 60.25]).map(|(name, ratio)| figure(name, ratio)).collect();
        all.push(json!({"scenario": "large", "what": "memory", "ratio": null}));
        let result = json!({"figures": all});
        for before in [None, Some(&result)] {
            let texts = texts(&picture(&result, before));
            for name in names {
                assert!(texts.contains(&name.replace('\u{1}', " ")), "{name} is not in {texts:?}");
            }
            assert!(!texts.contains(&"memory".to_owned()));
            assert_eq!(texts.iter().any(|text| text.contains("before 60.25 x")), before.is_some());
        }
    }

    #[test]
    fn without_figures_there_is_a_picture_still() {
        assert!(texts(&picture(&json!({"figures": []}), None)).contains(&"goal met".to_owned()));
    }
}
