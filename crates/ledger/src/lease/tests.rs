use super::*;
use crate::{Book, Credits, HoldRefused, Limit, NotOpened};

fn credits(whole: i64) -> Credits {
    Credits::from_whole(whole).unwrap()
}

fn at(millis: u64) -> crate::Uptime {
    crate::Uptime::from_millis(millis)
}

fn grant(limit: i64) -> Grant {
    Grant { credits: Limit::Credits(credits(limit)), calls: None }
}

fn key() -> LeaseKey {
    LeaseKey::of("acme".parse().unwrap(), Period::of(Timestamp::from_millis(0)))
}

/// A store that grants what is wanted under `limit`, where others hold `elsewhere`.
fn answer(request: &LeaseRequest, limit: i64, elsewhere: i64) -> LeaseGrant {
    let leased_elsewhere = Share { credits: credits(elsewhere), calls: 0 };
    let reach = Reach::new(grant(limit), Share::ZERO, Share::ZERO, leased_elsewhere);
    let (granted, _) = request.decide(Share::ZERO, Share::ZERO, reach);
    let expires_at = Timestamp::from_millis(0);
    LeaseGrant {
        key: request.key.clone(),
        lease: Lease { epoch: request.epoch, granted, charged: Share::ZERO, expires_at },
        grant: grant(limit),
        used: Share::ZERO,
        told_elsewhere: Share::ZERO,
        leased_elsewhere,
        silent_ms: u64::MAX,
        asked: false,
    }
}

/// A book that was granted `amount` at `since`.
fn book_with(amount: i64, since: u64) -> std::sync::Arc<Book> {
    let book = Book::leased(key(), LeaseTerms::default());
    assert!(matches!(book.open_leased(credits(amount), grant(100), at(since), None), Err(NotOpened::NeedsCredit(_))));
    let request = book.request(None, at(since)).unwrap();
    book.answered(&answer(&request, 100, 0));
    book
}

#[test]
fn a_lease_is_spent_until_a_margin_before_its_end_counted_from_before_it_was_asked_for() {
    let terms = LeaseTerms::default();
    let book = book_with(10, 5_000);
    let last = 5_000 + terms.ttl_ms - terms.margin_ms - 1;
    drop(book.open_leased(credits(10), grant(100), at(last), None).unwrap());
    let woken = book.open_leased(credits(10), grant(100), at(last + 1), None);
    assert!(matches!(woken, Err(NotOpened::NeedsCredit(_))), "a process that slept past its lease must not spend it");
}

#[test]
fn a_hold_is_charged_only_while_its_lease_cannot_have_been_reclaimed_or_under_a_new_one() {
    let terms = LeaseTerms::default();
    let book = book_with(10, 0);
    let mut hold = book.open_leased(credits(10), grant(100), at(0), None).unwrap();
    let lost = at(terms.reclaimed_after_ms() - terms.settle_margin_ms);
    assert!(!hold.secure(lost));
    // The next request covers what is held; the store has room for it again.
    let request = book.request(None, lost).unwrap();
    assert_eq!(request.keep.credits, credits(10));
    book.answered(&answer(&request, 100, 95));
    assert!(!hold.secure(lost), "others have it now");
    let request = book.request(None, lost.plus_ms(terms.retry_ms)).unwrap();
    book.answered(&answer(&request, 100, 0));
    assert!(hold.secure(lost));
    assert_eq!(hold.capture(credits(10)).used, credits(10));
}

#[test]
fn a_new_lease_that_covers_one_of_two_holds_secures_one() {
    let book = book_with(20, 0);
    let mut holds = [0, 1].map(|_| book.open_leased(credits(10), grant(100), at(0), None).unwrap());
    let lost = at(LeaseTerms::default().reclaimed_after_ms());
    let request = book.request(None, lost).unwrap();
    // The store has room for one of them: less than what is needed to keep both, as after a reclaim.
    let covers_one = Share { credits: credits(10), calls: 1 };
    let lease = Lease { granted: covers_one, ..answer(&request, 100, 0).lease };
    book.answered(&LeaseGrant { lease, ..answer(&request, 100, 0) });
    assert_eq!(holds.each_mut().map(|hold| hold.secure(lost)), [true, false]);
    assert!(holds[0].secure(lost), "once secure, a hold stays so");
}

