//! The arithmetic, apart from the plumbing. All amounts are micro-credits, all factors thousandths.

/// A credit, to which a total is rounded.
const CREDIT: i64 = 1_000_000;

/// Complexity of a text by its length in UTF-16 code units: under each length the factor beside it.
const STEPS: [(u64, u32); 4] = [(100, 1_000), (500, 1_200), (1_000, 1_500), (2_000, 2_000)];
/// The factor of any longer text.
const LONGEST: u32 = 2_500;

/// The complexity of a text.
pub fn complexity(text_units: u64) -> u32 {
    STEPS.iter().find(|(length, _)| text_units < *length).map_or(LONGEST, |(_, factor)| *factor)
}

/// The price, item by item: what complexity and rounding add are lines of their own. `None` where it overflows.
pub fn items(
    base: i64,
    clamp: Option<(u32, u32)>,
    text_units: u64,
    add_ons: &[(&str, i64)],
) -> Option<Vec<(String, i64)>> {
    // Exact: the sum is kept in thousandths of a micro-credit until it is rounded, once, at the end.
    let factor = clamp.map_or(1_000, |(min, max)| complexity(text_units).max(min).min(max));
    let scaled = i128::from(base) * i128::from(factor);
    let flags: i128 = add_ons.iter().map(|(_, price)| i128::from(*price)).sum();
    let exact = scaled + flags * 1_000;
    let total = rounded_half_up(exact, i128::from(CREDIT) * 1_000)?.checked_mul(CREDIT)?;
    let mut items = vec![("base".to_owned(), base)];
    if factor != 1_000 {
        let more = i64::try_from(scaled / 1_000).ok()?.checked_sub(base)?;
        items.push((format!("complexity x{}.{:03}", factor / 1_000, factor % 1_000), more));
    }
    items.extend(add_ons.iter().map(|(flag, price)| ((*flag).to_owned(), *price)));
    let so_far = items.iter().try_fold(0_i64, |sum, (_, price)| sum.checked_add(*price))?;
    if so_far != total {
        items.push(("rounding".to_owned(), total.checked_sub(so_far)?));
    }
    Some(items)
}

fn rounded_half_up(amount: i128, unit: i128) -> Option<i64> {
    i64::try_from((amount * 2 + unit).div_euclid(unit * 2)).ok()
}
