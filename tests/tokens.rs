//! Prices by what the backend says of its work: the streams of model APIs settle at exactly their last counts, and what is
//! unknown is charged as it was quoted and says so.

use std::path::Path;

use serde_json::{Value, json};

use crate::world::{Answer, Answered, OPERATOR, World, gzip, plugin};

/// What the route lets the plugin see, and where the app's own answers have their counts.
const ROUTES: &str = r#"[
  { methods = ["POST"], path = "/ai/{orgId}/chat", event_type = "chat", scalars = ["/model", "/max_tokens"] },
  { methods = ["POST"], path = "/ai/{orgId}/own", event_type = "chat", scalars = ["/model", "/max_tokens"],
    answer = { model = "/meta/engine", input_tokens = "/meta/in", output_tokens = "/meta/out", scalars = ["/meta/pages"] } },
]"#;

/// A world whose plugin prices by tokens.
async fn world(overrides: &[(&str, &str)]) -> World {
    let routes = ROUTES.replace('\n', " ");
    let mut overrides = overrides.to_vec();
    overrides.push(("ROUTES", &routes));
    let world = World::with(&overrides).await;
    let made = world.put("/api/admin/event-definitions/chat", OPERATOR, &json!({"baseCredits": 0})).await;
    assert_eq!(made.status, 200);
    world.swap_plugin(&std::fs::read(plugin("tokens.wasm")).unwrap());
    crate::world::until("the plugin is active", || async {
        let report = world.get("/api/admin/pricing", OPERATOR).await.json();
        report["pricing"]["active"]["name"] == "tokens"
    })
    .await;
    world
}

fn recorded(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/payload/tests/answers").join(name);
    std::fs::read_to_string(file).unwrap()
}

async fn call(world: &World, path: &str, model: &str) -> (Answered, Value) {
    let body = json!({"model": model, "max_tokens": 2_000, "messages": ["x".repeat(20_000)]});
    let answer =
        world.request("POST", &format!("/ai/acme/{path}")).by(&world.credential("ann")).json(&body).send().await;
    let event = world.event(&answer).await;
    (answer, event)
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_answers_settle_at_exactly_what_their_last_usage_says() {
    let world = world(&[]).await;
    // Tokens in, out; the credits that the price list makes of them.
    let cases = [
        ("openai-chat.sse", "gpt-4.1", 2_006, 300, "0.03532"),
        ("openai-responses.sse", "gpt-4.1", 37, 11, "0.00162"),
        ("anthropic-messages.sse", "claude-sonnet-4-5", 4_672, 89, "0.08151"),
        ("anthropic-messages-whole-delta.sse", "claude-sonnet-4", 10_682, 510, "0.39696"),
        ("openai-chat-growing.sse", "gpt-4.1-mini", 36, 2, "0.000176"),
        ("openai-chat.json", "gpt-4.1", 19, 10, "0.00118"),
        ("openai-completion.json", "gpt-4.1", 5, 7, "0.00066"),
        ("openai-responses.json", "o3", 81, 1_035, "0.08346"),
        ("openai-embeddings.json", "text-embedding-3-small", 8, 0, "0.000002"),
        ("anthropic-message.json", "claude-sonnet-4-5", 6_197, 503, "0.221366"),
    ];
    for (name, model, input, output, credits) in cases {
        let text = recorded(name);
        world.backend.answers(match name.rsplit_once('.').unwrap().1 {
            "sse" => text.as_bytes().chunks(61).fold(Answer::events(""), Answer::chunk).chunk(""),
            _ => Answer::json(&text),
        });
        let (answer, event) = call(&world, "chat", model).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let usage = &event["eventData"]["usage"];
        assert_eq!((&usage["inputTokens"], &usage["outputTokens"]), (&json!(input), &json!(output)), "{name}");
        let (charged, want): (Option<f64>, f64) = (event["creditsConsumed"].as_f64(), credits.parse().unwrap());
        assert_eq!((charged, &event["eventData"]["estimated"]), (Some(want), &json!(false)), "{name}: {event}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unknown_is_charged_as_quoted_and_says_so_and_zero_is_zero() {
    let world = world(&[]).await;
    let stream = |name: &str| Answer::events("").chunk(recorded(name));
    let before_its_usage = recorded("anthropic-messages.sse");
    let cut = before_its_usage.split_once("event: message_delta").unwrap().0.to_owned();
    let cases = [
        ("a silent stream", stream("openai-chat-without-usage.sse").chunk(""), true),
        ("a stream that is cut", Answer::events("").chunk(&cut).close(), true),
        ("a silent answer", Answer::json(r#"{"answer": 42}"#), true),
        ("half of it", Answer::json(r#"{"usage": {"prompt_tokens": 5}}"#), true),
        (
            "an opaque coding",
            Answer::with("200 OK", "Content-Type: application/json\r\nContent-Encoding: br\r\n", "x"),
            true,
        ),
        ("zeros", Answer::json(r#"{"usage": {"prompt_tokens": 0, "completion_tokens": 0}}"#), false),
        (
            "gzip",
            Answer::with(
                "200 OK",
                "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
                gzip(r#"{"usage": {"prompt_tokens": 0, "completion_tokens": 0}}"#),
            ),
            false,
        ),
    ];
    for (what, answer, estimated) in cases {
        world.backend.answers(answer);
        let event = if what == "a stream that is cut" {
            let body = json!({"model": "gpt-4.1", "max_tokens": 2_000});
            let request = world.request("POST", "/ai/acme/chat").by(&world.credential("ann")).json(&body);
            let mut connection = request.start().await;
            let head = connection.head("POST").await;
            request.note(&head);
            while let Ok(Some(_)) = connection.piece().await {}
            world.event(&head).await
        } else {
            call(&world, "chat", "gpt-4.1").await.1
        };
        assert_eq!(event["eventData"]["estimated"], estimated, "{what}: {event}");
        let want = if estimated { &event["held"] } else { &json!(0) };
        assert_eq!((&event["creditsConsumed"], &event["outcome"]), (want, &json!("captured")), "{what}");
        assert!(event["held"].as_f64().unwrap() > 0.0, "{what}");
    }
    world.backend.answers(Answer::with("500 No", "Content-Type: application/json\r\n", "{}"));
    let (_, event) = call(&world, "chat", "gpt-4.1").await;
    assert_eq!((&event["outcome"], &event["eventData"]["estimated"]), (&json!("voided"), &json!(false)));
    let history = world.events("acme").await;
    assert_eq!(history.iter().filter(|event| event["eventData"]["estimated"] == true).count(), 5);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_apps_own_fields_are_found_by_the_routes_pointers() {
    let world = world(&[]).await;
    world
        .backend
        .answers(Answer::json(r#"{"success": true, "meta": {"engine": "x-1", "in": 100, "out": 10, "pages": 3}}"#));
    let (_, event) = call(&world, "own", "gpt-4.1").await;
    let usage = json!({"model": "x-1", "inputTokens": 100, "outputTokens": 10, "scalars": {"pages": 3}});
    assert_eq!((&event["eventData"]["usage"], &event["creditsConsumed"]), (&usage, &json!(0.0028)));
    world
        .backend
        .answers(Answer::events("").chunk("data: {\"meta\":{\"in\":7}}\n\ndata: {\"meta\":{\"out\":0}}\n\n").chunk(""));
    let (_, event) = call(&world, "own", "gpt-4.1").await;
    assert_eq!((&event["creditsConsumed"], &event["eventData"]["estimated"]), (&json!(0.00014), &json!(false)));
    world.end().await;
}
