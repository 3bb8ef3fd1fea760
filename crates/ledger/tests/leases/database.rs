//! The model of a store: what `LeaseStore` says, in memory, with its invariant asserted after every statement.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use ledger::{Credits, Grant, Lease, LeaseGrant, LeaseRequest, LeaseTerms, Limit, Reach, Share, Timestamp, UserId};

use crate::faults::Mutant;

/// One life of an instance.
pub(crate) type Life = u32;
/// A period of the one organisation; beyond those, the same periods of its member Ann.
pub(crate) type Account = usize;
/// How many there are.
pub(crate) const ACCOUNTS: usize = 4;
/// How many of them are the organisation's.
pub(crate) const PERIODS: usize = 2;

/// Whose account it is: 0 the organisation's, 1 Ann's.
pub(crate) const fn whose(account: Account) -> usize {
    account / PERIODS
}

/// Whose account it is, for a book.
pub(crate) fn user(account: Account) -> Option<&'static UserId> {
    static ANN: LazyLock<UserId> = LazyLock::new(|| "ann".parse().unwrap());
    (whose(account) == 1).then(|| &*ANN)
}

/// A member's account counts no calls.
pub(crate) fn share_in(account: Account, share: Share) -> Share {
    if whose(account) == 0 { share } else { Share { calls: 0, ..share } }
}

/// A settled event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) id: u64,
    pub(crate) account: Account,
    pub(crate) by_ann: bool,
    pub(crate) charge: Share,
    /// When its hold was found secure, in true time.
    pub(crate) secured_at: u64,
}

impl Event {
    /// What it adds to which account.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Account, Share)> + use<> {
        let anns = self.by_ann.then_some(self.account + PERIODS);
        let charge = self.charge;
        [Some(self.account), anns].into_iter().flatten().map(move |account| (account, share_in(account, charge)))
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) granted: Share,
    pub(crate) charged: Share,
    pub(crate) expires_at: i64,
    /// How often the row lost its amount.
    pub(crate) reclaims: u64,
    /// What a waiting call was just granted, as a total.
    pub(crate) promised: Share,
    epoch: i64,
    yielded_at: i64,
    strikes: u64,
    struck_at: i64,
    reclaimed: Share,
    late: Share,
}

impl Row {
    pub(crate) fn amount(&self) -> Share {
        self.granted.less(self.charged)
    }
}

/// Rows, balances, asks.
pub(crate) struct Database {
    pub(crate) clock: i64,
    /// The organisation's and Ann's.
    pub(crate) grants: [Grant; 2],
    pub(crate) rows: [BTreeMap<Life, Row>; ACCOUNTS],
    pub(crate) used: [Share; ACCOUNTS],
    pub(crate) late: [Share; 2],
    /// Events applied after their lease was reclaimed, for the world to judge.
    pub(crate) late_events: Vec<Event>,
    pub(crate) statements: u64,
    /// Whether credits and calls were without limit at some time: what was held then needs no cover.
    pub(crate) ever_unlimited: [(bool, bool); 2],
    /// Until when each ask stands.
    asks: [BTreeMap<Life, i64>; ACCOUNTS],
    applied: BTreeSet<u64>,
    terms: LeaseTerms,
    mutant: Mutant,
}

impl Database {
    pub(crate) fn new(grants: [Grant; 2], terms: LeaseTerms, mutant: Mutant) -> Self {
        Self {
            clock: 1_800_000_000_000,
            grants,
            rows: Default::default(),
            used: Default::default(),
            late: [Share::ZERO; 2],
            late_events: Vec::new(),
            statements: 0,
            ever_unlimited: grants.map(|grant| (grant.credits == Limit::Unlimited, grant.calls.is_none())),
            asks: Default::default(),
            applied: BTreeSet::new(),
            terms,
            mutant,
        }
    }

    fn ttl(&self) -> i64 {
        i64::try_from(self.terms.ttl_ms).unwrap()
    }

    pub(crate) fn set_grant(&mut self, whose: usize, grant: Grant) {
        self.grants[whose] = grant;
        self.ever_unlimited[whose].0 |= grant.credits == Limit::Unlimited;
        self.ever_unlimited[whose].1 |= grant.calls.is_none();
    }

