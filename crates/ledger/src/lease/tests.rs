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
    LeaseKey { organization_id: "acme".parse().unwrap(), period: Period::of(Timestamp::from_millis(0)) }
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
    let request = book.request(at(since)).unwrap();
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
    let request = book.request(lost).unwrap();
    assert_eq!(request.keep.credits, credits(10));
    book.answered(&answer(&request, 100, 95));
    assert!(!hold.secure(lost), "others have it now");
    let request = book.request(lost.plus_ms(terms.retry_ms)).unwrap();
    book.answered(&answer(&request, 100, 0));
    assert!(hold.secure(lost));
    assert_eq!(hold.capture(credits(10)).used, credits(10));
}

#[test]
fn a_new_lease_that_covers_one_of_two_holds_secures_one() {
    let book = book_with(20, 0);
    let mut holds = [0, 1].map(|_| book.open_leased(credits(10), grant(100), at(0), None).unwrap());
    let lost = at(LeaseTerms::default().reclaimed_after_ms());
    let request = book.request(lost).unwrap();
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
    let request = book.request(at(0)).unwrap();
    let lease = Lease { granted: Share::of_call(credits(10)), ..answer(&request, 10, 0).lease };
    book.answered(&LeaseGrant { lease, grant: all, ..answer(&request, 10, 0) });
    let hold = book.open_leased(credits(10), all, at(0), None).unwrap();
    let renewed = (0..terms.ttl_ms).find(|now| book.request(at(*now)).is_some()).unwrap();
    let half = (terms.ttl_ms - terms.margin_ms) / 2;
    assert!((half - terms.margin_ms..=half).contains(&renewed), "renewed after {renewed} ms");
    drop(hold);
}

#[test]
fn a_request_whose_fate_is_unknown_leaves_no_more_than_it_might_have() {
    let book = book_with(10, 0);
    book.asked(at(1));
    let request = book.request(at(1)).unwrap();
    assert!(request.yields && request.keep.is_zero());
    book.unanswered(request.epoch);
    assert!(matches!(book.open_leased(credits(1), grant(100), at(2), None), Err(NotOpened::NeedsCredit(_))));
    // And its answer, should it still come, says nothing any more.
    let again = book.request(at(3)).unwrap();
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
        let request = book.request(at(1_010)).unwrap();
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
    assert_eq!(book.request(at(100_000)), None);
}

#[test]
fn what_is_idle_goes_back() {
    let terms = LeaseTerms::default();
    let book = book_with(10, 0);
    drop(book.open_leased(credits(10), grant(100), at(0), None).unwrap());
    let request = book.request(at(terms.idle_ms)).unwrap();
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
