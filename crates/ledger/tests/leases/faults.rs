//! What goes wrong in a schedule, and what is broken on purpose to see that the simulation notices.

use ledger::LeaseTerms;

use crate::random::Random;

/// A protocol with one thing wrong. `None` is the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    None,
    /// The store grants whatever is wanted.
    Unguarded,
    /// The store counts only leases that have not expired.
    ExpiredForgotten,
    /// An expired lease is reclaimed at the first look.
    ReclaimedAtOnce,
    /// A request that comes late takes effect.
    EpochsIgnored,
    /// The store takes back what may be spent before the answer comes.
    KeepIgnored,
    /// An apply does not take its charges from the lease.
    ChargesForgotten,
    /// The instance spends to the last moment of its lease.
    NoMargin,
    /// The instance reckons from the answer.
    CountsFromAnswer,
    /// The instance charges a hold whose lease may be gone.
    SettlesUnsecured,
    /// The instance does not hear that others ask.
    Deaf,
    /// The instance keeps what it does not need.
    Hoards,
    /// A call is refused at the first answer that has too little.
    Impatient,
    /// A member's lease begins before what the member spent is applied.
    BeginsBehind,
    /// A member's lease begins though a charge of the member's came between.
    BeginsBlindly,
}

impl Mutant {
    /// All that must be caught.
    pub(crate) const ALL: [Self; 14] = [
        Self::Unguarded,
        Self::ExpiredForgotten,
        Self::ReclaimedAtOnce,
        Self::EpochsIgnored,
        Self::KeepIgnored,
        Self::ChargesForgotten,
        Self::NoMargin,
        Self::CountsFromAnswer,
        Self::SettlesUnsecured,
        Self::Deaf,
        Self::Hoards,
        Self::Impatient,
        Self::BeginsBehind,
        Self::BeginsBlindly,
    ];
}

/// Small times, so that a schedule has many leases in few steps. The proportions are those of the product.
pub(crate) fn terms(mutant: Mutant) -> LeaseTerms {
    LeaseTerms {
        ttl_ms: 3_000,
        strikes_max: 4,
        strike_every_ms: 500,
        ask_ttl_ms: 500,
        margin_ms: if mutant == Mutant::NoMargin { 0 } else { 300 },
        settle_margin_ms: 800,
        idle_ms: if mutant == Mutant::Hoards { u64::MAX } else { 2_000 },
        retry_ms: 250,
        poll_ms: 40,
    }
}

/// Which faults a schedule has. One in so many messages, or seconds; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) lose_message: u64,
    pub(crate) delay_message: u64,
    pub(crate) crash: u64,
    pub(crate) journal_lost: u64,
    pub(crate) pause: u64,
    pub(crate) cut: u64,
    pub(crate) outage: u64,
    pub(crate) clock_jump: u64,
    pub(crate) limit_change: u64,
    pub(crate) lose_notification: u64,
    /// Thousandths by which clocks may run fast or slow.
    pub(crate) drift: u64,
    /// Interrupted calls are charged in full.
    pub(crate) interrupted_charged: bool,
}

impl Faults {
    pub(crate) fn of(random: &mut Random) -> Self {
        let calm = Self { drift: 1, lose_notification: 3, interrupted_charged: random.once_in(2), ..Self::default() };
        let limits = Self { limit_change: 6, ..calm };
        match random.between(0, 9) {
            0 => calm,
            1 => limits,
            2 => Self { lose_message: 12, delay_message: 10, drift: 30, ..limits },
            3 => Self { crash: 8, lose_message: 50, ..calm },
            4 => Self { crash: 8, journal_lost: 2, delay_message: 30, ..calm },
            5 => Self { pause: 6, drift: 30, ..calm },
            6 => Self { cut: 5, drift: 30, ..limits },
            7 => Self { outage: 6, delay_message: 30, drift: 30, ..calm },
            8 => Self { clock_jump: 4, lose_message: 50, ..limits },
            _ => Self {
                lose_message: 40,
                delay_message: 30,
                crash: 15,
                journal_lost: 3,
                pause: 15,
                cut: 15,
                outage: 15,
                clock_jump: 20,
                limit_change: 10,
                drift: 30,
                ..calm
            },
        }
    }
}