    /// The part of an account's share that was limited all the time.
    pub(crate) fn limited(&self, account: Account, share: Share) -> Share {
        let (credits, calls) = self.ever_unlimited[whose(account)];
        Share {
            credits: if credits { Credits::ZERO } else { share.credits },
            calls: if calls { 0 } else { share.calls },
        }
    }

    /// `used + Σ amounts`.
    pub(crate) fn sum(&self, account: Account) -> Share {
        self.rows[account].values().fold(self.used[account], |sum, row| sum.plus(row.amount()))
    }

    /// Whether a sum may come after another: within the limit, or no larger than it was.
    fn check_sum(&self, account: Account, before: Share, late: Share, what: &str) {
        let (after, most) = (self.sum(account), before.plus(late));
        let grant = self.grants[whose(account)];
        let limit = Reach::new(grant, Share::ZERO, Share::ZERO, Share::ZERO);
        let credits = limit.covers(Share { calls: 0, ..after }) || after.credits <= most.credits;
        let calls = limit.covers(Share { credits: Credits::ZERO, ..after }) || after.calls <= most.calls;
        assert!(credits && calls, "{what} takes account {account} to {after:?} of {grant:?} (it was {before:?})");
    }

    pub(crate) fn has(&self, event: u64) -> bool {
        self.applied.contains(&event)
    }

    pub(crate) fn apply(&mut self, life: Life, events: &[Event]) {
        self.statements += 1;
        for event in events {
            if !self.applied.insert(event.id) {
                continue;
            }
            for (account, charge) in event.parts() {
                self.charge(life, event, account, charge);
            }
        }
    }

    fn charge(&mut self, life: Life, event: &Event, account: Account, charge: Share) {
        let before = self.sum(account);
        self.used[account] = self.used[account].plus(charge);
        if whose(account) == 1 && !self.rows[account].contains_key(&life) {
            // Her account has not begun there: she had no limit when she called.
            assert!(self.ever_unlimited[1].0, "a call of hers was charged without an account: {event:?}");
            return;
        }
        let expired = Row { expires_at: self.clock, ..Row::default() };
        let row = self.rows[account].entry(life).or_insert(expired);
        if self.mutant != Mutant::ChargesForgotten {
            row.charged = row.charged.plus(charge);
        }
        let late = row.charged.less(row.granted);
        row.granted = row.granted.max(row.charged);
        row.late = row.late.plus(late);
        let row = row.clone();
        if !self.limited(account, late).is_zero() {
            let bounded = row.reclaimed.covers(self.limited(account, row.late));
            assert!(bounded, "more charges came late than were reclaimed: {row:?} {event:?}");
            self.late_events.push(*event);
        }
        self.late[whose(account)] = self.late[whose(account)].plus(late);
        self.check_sum(account, before, late, "an apply");
    }

    /// Makes the row of Ann's lease anew; false where a newer request took effect.
    pub(crate) fn begin(&mut self, life: Life, account: Account, captured: Share, epoch: i64) -> bool {
        self.statements += 1;
        let row = self.rows[account].entry(life).or_insert(Row { epoch: i64::MIN, ..Row::default() });
        let is_new = row.epoch < epoch || self.mutant == Mutant::EpochsIgnored;
        if is_new {
            (row.granted, row.charged, row.epoch) = (captured, captured, row.epoch.max(epoch));
        }
        is_new
    }

