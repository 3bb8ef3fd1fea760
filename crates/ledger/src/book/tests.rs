use proptest::prelude::*;

use super::*;

fn credits(whole: i64) -> Credits {
    Credits::from_whole(whole).unwrap()
}

fn grant(whole: i64) -> Grant {
    Grant { credits: Limit::Credits(credits(whole)), calls: None }
}

#[test]
fn the_last_credit_can_be_held_and_not_one_micro_credit_more() {
    let book = Book::new(credits(90), 0);
    let one_over = Credits::from_micros(10_000_001);
    assert_eq!(
        book.open(one_over, grant(100)).unwrap_err(),
        HoldRefused::Credits { available: credits(10), needed: one_over }
    );
    let hold = book.open(credits(10), grant(100)).unwrap();
    assert!(matches!(book.open(Credits::from_micros(1), grant(100)), Err(HoldRefused::Credits { .. })));
    assert_eq!(hold.capture(credits(4)), BookSnapshot { used: credits(94), calls_used: 1, ..BookSnapshot::default() });
    assert!(book.open(credits(6), grant(100)).is_ok());
}

#[test]
fn a_dropped_hold_is_voided() {
    let book = Book::new(Credits::ZERO, 0);
    drop(book.open(credits(3), grant(3)).unwrap());
    assert_eq!(book.snapshot(), BookSnapshot::default());
}

#[test]
fn the_last_call_can_be_made_and_not_one_more() {
    let book = Book::new(Credits::ZERO, 1);
    let grant = Grant { credits: Limit::Unlimited, calls: Some(2) };
    let hold = book.open(credits(1), grant).unwrap();
    assert_eq!(book.open(credits(1), grant).unwrap_err(), HoldRefused::Calls { limit: 2 });
    hold.void();
    assert!(book.open(credits(1), grant).is_ok());
}

#[test]
fn an_unlimited_book_refuses_only_what_its_integers_cannot_hold() {
    let book = Book::new(Credits::from_micros(i64::MAX - 1), 0);
    let grant = Grant { credits: Limit::Unlimited, calls: None };
    assert_eq!(book.open(credits(1), grant).unwrap_err(), HoldRefused::Amount(credits(1)));
    assert!(book.open(Credits::from_micros(1), grant).is_ok());
    assert!(matches!(book.open(Credits::from_micros(-1), grant), Err(HoldRefused::Amount(_))));
}

#[test]
fn a_lowered_limit_leaves_nothing_rather_than_less() {
    let book = Book::new(credits(50), 0);
    assert!(matches!(book.open(credits(1), grant(20)), Err(HoldRefused::Credits { available: Credits::ZERO, .. })));
}

#[test]
fn five_hundred_threads_at_a_balance_for_twenty_take_exactly_twenty() {
    let book = Book::new(Credits::ZERO, 0);
    let start = std::sync::Barrier::new(500);
    let admitted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..500)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    book.open(credits(28), grant(20 * 28)).map(|hold| hold.capture(credits(28))).is_ok()
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|admitted| *admitted).count()
    });
    assert_eq!(admitted, 20);
    assert_eq!(book.snapshot().used, credits(560));
}

#[test]
fn what_adjustments_make_counts_once_however_often_it_is_told() {
    let balance = Balance { used: credits(90), adjusted: credits(-5), ..Balance::default() };
    let book = Book::of(balance);
    let hold = book.open(credits(10), grant(100)).unwrap();
    for _ in 0..2 {
        book.adjusted(credits(-25));
        assert_eq!((book.snapshot().used, book.snapshot().held), (credits(70), credits(10)));
    }
    assert!(book.open(Credits::from_micros(20_000_001), grant(100)).is_err());
    drop(book.open(credits(20), grant(100)).unwrap());
    // Below nothing, more remains than the limit.
    book.adjusted(credits(-125));
    assert_eq!(hold.capture(credits(10)).used, credits(-20));
    assert!(book.open(Credits::from_micros(120_000_001), grant(100)).is_err());
    assert!(book.open(credits(120), grant(100)).is_ok());
}

fn by(user: &str, limit: i64) -> Spender {
    let limit = if limit < 0 { Limit::Unlimited } else { Limit::Credits(credits(limit)) };
    Spender { user_id: user.parse().unwrap(), limit }
}

fn open_by(book: &Arc<Book>, user: &Spender, amount: i64, whole: i64) -> Result<Hold, NotOpened> {
    book.open_by(Some(user), credits(amount), grant(whole), Uptime::ZERO, None)
}

