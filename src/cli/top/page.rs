//! A picture laid out in rows and columns; the same for a terminal and for a pipe.
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Row, Table, Widget};

use super::figures::{Figures, Latency, Quantile, SlotFigures};
use crate::cli::output::{bytes, seconds};
use crate::supervisor::protocol::WorkerStatus;

/// The newest figures, and why there are no newer ones.
pub(super) struct Page<'a> {
    pub(super) figures: &'a Figures,
    pub(super) trouble: Option<&'a str>,
}

impl Page<'_> {
    /// As lines of text, for a pipe.
    pub(super) fn text(&self) -> String {
        let (_, lists, slots, restarts) = self.heights();
        let area = Rect::new(0, 0, TEXT_WIDTH, 2 + lists + slots + restarts);
        let mut buffer = Buffer::empty(area);
        self.render(area, &mut buffer);
        let lines = area.rows().map(|row| {
            let line: String = row.columns().map(|cell| buffer[cell.as_position()].symbol()).collect();
            format!("{}\n", line.trim_end())
        });
        lines.collect::<String>().trim_end().to_owned() + "\n"
    }

    fn heights(&self) -> (u16, u16, u16, u16) {
        let figures = self.figures;
        let lists = figures.rates.len().max(figures.latencies.len()).max(figures.levels.len());
        let rows = |count: usize| u16::try_from(count).unwrap_or(u16::MAX / 4);
        let restarts = figures.restarted().len().min(RESTARTS_SHOWN);
        // Each part has a heading and a line of air after it.
        (2, rows(lists + 2), rows(figures.slots.len() + 2), if restarts == 0 { 0 } else { rows(restarts + 2) })
    }

    fn head(&self) -> Line<'static> {
        let Figures { supervisor, address, .. } = self.figures;
        let what = format!("hotline {}", supervisor.version);
        let rest = format!("  pid {}  up {}  https://{address}", supervisor.pid, seconds(supervisor.uptime_seconds));
        let mut spans = vec![what.bold(), rest.into()];
        if let Some(trouble) = self.trouble {
            spans.push(format!("  {trouble}").red());
        }
        Line::from(spans)
    }
}

impl Widget for &Page<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let (head, lists, slots, restarts) = self.heights();
        let parts = [head, lists, slots, restarts].map(Constraint::Length);
        let [head_area, lists_area, slots_area, restarts_area] = Layout::vertical(parts).areas(area);
        let [rates_area, latencies_area, levels_area] =
            Layout::horizontal([Constraint::Length(30), Constraint::Length(46), Constraint::Length(30)])
                .spacing(4)
                .areas(lists_area);
        self.head().render(head_area, buffer);
        rates(self.figures).render(rates_area, buffer);
        latencies(self.figures).render(latencies_area, buffer);
        levels(self.figures).render(levels_area, buffer);
        slot_table(&self.figures.slots).render(slots_area, buffer);
        if restarts > 0 {
            restart_list(&self.figures.restarted()).render(restarts_area, buffer);
        }
    }
}

fn rates(figures: &Figures) -> Text<'static> {
    let lines = figures.rates.iter().map(|(label, rate)| format!("{label:<19}{:>9}/s", per_second(*rate)).into());
    headed("EACH SECOND", lines)
}

fn latencies(figures: &Figures) -> Text<'static> {
    let lines = figures.latencies.iter().map(|(label, Latency { p50, p99, p999 })| {
        format!("{label:<13}{:>11}{:>11}{:>11}", shown(*p50), shown(*p99), shown(*p999)).into()
    });
    headed(&format!("{:<13}{:>11}{:>11}{:>11}", "LATENCY", "p50", "p99", "p99.9"), lines)
}

fn levels(figures: &Figures) -> Text<'static> {
    let line = |(label, level): &(&str, f64)| {
        let text = format!("{label:<20}{level:>10}");
        if *label == "jobs dead" && *level > 0.0 { text.red().into() } else { text.into() }
    };
    headed("NOW", figures.levels.iter().map(line))
}

