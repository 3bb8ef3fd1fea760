//! How much one organisation or user may ask for: calls a minute, and calls on their way at once. It must never grow with
//! what clients send: only members of organisations are counted, and those who do nothing are forgotten.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use ledger::{OrganizationId, Timestamp, UserId};
use parking_lot::Mutex;
use refusal::{Refusal, Subject};

/// A minute, in nanoseconds.
const MINUTE_NS: i64 = 60_000_000_000;
/// Parts of the table, so that calls rarely wait for each other.
const SHARDS: usize = 16;
/// Subjects that are remembered in one part: some 8 MiB in all.
const SHARD_SUBJECTS_MAX: usize = 8_192;

/// What one subject may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Calls a minute; 0 is no limit.
    pub(crate) per_minute: u64,
    /// Calls at once; 0 is no limit.
    pub(crate) at_once: u64,
}

/// What organisations and users may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paces {
    pub(crate) organization: Pace,
    pub(crate) user: Pace,
}

/// What organisations and users do at the moment.
pub(crate) struct Subjects {
    shards: [Mutex<HashMap<u64, Tally>>; SHARDS],
    seed: RandomState,
}

/// The organisation and the user of one call.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    organization: u64,
    user: u64,
}

/// What one subject does.
#[derive(Clone, Copy, Default)]
struct Tally {
    /// When it would have asked for all it has asked for, had it kept its pace (GCRA), in nanoseconds.
    due_ns: i64,
    /// Its calls on their way.
    in_flight: u64,
}

impl Subjects {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), seed: RandomState::new() }
    }

    /// Names a call's subjects. 64 bits by a secret seed: nobody finds two that are taken for one.
    pub(crate) fn pair(&self, organization: &OrganizationId, user: &UserId) -> Pair {
        Pair {
            organization: self.seed.hash_one(("organization", organization.as_str())),
            user: self.seed.hash_one(("user", user.as_str())),
        }
    }

    /// Counts a call, or says when the next one is taken. A call that is refused counts nowhere.
    pub(crate) fn call(&self, pair: Pair, paces: Paces, now: Timestamp) -> Result<(), Refusal> {
        self.count(pair.user, Subject::User, paces.user.per_minute, now)?;
        let counted = self.count(pair.organization, Subject::Organization, paces.organization.per_minute, now);
        if counted.is_err() && paces.user.per_minute > 0 {
            let back = interval_ns(paces.user.per_minute);
            self.with(pair.user, now, |tally| tally.due_ns = tally.due_ns.saturating_sub(back));
        }
        counted
    }

    fn count(&self, key: u64, of: Subject, per_minute: u64, now: Timestamp) -> Result<(), Refusal> {
        if per_minute == 0 {
            return Ok(());
        }
        let (now_ns, interval) = (nanos(now), interval_ns(per_minute));
        self.with(key, now, |tally| {
            let ahead = tally.due_ns.saturating_sub(now_ns);
            // A clock that was set back must not lock anybody out.
            let ahead = if ahead > MINUTE_NS { 0 } else { ahead.max(0) };
            let wait = ahead.saturating_add(interval).saturating_sub(MINUTE_NS);
            if wait > 0 {
                let retry_after_s = u64::try_from(wait).unwrap_or(0).div_ceil(1_000_000_000);
                return Err(Refusal::TooManyCalls { of, per_minute, retry_after_s });
            }
            tally.due_ns = now_ns.saturating_add(ahead).saturating_add(interval);
            Ok(())
        })
    }

    /// Takes a place among each subject's calls on their way.
    pub(crate) fn enter(&self, pair: Pair, paces: Paces, now: Timestamp) -> Result<(), Refusal> {
        self.take(pair.user, Subject::User, paces.user.at_once, now)?;
        let taken = self.take(pair.organization, Subject::Organization, paces.organization.at_once, now);
        if taken.is_err() {
            self.give_back(pair.user);
        }
        taken
    }

    /// Gives both places back.
    pub(crate) fn leave(&self, pair: Pair) {
        self.give_back(pair.user);
        self.give_back(pair.organization);
    }

    fn take(&self, key: u64, of: Subject, at_once: u64, now: Timestamp) -> Result<(), Refusal> {
        self.with(key, now, |tally| {
            if at_once > 0 && tally.in_flight >= at_once {
                return Err(Refusal::TooManyInFlightOf(of));
            }
            tally.in_flight = tally.in_flight.saturating_add(1);
            Ok(())
        })
    }

    fn give_back(&self, key: u64) {
        if let Some(tally) = self.shard(key).lock().get_mut(&key) {
            tally.in_flight = tally.in_flight.saturating_sub(1);
        }
    }

    fn with<T>(&self, key: u64, now: Timestamp, change: impl FnOnce(&mut Tally) -> T) -> T {
        let mut tallies = self.shard(key).lock();
        if tallies.len() >= SHARD_SUBJECTS_MAX && !tallies.contains_key(&key) {
            let now_ns = nanos(now);
            tallies.retain(|_, tally| tally.in_flight > 0 || tally.due_ns > now_ns);
        }
        change(tallies.entry(key).or_default())
    }

    fn shard(&self, key: u64) -> &Mutex<HashMap<u64, Tally>> {
        let index = usize::try_from(key >> 60).unwrap_or(0);
        self.shards.get(index).unwrap_or(&self.shards[0])
    }
}

