use super::*;

fn every_refusal() -> Vec<Refusal> {
    let resets_at = "2026-12-01T00:00:00Z".parse().unwrap();
    vec![
        Refusal::PathNotCanonical("an encoded slash"),
        Refusal::InvalidJson("expected value at line 1 column 1".into()),
        Refusal::InvalidRequest("limit is 0; allowed: 1 to 100".into()),
        Refusal::Unauthenticated,
        Refusal::Forbidden,
        Refusal::NotFound("usage event"),
        Refusal::MethodNotAllowed("GET, PUT".into()),
        Refusal::BodyTooLarge(10),
        Refusal::BodyTimeout,
        Refusal::BillingInactive(SubscriptionStatus::Canceled),
        Refusal::BillingInactive(SubscriptionStatus::PastDue),
        Refusal::CreditLimitExceeded {
            remaining: Credits::from_micros(2_500_000),
            needed: Credits::from_micros(28_000_000),
            resets_at,
        },
        Refusal::UserLimitExceeded {
            remaining: Credits::from_micros(500_000),
            needed: Credits::from_micros(28_000_000),
            resets_at,
        },
        Refusal::CallLimitExceeded { limit: 50, resets_at },
        Refusal::Conflict("credits: 5 are more than is left of the limit; allowed: up to 2.5.".into()),
        Refusal::IdempotencyKeyInvalid("is empty"),
        Refusal::IdempotencyInProgress,
        Refusal::IdempotencyAnswerNotKept { event: "evt_01936000-0000-7000-8000-000000000000".parse().unwrap() },
        Refusal::IdempotencyKeyReused,
        Refusal::TooManyIdempotencyKeys,
        Refusal::TooManyInFlight,
        Refusal::TooManyInFlightOf(Subject::User),
        Refusal::TooManyCalls { of: Subject::Organization, per_minute: 60, retry_after_s: 2 },
        Refusal::TooManyConnections,
        Refusal::TargetTooLong(8_192),
        Refusal::HeaderTooLarge("The header has 101 fields; allowed: 100.".into()),
        Refusal::Internal,
        Refusal::UpstreamUnavailable,
        Refusal::UpstreamTimeout,
        Refusal::PricingUnavailable,
        Refusal::PricingRefused("images are not priced".into()),
        Refusal::JournalUnavailable,
        Refusal::StoreUnavailable,
        Refusal::ShuttingDown,
    ]
}

#[test]
fn every_refusal_keeps_its_status_headers_and_body() {
    let rendered: Vec<String> = every_refusal()
        .iter()
        .map(|refusal| {
            let body = String::from_utf8(refusal.body("req_1")).unwrap();
            format!("{} {:?}\n{body}", refusal.status(), refusal.headers())
        })
        .collect();
    insta::assert_snapshot!(rendered.join("\n\n"));
}

#[test]
fn every_refusal_that_is_ours_says_when_to_try_again() {
    for refusal in every_refusal() {
        let ours = matches!(refusal.status(), 429 | 503);
        assert_eq!(refusal.headers().iter().any(|(name, _)| *name == "Retry-After"), ours, "{refusal:?}");
    }
}
