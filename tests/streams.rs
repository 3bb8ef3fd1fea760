//! Server-sent events: each at once, our `usage` last, a break visible.

use serde_json::{Value, json};

use crate::world::{Answer, Answered, Connection, Gate, Request, World, gzip};

const EVENTS: [&str; 3] =
    ["data: {\"choices\":[{\"delta\":1}]}\n\n", "data: {\"choices\":[]}\r\n\r\n", "data: [DONE]\n\n"];

/// A call whose answer's header has come.
async fn begun(world: &World) -> (Request, Connection, Answered) {
    let request = world.diagnosis("acme", "ann").json(&json!({"content": ["short"], "stream": true}));
    let mut connection = request.start().await;
    let head = connection.head("POST").await;
    request.note(&head);
    (request, connection, head)
}

/// A header that goes out before the charge is settled names the event, and nothing that may not come true.
fn assert_no_figures(head: &Answered) {
    assert!(head.header("x-usage-event-id").is_some());
    assert_eq!((head.header("x-credits-consumed"), head.header("x-credits-remaining")), (None, None));
}

/// The rest of the body, and whether it ended as it should.
async fn rest(connection: &mut Connection) -> (String, bool) {
    let mut body = Vec::new();
    loop {
        match connection.piece().await {
            Ok(Some(piece)) => body.extend(piece),
            end => return (String::from_utf8(body).unwrap(), end.is_ok()),
        }
    }
}

