//! The instance's side of a lease: what a book may spend of it, and what to ask of the store. A state machine that is
//! driven by a [`Book`](crate::Book): it must never assume the larger of two things that an unknown outcome leaves
//! open.

use super::pace::Pace;
use super::share::{Reach, Share};
use super::{LeaseGrant, LeaseKey, LeaseRequest, LeaseTerms, LeaseUsed};
use crate::{Credits, Grant, Uptime};

/// The request whose answer a call waits for, in one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    epoch: i64,
    since: Uptime,
}

/// What this instance may spend of one account. Totals count from the beginning of the row, as in [`LeaseRequest`].
#[derive(Debug)]
pub(crate) struct Allowance {
    key: LeaseKey,
    terms: LeaseTerms,
    /// Captured.
    pub(crate) spent: Share,
    /// Held, under a lease that was seen to cover it when its charge was about to be written down.
    secured: Share,
    /// At most what the row has, whatever became of the requests on their way.
    granted: Share,
    spend_until: Uptime,
    settle_until: Uptime,
    epoch: i64,
    sent: Option<Sent>,
    answer: Option<Answer>,
    needs: Option<Needs>,
    asked_until: Uptime,
    /// An ask or a changed limit has to be answered, whether there is anything to give back or not.
    owes_request: bool,
    not_before: Uptime,
    polls_at: Uptime,
    yielded_at: Option<Uptime>,
    /// When what all used was last asked for.
    used_asked_at: Uptime,
    limited: bool,
    pace: Pace,
}

/// The request on its way.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Uptime,
    need: Share,
}

/// What the newest answer said.
#[derive(Clone, Copy, Debug)]
struct Answer {
    epoch: i64,
    grant: Grant,
    reach: Reach,
    charged: Share,
    sent_at: Uptime,
    /// Every other instance with an amount gave back what it did not need after this; `None` where that was too long
    /// ago to say much.
    heard_since: Option<Uptime>,
    /// No other instance has anything.
    alone: bool,
}

/// What calls wait for since the last request.
#[derive(Clone, Copy, Debug)]
struct Needs {
    least: Share,
    all: Share,
}

/// Whether a call may be held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may, under the lease or because there is no limit.
    Open { leased: bool },
    /// Not before the store answered.
    Wait(Turn),
    /// It may not: no instance has the credit. What is left for it.
    Refuse(Share),
}

impl Allowance {
    pub(crate) fn new(key: LeaseKey, terms: LeaseTerms) -> Self {
        Self {
            key,
            terms,
            spent: Share::ZERO,
            secured: Share::ZERO,
            granted: Share::ZERO,
            spend_until: Uptime::ZERO,
            settle_until: Uptime::ZERO,
            epoch: 0,
            sent: None,
            answer: None,
            needs: None,
            asked_until: Uptime::ZERO,
            owes_request: false,
            not_before: Uptime::ZERO,
            polls_at: Uptime::ZERO,
            yielded_at: None,
            used_asked_at: Uptime::ZERO,
            limited: false,
            pace: Pace::default(),
        }
    }

    /// One in which so much was captured, and applied, before it began.
    pub(crate) fn begun(key: LeaseKey, terms: LeaseTerms, spent: Share) -> Self {
        Self { spent, ..Self::new(key, terms) }
    }

    /// Whose.
    pub(crate) fn key(&self) -> &LeaseKey {
        &self.key
    }

    /// By which terms.
    pub(crate) fn terms(&self) -> LeaseTerms {
        self.terms
    }

    /// Decides on a call over `amount`, beside `held`. `after` is the ticket that an earlier try was given. A call that
    /// may be held for is [opened](Self::opened) next, or is not.
    pub(crate) fn decide(
        &mut self,
        amount: Share,
        held: Share,
        grant: Grant,
        now: Uptime,
        after: Option<Turn>,
    ) -> Verdict {
        let total = self.spent.plus(held).plus(amount);
        let answered = self.answer.filter(|answer| after.is_some_and(|ticket| answer.epoch >= ticket.epoch));
        // An answer that came for this call knows the limit better than whoever remembers it.
        let grant = answered.map_or(grant, |answer| answer.grant);
        self.limited = grant.is_limited();
        if !self.limited {
            return Verdict::Open { leased: false };
        }
        let lowered = self.answer.is_some_and(|answer| grant.is_below(answer.grant));
        let usable = self.answer.map_or(Share::ZERO, |answer| answer.reach.cut(self.granted));
        if now < self.spend_until && !lowered && grant.within(usable).covers(total) {
            return Verdict::Open { leased: true };
        }
        let since = since(after, now);
        if let Some(answer) = answered
            && (answer.alone || answer.heard_since.is_some_and(|heard| heard >= self.pace.last_opened().max(since)))
            && !answer.reach.covers(total)
        {
            return Verdict::Refuse(answer.left(self.spent.plus(held)));
        }
        Verdict::Wait(self.waits(amount, now, after))
    }

