//! A comparison as a table, as JSON and as a page with a chart. What was recorded is escaped: names are anybody's.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::replay::{ROWS_MAX, Replay, Row};

/// As lines for a terminal.
pub(super) fn table(replay: &Replay) -> Vec<String> {
    let total = &replay.total;
    let mut lines = vec![
        format!(
            "events        {} ({} differ, {} have no price, {} are estimates)",
            total.events, total.differing, total.unpriced, total.estimated
        ),
        format!("credits       {} before, {} now, {} difference", total.old, total.new, total.difference()),
    ];
    lines.extend(replay.causes.iter().map(|(cause, events)| format!("no price      {cause}: {events}")));
    let rows = shown(replay);
    if !rows.is_empty() {
        lines.push(format!(
            "{:<24} {:<32} {:>9} {:>14} {:>14} {:>14}",
            "organization", "event type", "events", "before", "now", "difference"
        ));
    }
    for row in rows {
        let (old, new, difference) = (row.sum.old.to_string(), row.sum.new.to_string(), row.difference.to_string());
        let (organization, event_type) = (row.organization_id.as_str(), row.event_type.as_str());
        lines.push(format!(
            "{organization:<24} {event_type:<32} {:>9} {old:>14} {new:>14} {difference:>14}",
            row.sum.events
        ));
    }
    lines
}

/// As JSON: all of it.
pub(super) fn to_json(replay: &Replay) -> Value {
    json!({
        "total": replay.total,
        "difference": replay.total.difference(),
        "withoutPrice": replay.causes,
        "rows": replay.rows(),
    })
}

/// As a page that needs nothing from elsewhere.
pub(super) fn page(replay: &Replay, title: &str) -> String {
    let mut rows = String::new();
    for row in shown(replay) {
        let (organization, event_type) = (escaped(row.organization_id.as_str()), escaped(row.event_type.as_str()));
        let Row { sum, difference, .. } = &row;
        let _ = writeln!(
            rows,
            "<tr><td>{organization}<td>{event_type}<td>{}<td>{}<td>{}<td>{difference}",
            sum.events, sum.old, sum.new
        );
    }
    let total = &replay.total;
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>
<style>body{{font:16px system-ui;margin:2rem;max-width:70rem}}td,th{{padding:.3rem .8rem;text-align:right}}
td:nth-child(-n+2),th:nth-child(-n+2){{text-align:left}}.more{{fill:#b3261e}}.less{{fill:#146c2e}}</style>
<h1>{title}</h1><p>{} events, {} of them at another price, {} without one, {} as an estimate.
<p>{} credits before, {} now: a difference of <b>{}</b>.
<h2>The largest differences</h2>{}
<table><tr><th>organization<th>event type<th>events<th>before<th>now<th>difference\n{rows}</table></html>\n",
        total.events,
        total.differing,
        total.unpriced,
        total.estimated,
        total.old,
        total.new,
        total.difference(),
        chart(&shown(replay)),
        title = escaped(title),
    )
}

fn shown(replay: &Replay) -> Vec<Row> {
    replay.rows().into_iter().take(ROWS_MAX).collect()
}

/// Bars from a middle line: to the right what would cost more, to the left what would cost less.
fn chart(rows: &[Row]) -> String {
    const HALF: u64 = 300;
    let most = rows.iter().map(|row| row.difference.micros().unsigned_abs()).max().unwrap_or(0).max(1);
    let mut bars = String::new();
    for (at, row) in rows.iter().enumerate() {
        let size = u128::from(row.difference.micros().unsigned_abs()) * u128::from(HALF) / u128::from(most);
        let (x, class) =
            if row.difference.is_negative() { (u128::from(HALF) - size, "less") } else { (u128::from(HALF), "more") };
        let (y, label) =
            (at * 24, format!("{} {}", escaped(row.organization_id.as_str()), escaped(row.event_type.as_str())));
        let _ = write!(
            bars,
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{size}\" height=\"18\"/><text x=\"620\" y=\"{}\">{label}: {}</text>",
            y + 14,
            row.difference
        );
    }
    format!(
        "<svg width=\"1100\" height=\"{}\" role=\"img\" aria-label=\"differences\"><path d=\"M300 0V{}\" stroke=\"#888\"/>{bars}</svg>",
        rows.len() * 24,
        rows.len() * 24
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        assert_eq!(escaped("<script>\"&\""), "&lt;script&gt;&quot;&amp;&quot;");
    }
}