    pub(crate) fn renew(&mut self, life: Life, account: Account, request: &LeaseRequest) -> Option<LeaseGrant> {
        let before = self.sum(account);
        let (now, ends) = (self.clock, self.clock + self.ttl());
        let others = self.rows[account].iter().filter(|(other, _)| **other != life);
        let counted = others.filter(|(_, row)| self.mutant != Mutant::ExpiredForgotten || row.expires_at > now);
        let elsewhere = counted.fold(Share::ZERO, |sum, (_, row)| sum.plus(row.amount()));
        let row = self.rows[account].entry(life).or_default();
        if request.epoch <= row.epoch && self.mutant != Mutant::EpochsIgnored {
            return None;
        }
        assert!(request.want.covers(request.keep) && request.want.covers(request.need), "{request:?}");
        let reach = match self.mutant {
            Mutant::Unguarded => Reach { credits: None, calls: None },
            _ => Reach::new(self.grants[whose(account)], row.charged, self.used[account], elsewhere),
        };
        let (granted, met) = request.decide(row.granted, row.charged, reach);
        row.granted =
            if self.mutant == Mutant::KeepIgnored { reach.cut(request.want).max(row.charged) } else { granted };
        row.epoch = request.epoch.max(row.epoch);
        row.expires_at = ends;
        row.strikes = 0;
        let waits = met && !request.keep.covers(request.need);
        row.promised = if waits { request.need } else { Share::ZERO };
        if request.yields {
            row.yielded_at = now;
        }
        let lease = Lease {
            epoch: request.epoch,
            granted: row.granted,
            charged: row.charged,
            expires_at: Timestamp::from_millis(row.expires_at),
        };
        let ask_until = now + i64::try_from(self.terms.ask_ttl_ms).unwrap();
        if met {
            self.asks[account].remove(&life);
        } else {
            self.asks[account].insert(life, ask_until);
        }
        self.check_sum(account, before, Share::ZERO, "a grant");
        let others = self.rows[account].iter().filter(|(other, _)| **other != life);
        let silent = others.filter(|(_, row)| !row.amount().is_zero()).map(|(_, row)| now - row.yielded_at).max();
        Some(LeaseGrant {
            key: request.key.clone(),
            lease,
            grant: self.grants[whose(account)],
            used: self.used[account],
            told_elsewhere: Share::ZERO,
            leased_elsewhere: elsewhere,
            silent_ms: u64::try_from(silent.unwrap_or(0)).unwrap_or(0),
            asked: self.is_asked(life, account),
        })
    }

    fn is_asked(&self, life: Life, account: Account) -> bool {
        let most = self.clock + i64::try_from(self.terms.ask_ttl_ms).unwrap();
        self.asks[account].iter().any(|(other, until)| *other != life && *until > self.clock && *until <= most)
    }

    pub(crate) fn has_ask(&self) -> bool {
        self.asks.iter().any(|asks| !asks.is_empty())
    }

    pub(crate) fn has_expired(&self) -> bool {
        let ends = |row: &Row| row.expires_at <= self.clock || row.expires_at > self.clock + self.ttl();
        self.rows.iter().flat_map(|rows| rows.values()).any(|row| !row.amount().is_zero() && ends(row))
    }

    pub(crate) fn asked(&mut self, life: Life) -> Vec<Account> {
        self.statements += 1;
        let has = |account: Account| self.rows[account].get(&life).is_some_and(|row| !row.amount().is_zero());
        (0..ACCOUNTS).filter(|account| has(*account) && self.is_asked(life, *account)).collect()
    }

    pub(crate) fn reclaim(&mut self) {
        self.statements += 1;
        let (now, latest, every) = (self.clock, self.clock + self.ttl(), self.terms.strike_every_ms);
        let strikes_max = if self.mutant == Mutant::ReclaimedAtOnce { 1 } else { self.terms.strikes_max };
        for account in 0..ACCOUNTS {
            let before = self.sum(account);
            for row in self.rows[account].values_mut().filter(|row| !row.amount().is_zero()) {
                row.expires_at = row.expires_at.min(latest);
                if row.expires_at > now || now.abs_diff(row.struck_at) < every {
                    continue;
                }
                row.strikes += 1;
                row.struck_at = now;
                if row.strikes >= strikes_max {
                    row.reclaimed = row.reclaimed.plus(row.amount());
                    row.granted = row.charged;
                    row.reclaims += 1;
                }
            }
            self.check_sum(account, before, Share::ZERO, "a reclaim");
        }
    }

    pub(crate) fn retire(&mut self, life: Life) {
        self.statements += 1;
        for account in 0..ACCOUNTS {
            self.rows[account].remove(&life);
            self.asks[account].remove(&life);
        }
    }
}