    /// A call waits that needs so much: the next request keeps it or asks for it. One that has said so to the request on
    /// its way, or to the next, does not say it again.
    pub(crate) fn waits(&mut self, amount: Share, now: Uptime, after: Option<Turn>) -> Turn {
        let is_on_its_way = |ticket: &Turn| ticket.epoch == self.epoch && self.sent.is_some();
        if let Some(ticket) = after.filter(|ticket| self.is_to_come(ticket) || is_on_its_way(ticket)) {
            return ticket;
        }
        let needs = self.needs.get_or_insert(Needs { least: amount, all: Share::ZERO });
        needs.least = needs.least.min(amount);
        needs.all = needs.all.plus(amount);
        Turn { epoch: self.epoch.saturating_add(1), since: since(after, now) }
    }

    /// A call waits no longer: a request that has not gone out must not ask for it, and take from another instance what
    /// nobody here needs.
    pub(crate) fn waited(&mut self, amount: Share, after: Option<Turn>) {
        if !after.is_some_and(|ticket| self.is_to_come(&ticket)) {
            return;
        }
        self.needs = self.needs.take().and_then(|needs| {
            let all = needs.all.less(amount);
            (!all.is_zero()).then_some(Needs { all, ..needs })
        });
    }

    /// Whether the request that a ticket names has not gone out yet.
    fn is_to_come(&self, ticket: &Turn) -> bool {
        ticket.epoch > self.epoch
    }

    /// A hold was opened under the lease.
    pub(crate) fn opened(&mut self, amount: Share, now: Uptime) {
        self.pace.opened(amount, now);
    }

    /// What is left, if the store was asked since the call came and answered.
    pub(crate) fn left(&self, held: Share, ticket: Turn) -> Option<Share> {
        let answer = self.answer.filter(|answer| answer.sent_at >= ticket.since)?;
        Some(answer.left(self.spent.plus(held)))
    }

    /// Whether a hold that was opened under `grant` may be charged: its lease cannot have been reclaimed and has room
    /// for it.
    pub(crate) fn secures(&self, amount: Share, grant: Grant, now: Uptime) -> bool {
        let total = self.spent.plus(self.secured).plus(amount);
        now < self.settle_until && grant.within(self.granted).covers(total)
    }

    /// Sets the room aside for a hold that is secure.
    pub(crate) fn set_aside(&mut self, amount: Share) {
        self.secured = self.secured.plus(amount);
    }

    /// A hold ended.
    pub(crate) fn settled(&mut self, charged: Share, secured: Share) {
        self.spent = self.spent.plus(charged);
        self.secured = self.secured.less(secured);
    }

    /// What to ask of the store now, if anything. `now` is read before the request is sent.
    pub(crate) fn request(&mut self, held: Share, now: Uptime) -> Option<LeaseRequest> {
        if self.sent.is_some() {
            return None;
        }
        self.pace.turn(now);
        let committed = self.spent.plus(held);
        let yields = now < self.asked_until || self.is_over();
        let ahead = if yields { Share::ZERO } else { self.ahead(committed, now) };
        let quiet = self.without_need(committed, ahead, yields, now);
        let polls = now >= self.polls_at || quiet.is_some();
        let (keep, need, want) = match self.needs.take_if(|_| polls) {
            Some(needs) => {
                let need = committed.plus(needs.least);
                (committed, need, need.max(committed.plus(needs.all).plus(ahead)))
            }
            None => quiet?,
        };
        self.owes_request = false;
        self.yielded_at = if yields { Some(now) } else { self.yielded_at };
        self.epoch = self.epoch.saturating_add(1);
        self.sent = Some(Sent { at: now, need });
        self.not_before = now.plus_ms(self.terms.retry_ms);
        // The store may take effect at any time from now on, and leaves no more than this.
        self.granted = self.granted.min(keep);
        Some(LeaseRequest { key: self.key.clone(), epoch: self.epoch, keep, need, want, yields })
    }