#[test]
fn a_lease_is_renewed_at_half_its_time_while_anything_is_held() {
    // The last credit and the last call: there is nothing to grow by, only something to keep.
    let (terms, all) = (LeaseTerms::default(), Grant { calls: Some(1), ..grant(10) });
    let book = Book::leased(key(), terms);
    assert!(book.open_leased(credits(10), all, at(0), None).is_err());
    let request = book.request(None, at(0)).unwrap();
    let lease = Lease { granted: Share::of_call(credits(10)), ..answer(&request, 10, 0).lease };
    book.answered(&LeaseGrant { lease, grant: all, ..answer(&request, 10, 0) });
    let hold = book.open_leased(credits(10), all, at(0), None).unwrap();
    let renewed = (0..terms.ttl_ms).find(|now| book.request(None, at(*now)).is_some()).unwrap();
    let half = (terms.ttl_ms - terms.margin_ms) / 2;
    assert!((half - terms.margin_ms..=half).contains(&renewed), "renewed after {renewed} ms");
    drop(hold);
}

#[test]
fn what_a_call_waited_for_is_not_asked_for_again_once_it_has_it() {
    let book = Book::leased(key(), LeaseTerms::default());
    let open = |after| book.open_leased(credits(10), grant(100), at(0), after);
    let Err(NotOpened::NeedsCredit(ticket)) = open(None) else { panic!("there is nothing yet") };
    let request = book.request(None, at(0)).unwrap();
    // It looks again while the answer is on its way.
    assert!(matches!(open(Some(ticket)), Err(NotOpened::NeedsCredit(same)) if same == ticket));
    book.answered(&answer(&request, 100, 0));
    let hold = open(Some(ticket)).unwrap();
    book.asked(None, at(1));
    let asked = book.request(None, at(1)).unwrap();
    assert!(asked.yields && asked.need.credits == hold.amount() && asked.want == asked.need, "{asked:?}");
}

#[test]
fn a_need_that_has_not_gone_out_ends_with_its_call() {
    let terms = LeaseTerms::default();
    let book = book_with(10, 0);
    let hold = book.open_leased(credits(10), grant(100), at(0), None).unwrap();
    let Err(NotOpened::NeedsCredit(ticket)) = book.open_leased(credits(10), grant(100), at(1), None) else {
        panic!("all is held")
    };
    // The other call frees what this one needs before anybody is asked.
    drop(hold);
    let _hold = book.open_leased(credits(10), grant(100), at(2), Some(ticket)).unwrap();
    book.asked(None, at(terms.retry_ms));
    let asked = book.request(None, at(terms.retry_ms)).unwrap();
    assert_eq!((asked.yields, asked.need.credits, asked.want), (true, credits(10), asked.need));
}

#[test]
fn a_request_whose_fate_is_unknown_leaves_no_more_than_it_might_have() {
    let book = book_with(10, 0);
    book.asked(None, at(1));
    let request = book.request(None, at(1)).unwrap();
    assert!(request.yields && request.keep.is_zero());
    book.unanswered(None, request.epoch);
    assert!(matches!(book.open_leased(credits(1), grant(100), at(2), None), Err(NotOpened::NeedsCredit(_))));
    // And its answer, should it still come, says nothing any more.
    let again = book.request(None, at(3)).unwrap();
    book.answered(&answer(&request, 100, 0));
    assert!(matches!(book.open_leased(credits(1), grant(100), at(3), None), Err(NotOpened::NeedsCredit(_))));
    assert!(again.epoch > request.epoch);
}

#[test]
fn a_call_is_refused_at_once_where_nobody_has_credit_and_not_before_others_were_heard() {
    for (elsewhere, silent_ms, refused) in [(0, 0, true), (60, u64::MAX, false), (60, 500, false), (60, 2, true)] {
        let book = Book::leased(key(), LeaseTerms::default());
        let tried = book.open_leased(credits(120), grant(100), at(1_000), None);
        let Err(NotOpened::NeedsCredit(ticket)) = tried else { panic!("{tried:?}") };
        let request = book.request(None, at(1_010)).unwrap();
        let grant_now = LeaseGrant { silent_ms, ..answer(&request, 100, elsewhere) };
        book.answered(&grant_now);
        let outcome = book.open_leased(credits(120), grant(100), at(1_012), Some(ticket)).unwrap_err();
        let want = HoldRefused::Credits { available: credits(100 - elsewhere), needed: credits(120) };
        assert_eq!(outcome == NotOpened::Refused(want), refused, "{elsewhere} elsewhere, silent for {silent_ms} ms");
    }
}

#[test]
fn a_lower_limit_stops_spending_until_the_store_says_what_is_left() {
    let book = book_with(50, 0);
    let tried = book.open_leased(credits(5), grant(20), at(1), None);
    assert!(matches!(tried, Err(NotOpened::NeedsCredit(_))));
    assert!(book.open_leased(credits(5), grant(200), at(1), None).is_ok(), "a higher one does not");
}

