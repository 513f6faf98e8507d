//! Charts as SVG: panels side by side with one legend, the horizontal axes
//! logarithmic.

use anyhow::{Context as _, Result};
use plotters::coord::combinators::{BindKeyPoints as _, IntoLogRange as _};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

/// A line of a chart.
#[derive(Debug, Clone)]
pub struct Line {
    /// What it shows. Lines of one name look alike in every panel.
    pub name: String,
    /// Dashed, with small marks, so that a line that it lies upon can be seen.
    pub dashed: bool,
    /// Its points, from left to right; none is 0 or below.
    pub points: Vec<(usize, f64)>,
}

/// A chart.
#[derive(Debug, Clone)]
pub struct Panel {
    /// What stands above it.
    pub title: String,
    /// What its vertical axis measures, and in what unit.
    pub axis: String,
    /// How that axis goes up.
    pub scale: Scale,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// How an axis goes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From 0 on.
    Linear,
    /// The same ratio, the same distance.
    Logarithmic,
}

const SIZE: (u32, u32) = (1_120, 560);
/// The most marks of an axis that has none of its own.
const MARKS: usize = 9;
const LEGEND: i32 = 70;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(40, 40, 40);
const MESH: RGBColor = RGBColor(225, 225, 225);

/// Colours that can be told apart without seeing red or green as such, by Okabe
/// and Ito; the seventh is black.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(213, 94, 0),
    RGBColor(0, 0, 0),
];

/// Draws panels side by side.
///
/// # Errors
/// When there is nothing to draw.
pub fn svg(horizontal: &str, panels: &[Panel]) -> Result<String> {
    let entries = entries(panels);
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (charts, legend) = root.split_vertically(i32::try_from(SIZE.1)? - LEGEND);
        let areas = charts.split_evenly((1, panels.len()));
        for (panel, area) in panels.iter().zip(&areas) {
            draw(area, panel, horizontal, &entries)?;
        }
        draw_legend(&legend, &entries)?;
        root.present()?;
    }
    Ok(text)
}

/// What the legend tells: the lines, each name once.
fn entries(panels: &[Panel]) -> Vec<&Line> {
    let mut entries: Vec<&Line> = Vec::new();
    for line in panels.iter().flat_map(|panel| &panel.lines) {
        if entries.iter().all(|entry| entry.name != line.name) {
            entries.push(line);
        }
    }
    entries
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw(area: &Area, panel: &Panel, horizontal: &str, entries: &[&Line]) -> Result<()> {
    let ups = panel.lines.iter().flat_map(|line| &line.points);
    let (least, most) = range(ups.map(|(_, y)| *y)).context("a panel without a point")?;
    match panel.scale {
        Scale::Linear => {
            let up = 0.0..most * 1.12;
            draw_on(area, panel, horizontal, entries, up)
        }
        Scale::Logarithmic => {
            let (least, most) = (least / 1.3, most * 1.3);
            let marks = steps((least, most), &[1.0, 2.0, 5.0]);
            let up = (least..most).log_scale().with_key_points(marks);
            draw_on(area, panel, horizontal, entries, up)
        }
    }
}

fn draw_on<Y>(area: &Area, panel: &Panel, horizontal: &str, entries: &[&Line], up: Y) -> Result<()>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let across = panel.lines.iter().flat_map(|line| &line.points);
    let across = range(across.map(|(x, _)| real(*x))).context("a panel without a point")?;
    let columns = steps(across, &[1.0]);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(24)
        .caption(&panel.title, (FONT, 19).into_font().color(&INK))
        .x_label_area_size(52)
        .y_label_area_size(64)
        .build_cartesian_2d(
            (across.0 / 1.4..across.1 * 1.4)
                .log_scale()
                .with_key_points(columns),
            up,
        )?;
    chart
        .configure_mesh()
        .bold_line_style(MESH)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .label_style((FONT, 14).into_font().color(&INK))
        .axis_desc_style((FONT, 15).into_font().color(&INK))
        .x_desc(horizontal)
        .y_desc(&panel.axis)
        .x_labels(MARKS)
        .y_labels(MARKS)
        .x_label_formatter(&|x| short(*x))
        .y_label_formatter(&|y| short(*y))
        .draw()?;
    for line in &panel.lines {
        let look = Look::of(line, entries);
        let points: Vec<(f64, f64)> = line.points.iter().map(|(x, y)| (real(*x), *y)).collect();
        let through = points.iter().copied();
        if line.dashed {
            chart.draw_series(DashedLineSeries::new(through, 7, 5, look.stroke()))?;
        } else {
            chart.draw_series(LineSeries::new(through, look.stroke()))?;
        }
        chart.draw_series(
            points
                .into_iter()
                .map(|at| Circle::new(at, look.radius, look.fill())),
        )?;
    }
    Ok(())
}