fn headed(heading: &str, lines: impl Iterator<Item = Line<'static>>) -> Text<'static> {
    std::iter::once(heading.to_owned().bold().into()).chain(lines).collect()
}

fn slot_table(slots: &[SlotFigures]) -> Table<'static> {
    let heading = Row::new(SLOT_COLUMNS.map(|(name, _)| name)).style(Style::new().bold());
    let widths = SLOT_COLUMNS.map(|(_, width)| Constraint::Length(width));
    Table::new(slots.iter().map(slot_row), widths).header(heading).column_spacing(1)
}

fn slot_row(slot: &SlotFigures) -> Row<'static> {
    let SlotFigures { worker, requests_per_second } = slot;
    let colour = match worker.phase.as_str() {
        "serving" if worker.degraded => Color::Yellow,
        "serving" => Color::Green,
        "failed" => Color::Red,
        _ => Color::Yellow,
    };
    let phase = if worker.degraded { format!("{} (degraded)", worker.phase) } else { worker.phase.clone() };
    let speaks_http = worker.role == "api";
    Row::new([
        Span::from(worker.slot.clone()),
        worker.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()).into(),
        phase.fg(colour),
        worker.generation.to_string().into(),
        seconds(worker.uptime_seconds).into(),
        if speaks_http { worker.connections.to_string() } else { String::new() }.into(),
        if speaks_http { per_second(*requests_per_second) } else { String::new() }.into(),
        worker.backlog.to_string().into(),
        bytes(worker.rss_bytes).into(),
        worker.restarts.to_string().into(),
        worker.last_end.clone().into(),
    ])
}

fn restart_list(restarted: &[&WorkerStatus]) -> Text<'static> {
    let line = |worker: &&WorkerStatus| {
        let ago = match worker.pid {
            Some(_) => format!("{} ago", seconds(worker.uptime_seconds)),
            None => "not back yet".to_owned(),
        };
        let end = if worker.last_end.is_empty() { "an unknown end" } else { &worker.last_end };
        format!("{:<16}{ago:<16}after {end}; {} so far", worker.slot, worker.restarts).into()
    };
    headed("LAST RESTARTS", restarted.iter().take(RESTARTS_SHOWN).map(line))
}

fn per_second(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(rate) if rate > 0.0 && rate < 10.0 => format!("{rate:.1}"),
        Some(rate) => format!("{rate:.0}"),
    }
}

fn shown(quantile: Option<Quantile>) -> String {
    match quantile {
        None => "-".to_owned(),
        Some(Quantile::About(seconds)) => duration(seconds),
        Some(Quantile::Over(seconds)) => format!("> {}", duration(seconds)),
    }
}

/// `850 µs`, `1.20 ms`, `3.40 s`: three figures are more than a bucket knows.
fn duration(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 0.001 => (s * 1e6, "µs"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$} {unit}")
}

/// Names and widths of the table of slots.
const SLOT_COLUMNS: [(&str, u16); 11] = [
    ("SLOT", 14),
    ("PID", 8),
    ("PHASE", 18),
    ("GEN", 5),
    ("UPTIME", 9),
    ("CONNS", 7),
    ("REQ/S", 8),
    ("BACKLOG", 8),
    ("MEMORY", 10),
    ("RESTARTS", 9),
    ("LAST END", 12),
];
const RESTARTS_SHOWN: usize = 5;
/// Of a picture in a pipe: all columns and the air between them.
const TEXT_WIDTH: u16 = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let shown = [0.0000854, 0.00085, 0.0012, 0.034, 0.34, 1.5, 40.0].map(duration);
        assert_eq!(shown, ["85.4 µs", "850 µs", "1.20 ms", "34.0 ms", "340 ms", "1.50 s", "40.0 s"]);
    }
}
