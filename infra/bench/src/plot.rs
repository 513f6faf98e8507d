//! A line chart as SVG. Both axes are logarithmic.

use std::fmt::Write as _;

/// A named line. Points are positive and ordered from left to right.
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 560.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 390.0;
/// The least distance between two labels, in pixels.
const LABEL_GAP: f64 = 15.0;

/// Colours that colour-blind readers can distinguish (Okabe and Ito).
const COLOURS: [&str; 7] = [
    "#0072B2", "#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#000000",
];

/// Draws the lines, each with its name at its right end.
pub fn svg(title: &str, across: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let (x0, x1) = decades(points().map(|point| point.0));
    let (y0, y1) = decades(points().map(|point| point.1));
    let x = |value: f64| LEFT + (value.log10() - x0) / (x1 - x0) * (RIGHT - LEFT);
    let y = |value: f64| BOTTOM - (value.log10() - y0) / (y1 - y0) * (BOTTOM - TOP);

    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\" fill=\"#282828\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"16\">{title}</text>\n\
         <text x=\"{LEFT}\" y=\"430\">{across}</text>\n"
    );
    let mut line = |from: (f64, f64), to: (f64, f64), label: &str, anchor: &str| {
        writeln!(
            text,
            "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{label}</text>",
            from.0, from.1, to.0, to.1, from.0, from.1
        )
        .expect("writing to a string succeeds");
    };
    for decade in steps(x0, x1) {
        let at = x(decade);
        line(
            (at, BOTTOM + 16.0),
            (at, TOP),
            &decade.to_string(),
            "middle",
        );
    }
    for decade in steps(y0, y1) {
        let at = y(decade);
        line((LEFT - 4.0, at), (RIGHT, at), &decade.to_string(), "end");
    }

    let end = |line: &Line| line.points.last().map_or(BOTTOM, |point| y(point.1));
    let mut ordered: Vec<(usize, &Line)> = lines.iter().enumerate().collect();
    ordered.sort_by(|(_, one), (_, other)| end(one).total_cmp(&end(other)));
    let mut label = f64::MIN;
    for (n, line) in ordered {
        let colour = COLOURS[n % COLOURS.len()];
        let path: Vec<String> = (line.points.iter())
            .map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1)))
            .collect();
        label = end(line).max(label + LABEL_GAP);
        writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
            path.join(" "),
            RIGHT + 8.0,
            label + 4.0,
            line.name
        )
        .expect("writing to a string succeeds");
    }
    text + "</svg>\n"
}

/// The powers of ten around the values, as exponents.
fn decades(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let least = values.clone().fold(f64::MAX, f64::min).log10().floor();
    let most = values.fold(f64::MIN, f64::max).log10().ceil();
    (least, most.max(least + 1.0))
}

fn steps(from: f64, to: f64) -> impl Iterator<Item = f64> {
    let next = move |exponent: &f64| (*exponent < to).then_some(exponent + 1.0);
    std::iter::successors(Some(from), next).map(|exponent| 10_f64.powf(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, last: f64) -> Line {
        let points = vec![(1.0, 0.5), (10.0, 0.6), (100.0, last)];
        let name = name.to_owned();
        Line { name, points }
    }

    #[test]
    fn a_chart_names_its_lines_and_decades() {
        let chart = svg("Time", "devices", &[line("check", 7.0), line("list", 7.1)]);

        for text in ["Time", "devices", "check", "list", ">0.1<", ">10<", ">100<"] {
            assert!(chart.contains(text), "{text} in {chart}");
        }
    }

    #[test]
    fn labels_do_not_overlap() {
        let chart = svg("Time", "devices", &[line("check", 7.0), line("list", 7.0)]);
        let label = |name: &str| -> f64 {
            let (before, _) = chart.split_once(&format!(">{name}<")).unwrap();
            let (_, y) = before.rsplit_once(" y=\"").unwrap();
            y.split('"').next().unwrap().parse().unwrap()
        };

        assert!((label("check") - label("list")).abs() >= LABEL_GAP - 0.2);
    }
}
