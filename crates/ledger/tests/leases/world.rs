//! Time, network and faults: one schedule from a seed, every step of it checked.

mod beginnings;
mod calls;
mod checks;
mod messages;
mod trouble;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ledger::{Book, Credits, Grant, LeaseKey, LeaseTerms, Limit, Period, Share, Timestamp};

use crate::database::{ACCOUNTS, Account, Database, Event, Life, PERIODS};
use crate::faults::{Faults, Mutant, terms};
use crate::instance::{Beginning, Instance, Up};
use crate::random::Random;
use messages::{Answer, Message};

/// When the faults end.
const STORMY_UNTIL: u64 = 8_000;
/// When every lease must have gone back.
pub(crate) const QUIET_AT: u64 = 30_000;
const TICK_EVERY: u64 = 125;

/// What happens next.
#[derive(Debug)]
enum Step {
    Tick(usize),
    NewCalls(usize),
    Ends(usize, Life, u64),
    TriesAgain(usize, Life, u64),
    Written(usize, Life, u64),
    Applies(usize, Life),
    Arrives(usize, Life, Message),
    Returns(usize, Life, Answer),
    GivesUp(usize, Life, u64),
    Notified(usize, Life),
    LimitSeen(usize, [Grant; 2]),
    Fault,
    Restarts(usize),
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) faults: Faults,
    pub(crate) mutant: Mutant,
    pub(crate) terms: LeaseTerms,
    pub(crate) now: u64,
    pub(crate) database: Database,
    pub(crate) instances: Vec<Instance>,
    /// What calls did, to see that schedules are not empty.
    pub(crate) tally: Tally,
    keys: [LeaseKey; PERIODS],
    steps: BinaryHeap<Reverse<(u64, u64)>>,
    waiting: std::collections::HashMap<u64, Step>,
    next: u64,
    lives: Life,
    month_ends: u64,
    down_until: u64,
    down_queues: bool,
    store_troubled_until: u64,
    clock_jumps: i64,
    clock_rate: u64,
    limit_lowered_at: u64,
    journaled: [Share; ACCOUNTS],
    /// Events of journals that were lost before the store had them.
    lost: Vec<Event>,
}

/// What calls did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) opened: u64,
    pub(crate) charged: u64,
    pub(crate) voided_unsecured: u64,
    pub(crate) refused: u64,
    pub(crate) unanswered: u64,
    pub(crate) reclaims: u64,
    pub(crate) late: u64,
    pub(crate) refused_to_ann: u64,
    pub(crate) begun: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.opened += other.opened;
        self.charged += other.charged;
        self.voided_unsecured += other.voided_unsecured;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.reclaims += other.reclaims;
        self.late += other.late;
        self.refused_to_ann += other.refused_to_ann;
        self.begun += other.begun;
    }
}

impl World {
    pub(crate) fn new(seed: u64, mutant: Mutant) -> Self {
        let mut random = Random::new(seed);
        let faults = Faults::of(&mut random);
        let terms = terms(mutant);
        let grants = [some_grant(&mut random), some_member_grant(&mut random)];
        let period = Period::of(Timestamp::from_millis(1_800_000_000_000));
        let organization_id: ledger::OrganizationId = "acme".parse().unwrap();
        let keys = [period, period.next()].map(|period| LeaseKey::of(organization_id.clone(), period));
        let mut world = Self {
            database: Database::new(grants, terms, mutant),
            instances: Vec::new(),
            tally: Tally::default(),
            now: 0,
            keys,
            steps: BinaryHeap::new(),
            waiting: std::collections::HashMap::new(),
            next: 0,
            lives: 0,
            month_ends: random.between(4_000, 20_000),
            down_until: 0,
            down_queues: false,
            store_troubled_until: 0,
            clock_jumps: 0,
            clock_rate: random.between(1_000 - faults.drift, 1_000 + faults.drift),
            limit_lowered_at: 0,
            journaled: [Share::ZERO; ACCOUNTS],
            lost: Vec::new(),
            random,
            faults,
            mutant,
            terms,
        };
        for number in 0..usize::try_from(world.random.between(1, 4)).unwrap() {
            let instance = world.born(grants);
            world.instances.push(instance);
            world.at(world.random.clone().between(0, 200), Step::NewCalls(number));
            world.at(u64::try_from(number).unwrap() * 31, Step::Tick(number));
        }
        world.at(1_000, Step::Fault);
        world
    }