    /// Renews, grows or gives back while no call waits: keep, need and want, or nothing to do.
    fn without_need(&self, committed: Share, ahead: Share, yields: bool, now: Uptime) -> Option<(Share, Share, Share)> {
        let charged = self.answer?.charged;
        let free = self.granted.less(committed);
        let too_much = !ahead.scaled(2, 1).covers(free);
        let has_amount = !free.is_zero() || (self.limited && !committed.less(charged).is_zero());
        let ends_soon = self.spend_until.since_ms(now) < self.terms.ttl_ms / 2 && has_amount;
        let too_little = !free.covers(ahead.scaled(1, 2));
        let again = now >= self.not_before && (ends_soon || too_little);
        if !(again || self.owes_request || (too_much && (yields || now >= self.not_before))) {
            return None;
        }
        let kept = if too_much { free.min(ahead) } else { free };
        let keep = committed.plus(kept);
        Some((keep, keep, keep.max(committed.plus(ahead))))
    }

    /// How much should lie ready beyond what is committed: less near the limit, nothing where nothing is going on.
    fn ahead(&self, committed: Share, now: Uptime) -> Share {
        if !self.limited || self.pace.idle_ms(now) >= self.terms.idle_ms {
            return Share::ZERO;
        }
        let Some(answer) = self.answer else { return Share::ZERO };
        let ahead = self.pace.ahead();
        let left = answer.reach.cut(committed.plus(ahead.scaled(4, 1))).less(committed);
        // A quarter of what is left, so that several instances find some; one call's need where that is more.
        ahead.min(left.scaled(1, 4).max(self.pace.one_call().min(left)))
    }

    /// Whether more is granted than the limit allows: it was lowered.
    fn is_over(&self) -> bool {
        self.answer.is_some_and(|answer| !answer.reach.covers(self.granted))
    }

    /// The store's answer; when its request was sent. One to a request that was given up is ignored: the next one says
    /// it again.
    pub(crate) fn answered(&mut self, grant: &LeaseGrant, held: Share) -> Option<Uptime> {
        let sent = self.sent.filter(|_| grant.lease.epoch == self.epoch)?;
        let (lease, terms) = (&grant.lease, &self.terms);
        self.sent = None;
        self.granted = lease.granted;
        self.spend_until = sent.at.plus_ms(terms.ttl_ms.saturating_sub(terms.margin_ms));
        self.settle_until = sent.at.plus_ms(terms.reclaimed_after_ms().saturating_sub(terms.settle_margin_ms));
        // A charge that was applied is spent, even if its call never came back to say so.
        self.spent = self.spent.max(lease.charged.less(held));
        let reach = grant.reach();
        let heard = sent.at.minus_ms(grant.silent_ms);
        if !reach.covers(sent.need) {
            self.polls_at = sent.at.plus_ms(terms.poll_ms);
        }
        self.answer = Some(Answer {
            epoch: lease.epoch,
            grant: grant.grant,
            reach,
            charged: lease.charged,
            sent_at: sent.at,
            heard_since: Some(heard).filter(|_| grant.silent_ms <= terms.poll_ms.saturating_mul(3)),
            alone: grant.leased_elsewhere.is_zero(),
        });
        if grant.asked {
            self.asked(sent.at);
        }
        Some(sent.at)
    }

    /// What all instances used, this one's charges that the store lacks included; nothing where newer news came before.
    pub(crate) fn all_used(&mut self, all: &LeaseUsed, asked: Uptime) -> Option<Share> {
        if asked < self.used_asked_at {
            return None;
        }
        self.used_asked_at = asked;
        Some(all.used.plus(all.told_elsewhere).plus(self.spent.less(all.charged)))
    }

    /// The fate of the request with this number is unknown, or it failed.
    pub(crate) fn unanswered(&mut self, epoch: i64) {
        if epoch == self.epoch {
            self.sent = None;
        }
    }

    /// Another instance lacks credit that this one may have.
    pub(crate) fn asked(&mut self, now: Uptime) {
        self.asked_until = now.plus_ms(self.terms.ask_ttl_ms);
        // Whoever just gave everything back has answered.
        self.owes_request |= self.yielded_at.is_none_or(|at| now.since_ms(at) >= self.terms.poll_ms);
    }

    /// The limit changed: the next request asks what it is.
    pub(crate) fn limits_changed(&mut self) {
        self.owes_request = true;
    }
}

/// Since when a call waits.
fn since(after: Option<Turn>, now: Uptime) -> Uptime {
    after.map_or(now, |ticket| ticket.since)
}

impl Answer {
    fn left(&self, committed: Share) -> Share {
        let most = Share { credits: Credits::MAX, calls: u64::MAX };
        self.reach.cut(most).less(committed)
    }
}