/// In rows of four.
fn draw_legend(area: &Area, entries: &[&Line]) -> Result<()> {
    const IN_A_ROW: usize = 4;
    let (width, _) = area.dim_in_pixel();
    let column = i32::try_from(width)? / i32::try_from(IN_A_ROW)?;
    for (at, line) in entries.iter().enumerate() {
        let (row, place) = (at / IN_A_ROW, at % IN_A_ROW);
        let x = 64 + column * i32::try_from(place)?;
        let y = 16 + 26 * i32::try_from(row)?;
        let look = Look::of(line, entries);
        let strokes = if line.dashed {
            vec![(x, x + 10), (x + 24, x + 34)]
        } else {
            vec![(x, x + 34)]
        };
        for (from, to) in strokes {
            area.draw(&PathElement::new(vec![(from, y), (to, y)], look.stroke()))?;
        }
        area.draw(&Circle::new((x + 17, y), look.radius, look.fill()))?;
        let style = TextStyle::from((FONT, 15).into_font()).color(&INK);
        area.draw(&Text::new(line.name.clone(), (x + 44, y - 7), style))?;
    }
    Ok(())
}

/// How a line looks.
struct Look {
    colour: RGBColor,
    radius: i32,
}

impl Look {
    fn of(line: &Line, entries: &[&Line]) -> Self {
        let at = entries.iter().position(|entry| entry.name == line.name);
        Self {
            colour: COLOURS[at.unwrap_or(0) % COLOURS.len()],
            radius: if line.dashed { 3 } else { 5 },
        }
    }

    fn stroke(&self) -> ShapeStyle {
        self.colour.stroke_width(2)
    }

    fn fill(&self) -> ShapeStyle {
        self.colour.filled()
    }
}

/// The least and the greatest.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((least, most)) => Some((value.min(least), value.max(most))),
    })
}

/// These multiples of the powers of ten, as far as they are in a range.
fn steps((least, most): (f64, f64), of_ten: &[f64]) -> Vec<f64> {
    // A power of ten need not be met to the last bit.
    const NEAR: f64 = 1.000_001;
    let decades = -6..9;
    let all = decades.flat_map(|decade| of_ten.iter().map(move |step| step * 10_f64.powi(decade)));
    all.filter(|value| *value * NEAR >= least && *value <= most * NEAR)
        .collect()
}

/// A number without what it does not need.
fn short(value: f64) -> String {
    let rounded = (value * 1e6).round() / 1e6;
    if rounded < 1_000.0 {
        return rounded.to_string();
    }
    format!("{}k", (rounded / 1e3 * 1e3).round() / 1e3)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn real(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(title: &str, line: &str, points: &[(usize, f64)]) -> Panel {
        Panel {
            title: title.to_owned(),
            axis: "ms".to_owned(),
            scale: Scale::Logarithmic,
            lines: vec![Line {
                name: line.to_owned(),
                dashed: false,
                points: points.to_vec(),
            }],
        }
    }

    #[test]
    fn a_drawing_names_its_panels_axes_and_lines() {
        let points = [(1, 0.5), (10, 0.6), (100, 7.0)];
        let panels = [
            panel("Time", "check", &points),
            panel("Units", "list", &points),
        ];
        let drawing = svg("devices", &panels).unwrap();
        for text in ["Time", "Units", "ms", "devices", "check", "list", "100"] {
            let is_there = drawing.lines().any(|line| line.trim() == text);
            assert!(is_there, "{text} in {drawing}");
        }
    }

    #[test]
    fn a_panel_without_a_point_is_an_error() {
        assert!(svg("devices", &[panel("Time", "check", &[])]).is_err());
    }

    #[test]
    fn a_line_of_two_panels_is_in_the_legend_once() {
        let panels = ["Time", "Units"].map(|title| panel(title, "check", &[(1, 1.0)]));
        let drawing = svg("devices", &panels).unwrap();
        let named = drawing.lines().filter(|line| line.trim() == "check");
        assert_eq!(named.count(), 1);
    }

    fn shorts(values: &[f64]) -> Vec<String> {
        values.iter().copied().map(short).collect()
    }

    #[test]
    fn a_logarithmic_axis_is_marked_at_ones_twos_and_fives() {
        let marks = steps((0.4, 12.0), &[1.0, 2.0, 5.0]);
        assert_eq!(shorts(&marks), ["0.5", "1", "2", "5", "10"]);
        let decades = steps((1.0, 1e5), &[1.0]);
        let all = ["1", "10", "100", "1k", "10k", "100k"];
        assert_eq!(shorts(&decades), all);
    }

    #[test]
    fn a_linear_axis_begins_at_nothing_even_where_the_line_does_not() {
        let mut units = panel("Units", "list", &[(1, 3.0), (10, 13.0)]);
        units.scale = Scale::Linear;
        let drawing = svg("devices", &[units]).unwrap();
        assert!(drawing.lines().any(|line| line.trim() == "0"), "{drawing}");
    }

    #[test]
    fn numbers_are_short() {
        let said = [0.2, 0.5, 2.0, 100.0, 1e3, 1e5, 10_f64.powi(-1)].map(short);
        assert_eq!(said, ["0.2", "0.5", "2", "100", "1k", "100k", "0.1"]);
    }
}
