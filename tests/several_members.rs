//! What a member may spend, over several gateways on one PostgreSQL: exact on all of them together.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::{Answer, Answered, Gate, OPERATOR, World, until};

/// How soon a limit that is set through one gateway is in force at the others.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(1);

/// Sets what a member of `acme` may spend; null is as the organisation says for each member.
async fn limit(world: &World, user: &str, credits: impl Into<Value>) {
    let body = json!({"role": "member", "monthlyCredits": credits.into()});
    let put = world.put(&format!("/api/admin/organizations/acme/members/{user}"), OPERATOR, &body).await;
    assert_eq!(put.status, 200, "{}", put.text());
}

fn paid(answers: &[Answered]) -> usize {
    answers.iter().filter(|answer| answer.status == 200).count()
}

/// Everything that was not paid was refused by the user's own limit.
fn refused_by_the_user(answers: &[Answered]) {
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(refused.refusal(), (402, "user_limit_exceeded".to_owned()), "{}", refused.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_500_calls_of_a_user_over_the_gateways_exactly_the_20_that_the_user_may_make_go_out() {
    for gateways in [2, 3] {
        let world = World::with_gateways(gateways, &[]).await;
        let users: Vec<String> = (0..4).map(|round| format!("user-{round}")).collect();
        for user in &users {
            limit(&world, user, 200).await;
        }
        tokio::time::sleep(IN_FORCE_WITHIN).await;
        for (round, user) in users.iter().enumerate() {
            let before = world.backend.calls();
            let answers = join_all((0..500).map(|call| world.call_through(call, "acme", user))).await;
            assert_eq!(
                (paid(&answers), world.backend.calls() - before),
                (20, 20),
                "{gateways} gateways, round {round}"
            );
            refused_by_the_user(&answers);
            // The organisation has credit for others.
            assert_eq!(world.call_through(round, "acme", "ann").await.status, 200);
        }
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn single_calls_in_turn_use_a_users_limit_to_its_last_credit() {
    let world = World::with_gateways(3, &[]).await;
    limit(&world, "ann", 70).await;
    tokio::time::sleep(IN_FORCE_WITHIN).await;
    for call in 0..7 {
        let answer = world.call_through(call, "acme", "ann").await;
        assert_eq!(answer.status, 200, "call {call}: {}", answer.text());
    }
    for gateway in 0..3 {
        let refused = world.call_through(gateway, "acme", "ann").await;
        assert_eq!(refused.refusal(), (402, "user_limit_exceeded".to_owned()));
        assert_eq!(refused.json()["remainingCredits"], 0);
    }
    // A call that fails gives back to both accounts, whichever gateway had it.
    limit(&world, "ann", 80).await;
    world.backend.answers(Answer::with("500 Oops", "", ""));
    for gateway in 0..3 {
        assert_eq!(world.call_through(gateway, "acme", "ann").await.status, 500, "gateway {gateway}");
    }
    world.backend.answers(Answer::default());
    assert_eq!(world.call_through(2, "acme", "ann").await.status, 200);
    assert_eq!(world.call_through(0, "acme", "ann").await.refusal().1, "user_limit_exceeded");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_spent_and_holds_before_a_limit_is_set_counts_in_it() {
    let world = World::with_gateways(2, &[]).await;
    for call in 0..4 {
        assert_eq!(world.call_through(call, "acme", "ann").await.status, 200);
    }
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let held = world.diagnosis("acme", "ann").json(&json!({"content": ["short"]}));
    let mut connection = held.start().await;
    world.backend.has_calls(5).await;
    world.backend.answers(Answer::default());
    // 40 are spent, 10 held by the gateway that is asked first.
    limit(&world, "ann", 65).await;
    tokio::time::sleep(IN_FORCE_WITHIN).await;
    let first = world.call("acme", "ann").await;
    assert_eq!(first.status, 200, "{}", first.text());
    let refused = world.call("acme", "ann").await;
    assert_eq!((refused.refusal().1.as_str(), &refused.json()["remainingCredits"]), ("user_limit_exceeded", &json!(5)));
    assert_eq!(world.call_through(1, "acme", "ann").await.refusal().1, "user_limit_exceeded");
    gate.open();
    assert_eq!(held.answer(&mut connection).await.status, 200);
    assert_eq!(world.call_through(1, "acme", "ann").await.refusal().1, "user_limit_exceeded");
    // An adjustment for the user is room for the user, at every gateway.
    let give = json!({"direction": "give", "credits": 20, "reason": "the answer was empty", "userId": "ann"});
    assert_eq!(world.post("/api/admin/organizations/acme/adjustments", "k", &give).await.status, 200);
    until("Ann may call again", || async { world.call_through(1, "acme", "ann").await.status == 200 }).await;
    assert_eq!(world.call_through(0, "acme", "ann").await.status, 200, "65 are left of 65 less 40");
    assert_eq!(world.call_through(1, "acme", "ann").await.refusal().1, "user_limit_exceeded");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_limit_that_is_raised_lowered_or_lifted_holds_everywhere_within_a_second() {
    let world = World::with_gateways(3, &[]).await;
    limit(&world, "ann", 1_000).await;
    for call in 0..6 {
        assert_eq!(world.call_through(call, "acme", "ann").await.status, 200);
    }
    for (credits, more) in [(60, 0), (80, 2), (75, 0), (110, 3), (-1, 12), (240, 1), (0, 0)] {
        limit(&world, "ann", credits).await;
        tokio::time::sleep(IN_FORCE_WITHIN).await;
        let before = world.backend.calls();
        let answers = join_all((0..12).map(|call| world.call_through(call, "acme", "ann"))).await;
        assert_eq!((paid(&answers), world.backend.calls() - before), (more, more), "a limit of {credits}");
        refused_by_the_user(&answers);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_account_goes_over_where_both_are_nearly_used_up() {
    let world = World::with_gateways(3, &[]).await;
    for (organization, of_ann, of_each) in [(300, 120, 200), (300, 250, 250), (150, 150, 90)] {
        let before = world.counter("acme").await["used"].as_i64().unwrap();
        world
            .organization(
                "acme",
                json!({"plan": "professional", "usageLimits": {
            "monthlyCredits": before + organization, "memberMonthlyCredits": before + of_each}}),
            )
            .await;
        let user = format!("ann-{organization}-{of_ann}");
        limit(&world, &user, of_ann).await;
        let others = [format!("bob-{organization}-{of_ann}"), format!("cy-{organization}-{of_ann}")];
        for other in &others {
            world.member("acme", other, "member").await;
        }
        tokio::time::sleep(IN_FORCE_WITHIN).await;
        let world = &world;
        let calls = (0..180).map(|call| {
            let user = if call % 2 == 0 { &user } else { &others[call % 4 / 2] };
            async move { (user.clone(), world.call_through(call / 2, "acme", user).await) }
        });
        let answers = join_all(calls).await;
        let all = answers.iter().filter(|(_, answer)| answer.status == 200).count();
        let anns = answers.iter().filter(|(by, answer)| *by == user && answer.status == 200).count();
        assert!(answers.iter().all(|(_, answer)| [200, 402].contains(&answer.status)));
        assert!(anns * 10 <= usize::try_from(of_ann).unwrap(), "{anns} of hers");
        assert_eq!(all * 10, usize::try_from(organization).unwrap(), "{anns} of hers");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_comes_and_goes_lets_no_user_go_over() {
    let world = World::with_gateways(2, &[]).await;
    limit(&world, "ann", 100).await;
    let cutting = async {
        for _ in 0..5 {
            world.database().cut().await.unwrap();
        }
    };
    let calling = async {
        let mut paid = 0;
        // Whatever is refused meanwhile is refused cleanly; the limit is used to its last credit.
        for call in 0.. {
            let answer = world.call_through(call, "acme", "ann").await;
            assert!([200, 402, 503].contains(&answer.status), "{}", answer.text());
            paid += u32::from(answer.status == 200);
            if paid == 10 {
                break;
            }
        }
    };
    tokio::join!(cutting, calling);
    for gateway in 0..2 {
        until("the limit is known", async || world.call_through(gateway, "acme", "ann").await.status == 402).await;
    }
    assert_eq!(world.backend.calls(), 10);
    world.end().await;
}