#[test]
fn without_a_limit_there_is_no_lease() {
    let book = Book::leased(key(), LeaseTerms::default());
    let unlimited = Grant { credits: Limit::Unlimited, calls: None };
    let mut hold = book.open_leased(credits(5), unlimited, at(0), None).unwrap();
    assert!(hold.secure(at(u64::MAX)) && !hold.is_leased());
    hold.capture(credits(5));
    assert_eq!(book.request(None, at(100_000)), None);
}

#[test]
fn what_is_idle_goes_back() {
    let terms = LeaseTerms::default();
    let book = book_with(10, 0);
    drop(book.open_leased(credits(10), grant(100), at(0), None).unwrap());
    let request = book.request(None, at(terms.idle_ms)).unwrap();
    assert_eq!((request.keep, request.want), (Share::ZERO, Share::ZERO));
}

#[test]
fn shares_do_not_wrap() {
    let most = Share { credits: Credits::MAX, calls: u64::MAX };
    assert_eq!(most.plus(most), most);
    assert_eq!(Share::ZERO.less(most), Share::ZERO);
    assert_eq!(most.scaled(3, 2).calls, u64::MAX / 2);
    assert_eq!(most.scaled(1, 0), most);
}

fn ann(limit: i64) -> crate::Spender {
    let limit = if limit < 0 { Limit::Unlimited } else { Limit::Credits(credits(limit)) };
    crate::Spender { user_id: "ann".parse().unwrap(), limit }
}

fn open_by(book: &std::sync::Arc<Book>, by: &crate::Spender, amount: i64) -> Result<crate::Hold, NotOpened> {
    book.open_by(Some(by), credits(amount), grant(1_000), at(0), None)
}

/// Answers a request for Ann's account of which so much is charged.
fn answer_hers(book: &Book, limit: i64, charged: i64) {
    let request = book.request(Some(&ann(0).user_id), at(0)).unwrap();
    let charged = Share { credits: credits(charged), calls: 0 };
    let mut answer = answer(&request, limit, 0);
    let (granted, _) = request.decide(charged, charged, Reach::new(grant(limit), charged, charged, Share::ZERO));
    (answer.lease.granted, answer.lease.charged, answer.used) = (granted, charged, charged);
    book.answered(&answer);
}

#[test]
fn a_members_lease_begins_when_nothing_is_being_written_down_and_covers_what_is_held_before_it() {
    let book = book_with(100, 0);
    let (free, limited) = (ann(-1), ann(30));
    open_by(&book, &free, 5).unwrap().capture(credits(5));
    let mut written_down = open_by(&book, &free, 4).unwrap();
    let held = open_by(&book, &free, 10).unwrap();
    assert_eq!(open_by(&book, &limited, 1).unwrap_err(), NotOpened::NotBegun);
    assert!(written_down.secure(at(0)));
    assert_eq!(book.may_begin(&limited.user_id), None, "its event may be in the store before it is counted");
    written_down.capture(credits(4));
    assert_eq!(book.may_begin(&limited.user_id), Some(credits(9)));
    open_by(&book, &free, 2).unwrap().capture(credits(2));
    assert!(!book.begin(&limited.user_id, credits(9)), "something was captured since");
    assert!(book.begin(&limited.user_id, credits(11)) && book.has_begun(&limited.user_id));
    let waits = open_by(&book, &limited, 9).unwrap_err();
    assert!(matches!(waits, NotOpened::NeedsCredit(ticket) if ticket.waits_for_member()));
    answer_hers(&book, 30, 11);
    let mut hers = open_by(&book, &limited, 9).unwrap();
    assert_eq!(hers.leased_by(), Some(&limited.user_id));
    assert_eq!(book.spending(&limited.user_id).held, credits(19), "9 and the 10 before");
    assert!(matches!(open_by(&book, &limited, 1), Err(NotOpened::NeedsCredit(_))), "11 + 10 + 9 are 30");
    // Both leases must cover it when it is charged.
    let lost = at(LeaseTerms::default().reclaimed_after_ms());
    assert!(hers.secure(at(0)) && !open_by(&book, &free, 1).unwrap().secure(lost));
    hers.capture(credits(9));
    held.void();
    // What a failed call gives back is there for the next, and nothing beyond.
    assert!(open_by(&book, &limited, 10).is_ok());
    assert!(open_by(&book, &ann(31), 11).is_err() && open_by(&book, &free, 11).is_ok());
}
