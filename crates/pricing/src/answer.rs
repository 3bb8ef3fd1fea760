//! What a plugin answered, looked at as if a stranger had sent it.

use ledger::{ChargeItem, Credits};

use crate::contract::wit::{Price, Refusal};
use crate::error::PricingError;
use crate::options::Options;
use crate::plugin::Quote;

/// The longest text that a plugin may say, in bytes, where it is shown to people.
const SENTENCE_BYTES_MAX: usize = 256;
/// The longest label and name, in bytes.
const LABEL_BYTES_MAX: usize = 64;

/// The price, if it is one: in range, its items adding up to its total. Items may be below zero (a discount).
pub(crate) fn price(price: Price, credits_max: Credits, options: &Options) -> Result<Quote, PricingError> {
    let Price { total, items } = price;
    let credits = Credits::from_micros(total);
    if credits.is_negative() || credits > credits_max {
        return Err(PricingError::OutOfRange);
    }
    if items.len() > options.items_max {
        return Err(PricingError::OutputLimit);
    }
    if !items.iter().all(|item| is_label(&item.label)) {
        return Err(PricingError::InvalidText);
    }
    let items: Vec<ChargeItem> = items
        .into_iter()
        .map(|item| ChargeItem { label: item.label, credits: Credits::from_micros(item.price) })
        .collect();
    match Credits::checked_sum(items.iter().map(|item| item.credits)) {
        Some(sum) if sum == credits => Ok(Quote { credits, items }),
        _ => Err(PricingError::WrongSum),
    }
}

/// The plugin's own words, kept short and plain.
pub(crate) fn refusal(refusal: Refusal) -> PricingError {
    let plain = |text: String| -> String {
        let mut plain: String = text.chars().filter(|character| !character.is_control()).collect();
        let end = plain.floor_char_boundary(SENTENCE_BYTES_MAX);
        plain.truncate(end);
        plain
    };
    match refusal {
        Refusal::Decline(why) => PricingError::Refused(plain(why)),
        Refusal::Misconfigured(why) => PricingError::Misconfigured(plain(why)),
    }
}

/// Whether a text can be a label or a name.
pub(crate) fn is_label(text: &str) -> bool {
    !text.is_empty() && text.len() <= LABEL_BYTES_MAX && !text.chars().any(char::is_control)
}
