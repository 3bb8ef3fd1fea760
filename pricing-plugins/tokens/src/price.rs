//! The arithmetic and the table of models, apart from the plumbing. All amounts are micro-credits.

/// What a million tokens of a model cost, in micro-credits, and how many it writes at most.
pub struct Rates {
    model: &'static str,
    input: i64,
    cached: i64,
    written: i64,
    output: i64,
    /// What is held for a call that names no `max_tokens`: the model's own limit, because it may write as much.
    pub most: u64,
}

impl Rates {
    /// The same, with every token read at the dearest of its rates: what a cache will have is not known beforehand.
    pub fn dearest(&self) -> Self {
        let input = self.input.max(self.cached).max(self.written);
        Self { input, ..*self }
    }
}

/// The price list. A model is found by the longest name that its own begins with: `gpt-4.1-2025-04-14` by `gpt-4.1`.
#[rustfmt::skip]
const MODELS: [Rates; 5] = [
    Rates { model: "gpt-4.1",         input: 20_000_000, cached:  5_000_000, written: 20_000_000, output:  80_000_000, most:  32_768 },
    Rates { model: "gpt-4.1-mini",    input:  4_000_000, cached:  1_000_000, written:  4_000_000, output:  16_000_000, most:  32_768 },
    Rates { model: "o3",              input: 20_000_000, cached:  5_000_000, written: 20_000_000, output:  80_000_000, most: 100_000 },
    Rates { model: "claude-sonnet-4", input: 30_000_000, cached:  3_000_000, written: 37_500_000, output: 150_000_000, most:  64_000 },
    Rates { model: "text-embedding",  input:    200_000, cached:    200_000, written:    200_000, output:           0, most:       0 },
];

/// Tokens, as they are charged: of the input those from and into a cache have rates of their own.
#[derive(Clone, Copy, Default)]
pub struct Counted {
    pub input: u64,
    pub cached: u64,
    pub written: u64,
    pub output: u64,
}

/// The rates of a model.
pub fn rates(model: &str) -> Option<&'static Rates> {
    MODELS.iter().filter(|rates| model.starts_with(rates.model)).max_by_key(|rates| rates.model.len())
}

/// A token of a text is at least a byte of the body, so a body never has more of them than bytes. What a body only refers
/// to, such as a picture by its address, is not in it: let no route that allows it be priced by this list.
pub fn tokens_at_most(body_bytes: u64) -> u64 {
    body_bytes
}

/// The price, item by item, each rounded up to a whole micro-credit. `None` where it overflows.
pub fn items(base: i64, rates: &Rates, counted: Counted) -> Option<Vec<(&'static str, i64)>> {
    let Counted { input, cached, written, output } = counted;
    let fresh = input.saturating_sub(cached).saturating_sub(written);
    let parts = [
        ("input", fresh, rates.input),
        ("cached input", cached, rates.cached),
        ("cache write", written, rates.written),
        ("output", output, rates.output),
    ];
    let mut items = vec![("base", base)];
    for (label, tokens, rate) in parts {
        if tokens > 0 && rate > 0 {
            items.push((label, cost(tokens, rate)?));
        }
    }
    Some(items)
}

fn cost(tokens: u64, rate: i64) -> Option<i64> {
    i64::try_from((i128::from(tokens) * i128::from(rate) + 999_999) / 1_000_000).ok()
}