fn interval_ns(per_minute: u64) -> i64 {
    MINUTE_NS.checked_div(i64::try_from(per_minute).unwrap_or(i64::MAX)).unwrap_or(MINUTE_NS).max(1)
}

fn nanos(now: Timestamp) -> i64 {
    now.millis().saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paces(organization: u64, user: u64) -> Paces {
        let pace = |limit| Pace { per_minute: limit, at_once: limit };
        Paces { organization: pace(organization), user: pace(user) }
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + ms)
    }

    fn pair(subjects: &Subjects, organization: &str, user: &str) -> Pair {
        subjects.pair(&organization.parse().unwrap(), &user.parse().unwrap())
    }

    #[test]
    fn a_minutes_calls_may_come_at_once_and_then_one_by_one() {
        let subjects = Subjects::new();
        let ann = pair(&subjects, "acme", "ann");
        let paces = paces(0, 60);
        for n in 0..60 {
            assert_eq!(subjects.call(ann, paces, at(0)), Ok(()), "{n}");
        }
        let refused = |retry_after_s| Err(Refusal::TooManyCalls { of: Subject::User, per_minute: 60, retry_after_s });
        assert_eq!(subjects.call(ann, paces, at(0)), refused(1));
        assert_eq!(subjects.call(ann, paces, at(999)), refused(1));
        assert_eq!(subjects.call(ann, paces, at(1_000)), Ok(()));
        assert_eq!(subjects.call(ann, paces, at(1_000)), refused(1));
        assert_eq!(subjects.call(pair(&subjects, "acme", "bob"), paces, at(0)), Ok(()), "others are counted apart");
        assert_eq!(subjects.call(ann, paces, at(-200_000)), Ok(()), "a clock that was set back locks nobody out");
    }

    #[test]
    fn what_the_organization_may_not_counts_for_no_user() {
        let subjects = Subjects::new();
        let (ann, bob) = (pair(&subjects, "acme", "ann"), pair(&subjects, "acme", "bob"));
        let paces = paces(1, 2);
        assert_eq!(subjects.call(ann, paces, at(0)), Ok(()));
        for _ in 0..5 {
            let refused = subjects.call(bob, paces, at(0));
            let of = Subject::Organization;
            assert_eq!(refused, Err(Refusal::TooManyCalls { of, per_minute: 1, retry_after_s: 60 }));
        }
        assert_eq!(subjects.call(bob, paces, at(60_000)), Ok(()));
    }

    #[test]
    fn places_are_counted_by_user_and_organization_and_given_back() {
        let subjects = Subjects::new();
        let (ann, bob) = (pair(&subjects, "acme", "ann"), pair(&subjects, "acme", "bob"));
        let paces = paces(2, 1);
        assert_eq!(subjects.enter(ann, paces, at(0)), Ok(()));
        assert_eq!(subjects.enter(ann, paces, at(0)), Err(Refusal::TooManyInFlightOf(Subject::User)));
        assert_eq!(subjects.enter(bob, paces, at(0)), Ok(()));
        let cid = pair(&subjects, "acme", "cid");
        assert_eq!(subjects.enter(cid, paces, at(0)), Err(Refusal::TooManyInFlightOf(Subject::Organization)));
        subjects.leave(ann);
        assert_eq!(subjects.enter(cid, paces, at(0)), Ok(()), "the refused call kept no place");
        assert_eq!(subjects.enter(pair(&subjects, "umbrella", "ann"), paces, at(0)), Ok(()));
    }

    #[test]
    fn those_who_do_nothing_are_forgotten_and_nobody_else() {
        let subjects = Subjects::new();
        let paces = paces(0, 60);
        let busy = pair(&subjects, "acme", "busy");
        subjects.enter(busy, paces, at(0)).unwrap();
        for n in 0..SHARDS * SHARD_SUBJECTS_MAX * 2 {
            let now = at(i64::try_from(n).unwrap() * 10);
            subjects.call(pair(&subjects, "acme", &n.to_string()), paces, now).unwrap();
        }
        let remembered: usize = subjects.shards.iter().map(|shard| shard.lock().len()).sum();
        assert!(remembered <= SHARDS * SHARD_SUBJECTS_MAX, "{remembered}");
        assert_eq!(subjects.enter(busy, self::paces(0, 1), at(0)), Err(Refusal::TooManyInFlightOf(Subject::User)));
    }
}