#[test]
fn a_call_is_held_in_both_accounts_or_in_neither() {
    let book = Book::new(credits(50), 0);
    let (ann, bob) = (by("ann", 20), by("bob", -1));
    let lacks = |available, needed| {
        NotOpened::Refused(HoldRefused::User { available: credits(available), needed: credits(needed) })
    };
    let first = open_by(&book, &ann, 15, 100).unwrap();
    assert_eq!(open_by(&book, &ann, 6, 100).unwrap_err(), lacks(5, 6));
    assert_eq!((book.snapshot().held, book.spending(&ann.user_id).held), (credits(15), credits(15)));
    let all = open_by(&book, &bob, 35, 100).unwrap();
    // The organisation has nothing left, the user has: neither account is moved.
    assert!(matches!(open_by(&book, &ann, 5, 100), Err(NotOpened::Refused(HoldRefused::Credits { .. }))));
    assert_eq!(book.spending(&ann.user_id).held, credits(15));
    drop(all);
    first.capture(credits(10));
    let ends: [fn(Hold) -> BookSnapshot; 3] =
        [Hold::void, |hold| hold.interrupt(credits(1)), |hold| hold.capture(credits(9))];
    for end in ends {
        end(open_by(&book, &ann, 9, 100).unwrap());
    }
    let spent = book.spending(&ann.user_id);
    assert_eq!((spent.captured, spent.held), (credits(20), Credits::ZERO));
    assert_eq!(open_by(&book, &ann, 1, 100).unwrap_err(), lacks(0, 1));
    assert!(open_by(&book, &ann, 0, 100).is_ok());
}

#[test]
fn what_was_spent_besides_counts_and_is_never_told_too_small() {
    let book = Book::new(Credits::ZERO, 0);
    let ann = by("ann", 20);
    let seen = book.spending(&ann.user_id);
    book.told(&ann.user_id, seen, credits(5));
    assert!(book.spending(&ann.user_id).is_known);
    assert!(open_by(&book, &ann, 16, 100).is_err());
    open_by(&book, &ann, 10, 100).unwrap().capture(credits(10));
    // Read while a call was on its way: its charge may be in what is read, and counts twice rather than not at all.
    book.doubt();
    let seen = book.spending(&ann.user_id);
    let on_its_way = open_by(&book, &ann, 3, 100).unwrap();
    book.told(&ann.user_id, seen, credits(18));
    assert!(!book.spending(&ann.user_id).is_known, "it was not quiet");
    on_its_way.capture(credits(3));
    assert!(open_by(&book, &ann, 1, 100).is_err(), "8 besides, and 13 of its own");
    let seen = book.spending(&ann.user_id);
    book.doubt();
    book.told(&ann.user_id, seen, credits(18));
    assert!(!book.spending(&ann.user_id).is_known, "what was read before a doubt does not dispel it");
    book.told(&ann.user_id, book.spending(&ann.user_id), credits(18));
    assert!(book.spending(&ann.user_id).is_known);
    assert!(open_by(&book, &ann, 2, 100).is_ok() && open_by(&book, &ann, 3, 100).is_err());
}

#[derive(Clone, Debug)]
enum Step {
    Open(i64),
    Capture(usize, i64),
    Void(usize),
    Forget(usize),
    SetLimit(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_i64..50).prop_map(Step::Open),
        2 => (any::<usize>(), 0_i64..50).prop_map(|(which, amount)| Step::Capture(which, amount)),
        1 => any::<usize>().prop_map(Step::Void),
        1 => any::<usize>().prop_map(Step::Forget),
        1 => (0_i64..300).prop_map(Step::SetLimit),
    ]
}

proptest! {
    // The model: a number used, and a list of amounts held.
    #[test]
    fn any_order_of_steps_agrees_with_a_list(steps in prop::collection::vec(step(), 0..200)) {
        let book = Book::new(Credits::ZERO, 0);
        let (mut limit, mut used, mut holds) = (100_i64, 0_i64, Vec::<Hold>::new());
        let held = |holds: &[Hold]| holds.iter().map(|hold| hold.amount().micros()).sum::<i64>();
        for step in steps {
            match step {
                Step::Open(amount) => {
                    let fits = used + held(&holds) + amount <= limit;
                    let grant = Grant { credits: Limit::Credits(Credits::from_micros(limit)), calls: None };
                    let opened = book.open(Credits::from_micros(amount), grant);
                    // A limit below what is spent leaves nothing, and nothing can still be held for nothing.
                    prop_assert_eq!(opened.is_ok(), fits || amount == 0);
                    holds.extend(opened.ok());
                }
                Step::Capture(which, amount) if !holds.is_empty() => {
                    let hold = holds.swap_remove(which % holds.len());
                    let amount = amount.min(hold.amount().micros());
                    used += amount;
                    hold.capture(Credits::from_micros(amount));
                }
                Step::Void(which) if !holds.is_empty() => {
                    let hold = holds.swap_remove(which % holds.len());
                    hold.void();
                }
                Step::Forget(which) if !holds.is_empty() => drop(holds.swap_remove(which % holds.len())),
                Step::SetLimit(new) => limit = new,
                _ => {}
            }
            let now = book.snapshot();
            prop_assert_eq!(now.used.micros(), used);
            prop_assert_eq!(now.held.micros(), held(&holds));
            prop_assert_eq!(now.calls_held, u64::try_from(holds.len()).unwrap());
        }
    }
}
