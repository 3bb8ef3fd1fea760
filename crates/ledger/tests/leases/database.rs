//! The model of a store: what `LeaseStore` says, in memory, with its invariant asserted after every statement.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{Credits, Grant, Lease, LeaseGrant, LeaseRequest, LeaseTerms, Limit, Reach, Share, Timestamp};

use crate::faults::Mutant;

/// One life of an instance.
pub(crate) type Life = u32;
/// A period of the one organisation.
pub(crate) type Account = usize;

/// A settled event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) id: u64,
    pub(crate) account: Account,
    pub(crate) charge: Share,
    /// When its hold was found secure, in true time.
    pub(crate) secured_at: u64,
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
    pub(crate) grant: Grant,
    pub(crate) rows: [BTreeMap<Life, Row>; 2],
    pub(crate) used: [Share; 2],
    pub(crate) late: Share,
    /// Events applied after their lease was reclaimed, for the world to judge.
    pub(crate) late_events: Vec<Event>,
    pub(crate) statements: u64,
    /// Whether credits and calls were without limit at some time: what was held then needs no cover.
    pub(crate) ever_unlimited: (bool, bool),
    /// Until when each ask stands.
    asks: [BTreeMap<Life, i64>; 2],
    applied: BTreeSet<u64>,
    terms: LeaseTerms,
    mutant: Mutant,
}

impl Database {
    pub(crate) fn new(grant: Grant, terms: LeaseTerms, mutant: Mutant) -> Self {
        Self {
            clock: 1_800_000_000_000,
            grant,
            rows: Default::default(),
            used: Default::default(),
            late: Share::ZERO,
            late_events: Vec::new(),
            statements: 0,
            ever_unlimited: (grant.credits == Limit::Unlimited, grant.calls.is_none()),
            asks: Default::default(),
            applied: BTreeSet::new(),
            terms,
            mutant,
        }
    }

    fn ttl(&self) -> i64 {
        i64::try_from(self.terms.ttl_ms).unwrap()
    }

    pub(crate) fn set_grant(&mut self, grant: Grant) {
        self.grant = grant;
        self.ever_unlimited.0 |= grant.credits == Limit::Unlimited;
        self.ever_unlimited.1 |= grant.calls.is_none();
    }

    /// The part of a share that was limited all the time.
    pub(crate) fn limited(&self, share: Share) -> Share {
        let (credits, calls) = self.ever_unlimited;
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
        let limit = Reach::new(self.grant, Share::ZERO, Share::ZERO, Share::ZERO);
        let credits = limit.covers(Share { calls: 0, ..after }) || after.credits <= most.credits;
        let calls = limit.covers(Share { credits: Credits::ZERO, ..after }) || after.calls <= most.calls;
        assert!(
            credits && calls,
            "{what} takes account {account} to {after:?} of {:?} (it was {before:?})",
            self.grant
        );
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
            let before = self.sum(event.account);
            self.used[event.account] = self.used[event.account].plus(event.charge);
            let expired = Row { expires_at: self.clock, ..Row::default() };
            let row = self.rows[event.account].entry(life).or_insert(expired);
            if self.mutant != Mutant::ChargesForgotten {
                row.charged = row.charged.plus(event.charge);
            }
            let late = row.charged.less(row.granted);
            row.granted = row.granted.max(row.charged);
            row.late = row.late.plus(late);
            let row = row.clone();
            if !self.limited(late).is_zero() {
                let bounded = row.reclaimed.covers(self.limited(row.late));
                assert!(bounded, "more charges came late than were reclaimed: {row:?} {event:?}");
                self.late_events.push(*event);
            }
            self.late = self.late.plus(late);
            self.check_sum(event.account, before, late, "an apply");
        }
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
            _ => Reach::new(self.grant, row.charged, self.used[account], elsewhere),
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
            grant: self.grant,
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
        (0..2).filter(|account| has(*account) && self.is_asked(life, *account)).collect()
    }

    pub(crate) fn reclaim(&mut self) {
        self.statements += 1;
        let (now, latest, every) = (self.clock, self.clock + self.ttl(), self.terms.strike_every_ms);
        let strikes_max = if self.mutant == Mutant::ReclaimedAtOnce { 1 } else { self.terms.strikes_max };
        for account in 0..2 {
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
        for account in 0..2 {
            self.rows[account].remove(&life);
            self.asks[account].remove(&life);
        }
    }
}
