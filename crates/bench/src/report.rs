//! The figures side by side, and against what was promised. Whole numbers throughout: a microsecond of processor time a
//! call is a millisecond a thousand calls.
#![expect(clippy::print_stdout, reason = "this is what a person at the terminal reads")]

/// What was measured of a server in one turn, or the medians of its turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) calls_a_second: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) cpu_us_a_call: u64,
    pub(crate) memory_kib: u64,
}

impl Figures {
    /// The median of each figure by itself.
    pub(crate) fn medians(turns: &[Self]) -> Self {
        let median = |of: fn(&Self) -> u64| {
            let mut figures: Vec<u64> = turns.iter().map(of).collect();
            figures.sort_unstable();
            figures.get(figures.len() / 2).copied().unwrap_or_default()
        };
        Self {
            calls_a_second: median(|turn| turn.calls_a_second),
            p50_us: median(|turn| turn.p50_us),
            p99_us: median(|turn| turn.p99_us),
            cpu_us_a_call: median(|turn| turn.cpu_us_a_call),
            memory_kib: median(|turn| turn.memory_kib),
        }
    }
}

/// The three servers under one load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) backend: Figures,
    pub(crate) bare: Figures,
    pub(crate) gateway: Figures,
}

/// Prints a table.
pub(crate) fn table(title: &str, table: &Table) {
    println!("\n{title}");
    println!("{:<14}{:>12}{:>10}{:>10}{:>18}{:>12}", "", "calls/s", "p50 ms", "p99 ms", "CPU ms per 1000", "memory MB");
    for (name, figures) in [("backend alone", table.backend), ("bare Pingora", table.bare), ("gateway", table.gateway)]
    {
        println!(
            "{name:<14}{:>12}{:>10}{:>10}{:>18}{:>12}",
            figures.calls_a_second,
            thousandths(figures.p50_us),
            thousandths(figures.p99_us),
            figures.cpu_us_a_call,
            megabytes(figures.memory_kib),
        );
    }
}

/// Prints what was promised and what was measured.
pub(crate) fn targets(throughput: &Table, steady: &Table, crowd: &Table) {
    println!("\nPromised, and measured");
    for (what, promised, measured, kept) in verdicts(throughput, steady, crowd) {
        let verdict = if kept { "kept" } else { "NOT KEPT" };
        println!("{what:<58}{promised:>14}{measured:>12}   {verdict}");
    }
}

/// Prints the memory over many calls.
pub(crate) fn soak(calls: u64, memory_kib: &[u64]) {
    let memory: Vec<String> = memory_kib.iter().map(|kib| megabytes(*kib)).collect();
    println!("\nThe gateway's memory over {calls} calls, in MB: {}", memory.join(" "));
}

type Verdict = (&'static str, &'static str, String, bool);

fn verdicts(throughput: &Table, steady: &Table, crowd: &Table) -> [Verdict; 5] {
    let cpu = percent(throughput.gateway.cpu_us_a_call, throughput.bare.cpu_us_a_call);
    let calls = percent(throughput.gateway.calls_a_second, throughput.bare.calls_a_second);
    let p50 = steady.gateway.p50_us.saturating_sub(steady.backend.p50_us);
    let p99 = steady.gateway.p99_us.saturating_sub(steady.backend.p99_us);
    let memory = crowd.gateway.memory_kib;
    [
        ("CPU a paid call, of bare Pingora's", "at most 150 %", format!("{cpu} %"), cpu <= 150),
        ("throughput at 32 connections, of bare Pingora's", "at least 60 %", format!("{calls} %"), calls >= 60),
        ("p50 added over the backend alone at 1000 calls a second", "at most 0.5 ms", thousandths(p50), p50 <= 500),
        ("p99 added over the backend alone at 1000 calls a second", "at most 2 ms", thousandths(p99), p99 <= 2_000),
        (
            "memory with 256 connections and all organisations",
            "at most 60 MB",
            megabytes(memory),
            memory * 1_024 <= 60_000_000,
        ),
    ]
}

fn percent(of: u64, whole: u64) -> u64 {
    of.saturating_mul(100) / whole.max(1)
}

fn thousandths(number: u64) -> String {
    format!("{}.{:03}", number / 1_000, number % 1_000)
}

/// Millions of bytes, to a tenth.
fn megabytes(kib: u64) -> String {
    let tenths = kib * 1_024 / 100_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_each_figure_stands_for_its_turns() {
        let turn = |calls_a_second, p50_us| Figures { calls_a_second, p50_us, ..Figures::default() };
        let medians = Figures::medians(&[turn(1, 30), turn(3, 10), turn(2, 20)]);
        assert_eq!((medians.calls_a_second, medians.p50_us), (2, 20));
        assert_eq!(Figures::medians(&[]), Figures::default());
    }

    #[test]
    fn a_promise_is_kept_at_its_limit_and_not_one_past_it() {
        let bare = Figures { calls_a_second: 1_000, cpu_us_a_call: 100, ..Figures::default() };
        let table = |gateway| Table { backend: Figures::default(), bare, gateway };
        let at = Figures { calls_a_second: 600, cpu_us_a_call: 150, p50_us: 500, p99_us: 2_000, memory_kib: 58_593 };
        let past = Figures { calls_a_second: 599, cpu_us_a_call: 151, p50_us: 501, p99_us: 2_001, memory_kib: 58_594 };
        for (gateway, want) in [(at, true), (past, false)] {
            let table = table(gateway);
            for (what, _, measured, kept) in verdicts(&table, &table, &table) {
                assert_eq!(kept, want, "{what}: {measured}");
            }
        }
    }

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!((thousandths(1_234), thousandths(7)), ("1.234".to_owned(), "0.007".to_owned()));
        assert_eq!((megabytes(0), megabytes(58_593)), ("0.0".to_owned(), "59.9".to_owned()));
    }
}