/// Our event at the end of a stream's text: what is before it, and its data.
fn parted(stream: &str) -> (&str, Value) {
    let (before, ours) = stream.split_once("event: usage\ndata: ").unwrap_or_else(|| panic!("no usage in {stream:?}"));
    (before, serde_json::from_str(ours.strip_suffix("\n\n").unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_arrives_before_the_next_one_is_sent_and_usage_comes_last() {
    let world = World::start().await;
    let gate = Gate::new();
    let stream = EVENTS.iter().fold(Answer::events(""), |answer, event| answer.after(&gate).chunk(event));
    world.backend.answers(stream.after(&gate).chunk(""));
    let (_, mut connection, head) = begun(&world).await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    assert_no_figures(&head);
    assert_eq!(world.counter("acme").await["held"], 10);
    for event in EVENTS {
        gate.step();
        let mut came = String::new();
        while came.len() < event.len() {
            came += std::str::from_utf8(&connection.piece().await.unwrap().unwrap()).unwrap();
        }
        assert_eq!(came, event);
    }
    gate.step();
    let (last, complete) = rest(&mut connection).await;
    let (before, data) = parted(&last);
    assert_eq!((before, complete), ("", true));
    let id = head.header("x-usage-event-id").unwrap();
    assert_eq!(data["usage"], json!({"creditsConsumed": 10, "remainingCredits": 4990, "usageEventId": id}));
    assert_eq!(data["choices"], json!([]));
    world.end().await;
}

/// Some clients look at every event and report the last `usage` of all; some make an error of a type that they do not know.
#[tokio::test(flavor = "multi_thread")]
async fn our_event_has_what_the_stream_told_and_a_type_that_its_clients_know() {
    let world = World::start().await;
    let chat = include_str!("../crates/payload/tests/answers/openai-chat.sse");
    let responses = include_str!("../crates/payload/tests/answers/openai-responses.sse");
    let anthropic = include_str!("../crates/payload/tests/answers/anthropic-messages.sse");
    for (stream, kind, tokens) in
        [(chat, "keepalive", json!(2_006)), (responses, "keepalive", Value::Null), (anthropic, "ping", Value::Null)]
    {
        world.backend.answers(Answer::events("").chunk(stream).chunk(""));
        let (_, mut connection, _) = begun(&world).await;
        let (all, _) = rest(&mut connection).await;
        let (before, data) = parted(&all);
        assert_eq!((before, &data["type"]), (stream, &json!(kind)));
        assert_eq!((&data["usage"]["prompt_tokens"], &data["usage"]["creditsConsumed"]), (&tokens, &json!(10)));
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_stream_is_unpacked_and_gets_its_usage() {
    let world = World::start().await;
    let packed = gzip(EVENTS.concat());
    let answer = packed.chunks(7).fold(Answer::events("Content-Encoding: gzip\r\n"), Answer::chunk);
    world.backend.answers(answer.chunk(""));
    let (_, mut connection, head) = begun(&world).await;
    assert_eq!(head.header("content-encoding"), None);
    let (all, complete) = rest(&mut connection).await;
    let (before, data) = parted(&all);
    assert_eq!((before, complete), (EVENTS.concat().as_str(), true));
    assert_eq!(data["usage"]["creditsConsumed"], 10);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_in_a_coding_that_we_cannot_undo_passes_untouched() {
    let world = World::start().await;
    world.backend.answers(Answer::events("Content-Encoding: br\r\n").chunk("opaque").chunk(""));
    let (_, mut connection, head) = begun(&world).await;
    assert_eq!(head.header("content-encoding"), Some("br"));
    assert_eq!(rest(&mut connection).await, ("opaque".to_owned(), true));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_is_charged_and_visibly_broken() {
    let world = World::start().await;
    for (last, ours) in [(EVENTS[1], true), ("data: half", false)] {
        world.backend.answers(Answer::events("").chunk(EVENTS[0]).chunk(last).close());
        let (_, mut connection, _) = begun(&world).await;
        let (all, complete) = rest(&mut connection).await;
        assert!(!complete, "{all:?}");
        assert_eq!(all.contains("event: usage"), ours, "{all:?}");
        assert!(all.starts_with(&format!("{}{last}", EVENTS[0])), "{all:?}");
        let event = &world.events("acme").await[0];
        assert_eq!((&event["outcome"], &event["creditsConsumed"]), (&json!("captured"), &json!(10)));
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_before_its_first_byte_is_not_charged() {
    let world = World::with(&[("UPSTREAM__RESPONSE_TIMEOUT", "200ms")]).await;
    for answer in [Answer::events("").close(), Answer::events("").after(&Gate::new())] {
        world.backend.answers(answer);
        let (_, mut connection, _) = begun(&world).await;
        let (all, complete) = rest(&mut connection).await;
        assert_eq!((complete, &parted(&all).1["usage"]["creditsConsumed"]), (false, &json!(0)));
        assert_eq!(world.events("acme").await[0]["outcome"], "voided");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_stream_is_given_back_where_the_configuration_says_so() {
    let world = World::with(&[("SETTLEMENT__CUT_STREAM", "void")]).await;
    world.backend.answers(Answer::events("").chunk(EVENTS[0]).close());
    let (_, mut connection, head) = begun(&world).await;
    assert_no_figures(&head);
    let (all, complete) = rest(&mut connection).await;
    assert_eq!((complete, &parted(&all).1["usage"]["creditsConsumed"]), (false, &json!(0)));
    assert_eq!(world.events("acme").await[0]["outcome"], "voided");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_falls_silent_is_cut() {
    let world = World::with(&[("UPSTREAM__RESPONSE_TIMEOUT", "200ms")]).await;
    world.backend.answers(Answer::events("").chunk(EVENTS[0]).after(&Gate::new()));
    let (_, mut connection, _) = begun(&world).await;
    let (all, complete) = rest(&mut connection).await;
    assert!(!complete && all.starts_with(EVENTS[0]), "{all:?}");
    assert_eq!(world.counter("acme").await["used"], 10);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_failed_is_an_answer_like_any_other() {
    let world = World::start().await;
    world.backend.answers(Answer::with("500 No", "Content-Type: text/event-stream\r\n", "data: sorry\n\n"));
    let answer = world.call("acme", "ann").await;
    assert_eq!((answer.status, answer.text().as_str(), answer.usage_headers().1), (500, "data: sorry\n\n", "0"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_streams_header_said_is_still_true_after_a_kill_in_mid_stream() {
    let world = World::start().await;
    let gate = Gate::new();
    world.backend.answers(Answer::events("").chunk(EVENTS[0]).after(&gate).chunk(""));
    let (_, mut connection, head) = begun(&world).await;
    let reborn = world.after_a_kill(1).await;
    let event = reborn.event(&head).await;
    assert_eq!((&event["outcome"], &event["creditsConsumed"]), (&json!("interrupted"), &json!(0)));
    assert_no_figures(&head);
    reborn.end().await;
    gate.open();
    assert!(rest(&mut connection).await.1);
    world.end().await;
}