    fn born(&mut self, grants: [Grant; 2]) -> Instance {
        self.lives += 1;
        let drift = self.faults.drift;
        Instance {
            up: Up::Running,
            life: self.lives,
            paused_until: 0,
            cut_until: 0,
            troubled_until: 0,
            rate: self.random.between(1_000 - drift, 1_000 + drift),
            offset: self.random.between(0, 1_000_000),
            grants,
            books: self.keys.clone().map(|key| Book::leased(key, self.terms)),
            journal: Vec::new(),
            spent: [Share::ZERO; ACCOUNTS],
            events: (0, 0),
            beginnings: [Beginning::Idle; PERIODS],
            begun: i64::MIN / 2,
            calls: std::collections::BTreeMap::new(),
            renewing: None,
            epochs: Vec::new(),
            applying: None,
            applies_at: 0,
            peaks: [(0, Share::ZERO, Share::ZERO); ACCOUNTS],
            anns_wait_at: 0,
            replays: None,
        }
    }

    /// Runs to the end, when all is quiet and checked.
    pub(crate) fn run(&mut self) -> Tally {
        while let Some(Reverse((at, number))) = self.steps.pop() {
            if at > QUIET_AT || self.is_quiet() {
                break;
            }
            self.now = at;
            self.set_clock();
            let Some(step) = self.waiting.remove(&number) else { continue };
            self.take(step);
            self.check();
        }
        self.check_quiet();
        self.tally
    }

    fn set_clock(&mut self) {
        let run = i64::try_from(self.now * self.clock_rate / 1_000).unwrap();
        self.database.clock = 1_800_000_000_000 + run + self.clock_jumps;
    }

    fn at(&mut self, when: u64, step: Step) {
        self.next += 1;
        self.steps.push(Reverse((when.max(self.now), self.next)));
        self.waiting.insert(self.next, step);
    }

    fn take(&mut self, step: Step) {
        let whose = match &step {
            Step::Arrives(..) | Step::Fault | Step::Restarts(_) => None,
            Step::Tick(instance) | Step::NewCalls(instance) | Step::LimitSeen(instance, _) => Some((*instance, None)),
            Step::Ends(instance, life, _)
            | Step::TriesAgain(instance, life, _)
            | Step::Written(instance, life, _)
            | Step::GivesUp(instance, life, _)
            | Step::Applies(instance, life)
            | Step::Returns(instance, life, _)
            | Step::Notified(instance, life) => Some((*instance, Some(*life))),
        };
        if let Some((instance, life)) = whose {
            let it = &self.instances[instance];
            if life.is_some_and(|life| life != it.life) {
                return;
            }
            if it.paused_until > self.now {
                let until = it.paused_until;
                return self.at(until, step);
            }
        }
        match step {
            Step::Tick(instance) => self.tick(instance),
            Step::NewCalls(instance) => self.new_calls(instance),
            Step::Ends(instance, _, call) => self.call_ends(instance, call),
            Step::TriesAgain(instance, _, call) => self.try_again(instance, call),
            Step::Written(instance, _, call) => self.written(instance, call),
            Step::Applies(instance, _) => self.applier(instance),
            Step::Arrives(instance, life, message) => self.arrives(instance, life, message),
            Step::Returns(instance, _, answer) => self.returns(instance, answer),
            Step::GivesUp(instance, _, number) => self.gives_up(instance, number),
            Step::Notified(instance, _) => self.notified(instance),
            Step::LimitSeen(instance, grants) => self.limit_seen(instance, grants),
            Step::Fault => self.fault(),
            Step::Restarts(instance) => self.restarts(instance),
        }
    }

    fn account(&self) -> Account {
        usize::from(self.now >= self.month_ends)
    }
}

fn some_grant(random: &mut Random) -> Grant {
    let credits = Credits::from_whole(i64::try_from(random.between(0, 400)).unwrap()).unwrap();
    let credits = if random.once_in(12) { Limit::Unlimited } else { Limit::Credits(credits) };
    Grant { credits, calls: random.once_in(4).then(|| random.between(0, 40)) }
}

fn some_member_grant(random: &mut Random) -> Grant {
    let credits = Credits::from_whole(i64::try_from(random.between(0, 200)).unwrap()).unwrap();
    let credits = if random.once_in(4) { Limit::Unlimited } else { Limit::Credits(credits) };
    Grant { credits, calls: None }
}
