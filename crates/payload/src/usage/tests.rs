//! What each shape settles at, however its stream is cut, and what is unknown.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

/// Model; tokens in, out, cached, written into a cache, of reasoning.
type Want = (&'static str, [Option<u64>; 5]);

const ANSWERS: [(&str, Want); 11] = [
    ("openai-chat.json", ("gpt-4.1-2025-04-14", [Some(19), Some(10), Some(0), None, Some(0)])),
    ("openai-completion.json", ("gpt-3.5-turbo-instruct", [Some(5), Some(7), None, None, None])),
    ("openai-embeddings.json", ("text-embedding-ada-002", [Some(8), Some(0), None, None, None])),
    ("openai-responses.json", ("o3-2025-04-16", [Some(81), Some(1_035), Some(64), None, Some(832)])),
    (
        "anthropic-message.json",
        ("claude-sonnet-4-5-20250929", [Some(6_197), Some(503), Some(2_051), Some(2_051), None]),
    ),
    ("openai-chat.sse", ("gpt-4.1-2025-04-14", [Some(2_006), Some(300), Some(1_920), None, Some(64)])),
    ("openai-chat-without-usage.sse", ("", [None; 5])),
    ("openai-chat-growing.sse", ("llama-3.3-70b", [Some(36), Some(2), None, None, None])),
    ("openai-responses.sse", ("gpt-4.1-2025-04-14", [Some(37), Some(11), Some(0), None, Some(0)])),
    ("anthropic-messages.sse", ("claude-sonnet-4-5-20250929", [Some(4_672), Some(89), Some(3_000), Some(1_200), None])),
    (
        "anthropic-messages-whole-delta.sse",
        ("claude-opus-4-1-20250805", [Some(10_682), Some(510), Some(0), Some(0), None]),
    ),
];

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/answers").join(name)).unwrap()
}

fn shapes() -> Arc<UsageReader> {
    Arc::new(UsageReader::new(UsageRules::default()).unwrap())
}

fn usage((model, [input, output, cached, write, reasoning]): Want) -> ModelUsage {
    ModelUsage {
        model: Some(model.to_owned()).filter(|model| !model.is_empty()),
        input_tokens: input,
        output_tokens: output,
        cached_input_tokens: cached,
        cache_write_tokens: write,
        reasoning_tokens: reasoning,
        ..ModelUsage::default()
    }
}

fn streamed(reader: &Arc<UsageReader>, pieces: impl IntoIterator<Item = impl AsRef<[u8]>>, cut: bool) -> ModelUsage {
    let mut stream = StreamReader::new(Arc::clone(reader));
    pieces.into_iter().for_each(|piece| stream.push(piece.as_ref()));
    stream.finish(cut).usage
}

#[test]
fn every_shape_settles_at_its_last_counts_however_it_is_cut_into_pieces() {
    let shapes = shapes();
    for (name, want) in ANSWERS {
        let (bytes, want) = (file(name), usage(want));
        if name.rsplit_once('.').is_some_and(|(_, kind)| kind == "json") {
            assert_eq!(shapes.read(&bytes), want, "{name}");
            continue;
        }
        let text = String::from_utf8(bytes).unwrap();
        for ends in ["\n", "\r\n", "\r"] {
            let stream = text.replace('\n', ends);
            for length in [1, 2, 3, 7, 64, 1_000, stream.len()] {
                assert_eq!(streamed(&shapes, stream.as_bytes().chunks(length), false), want, "{name} by {length}");
            }
            // The last event's end may be the stream's.
            assert_eq!(streamed(&shapes, [stream.trim_end()], false), want, "{name} without its last line ends");
        }
    }
}

#[test]
fn a_stream_that_is_cut_before_its_last_counts_says_only_what_it_said() {
    let before = |name: &str, mark: &str| {
        let text = String::from_utf8(file(name)).unwrap();
        let at = text.rfind(mark).unwrap();
        streamed(&shapes(), [&text[..at]], true)
    };
    assert!(!before("openai-chat.sse", "data: {").counts_tokens());
    assert!(!before("openai-chat.sse", "\ndata: [DONE]").counts_tokens(), "its event did not end");
    assert_eq!(before("openai-responses.sse", "event: response.completed"), usage(("", [None; 5])));
    // What message_start says of the output is no count of it.
    let begun = usage(("claude-sonnet-4-5-20250929", [Some(4_672), None, Some(3_000), Some(1_200), None]));
    assert_eq!(before("anthropic-messages.sse", "event: content_block_start"), begun);
}

#[test]
fn unknown_is_not_zero_and_zero_is_not_unknown() {
    let shapes = shapes();
    let cases = [
        (r#"{"usage":{"prompt_tokens":0,"completion_tokens":0}}"#, Some(0), Some(0)),
        (r#"{"usage":{"prompt_tokens":3,"completion_tokens":null}}"#, Some(3), None),
        (r#"{"usage":{"prompt_tokens":3,"total_tokens":2}}"#, Some(3), None),
        (r#"{"usage":{"prompt_tokens":-3,"completion_tokens":1.5}}"#, None, None),
        (r#"{"usage":{"prompt_tokens":"3","completion_tokens":1e3}}"#, None, None),
        (r#"{"usage":{"prompt_tokens":99999999999999999999,"completion_tokens":true}}"#, None, None),
        (r#"{"usage":{"input_tokens":18446744073709551615,"cache_read_input_tokens":1}}"#, None, None),
        (
            r#"{"usage":{"input_tokens":9223372036854775807,"cache_read_input_tokens":9223372036854775807}}"#,
            Some(18_446_744_073_709_551_614),
            None,
        ),
        (r#"{"usage":{"cache_read_input_tokens":5,"output_tokens":1}}"#, None, Some(1)),
        (r#"{"usage":{"creditsConsumed":5}}"#, None, None),
        (r#"{"usage":{"prompt_tokens":1},"usage":{"prompt_tokens":2}}"#, Some(2), None),
        (r#"{"nested":{"usage":{"prompt_tokens":1}}}"#, None, None),
        // Only a stream's events have their answer inside.
        (r#"{"type":"response.completed","response":{"usage":{"input_tokens":1}}}"#, None, None),
        (r#"[{"usage":{"prompt_tokens":1}}]"#, None, None),
        (r#"{"usage":{"prompt_tokens":1}"#, None, None),
        ("", None, None),
    ];
    for (body, input, output) in cases {
        let read = shapes.read(body.as_bytes());
        assert_eq!((read.input_tokens, read.output_tokens), (input, output), "{body}");
        assert_eq!(read.counts_tokens(), input.is_some() || output.is_some() || body.contains("cache_read"), "{body}");
    }
}

#[test]
fn the_routes_own_pointers_go_before_the_shapes() {
    let rules = UsageRules {
        model: Some("/meta/engine".into()),
        input_tokens: Some("/meta/tokens/in".into()),
        output_tokens: Some("/meta/tokens/out".into()),
        reasoning_tokens: Some("/usage/output_tokens".into()),
        scalars: vec!["/meta/pages".into(), "/meta/quality".into()],
        ..UsageRules::default()
    };
    let reader = Arc::new(UsageReader::new(rules).unwrap());
    let body = r#"{"meta":{"engine":"m","tokens":{"in":1},"pages":3,"quality":"high"},"usage":{"input_tokens":7,"output_tokens":8},"model":"other"}"#;
    let read = reader.read(body.as_bytes());
    assert_eq!((read.model.as_deref(), read.input_tokens, read.output_tokens), (Some("m"), Some(1), Some(8)));
    assert_eq!(read.reasoning_tokens, Some(8));
    assert_eq!(read.scalars["pages"], Scalar::Integer(3));
    assert_eq!(read.scalars["quality"], Scalar::Text("high".to_owned()));
    let events = [
        "data: {\"meta\":{\"tokens\":{\"in\":1,\"out\":0},\"pages\":1}}\n\n",
        "data: {\"meta\":{\"tokens\":{\"out\":9},\"pages\":null}}\n\n",
        "data: no json\n\n",
    ];
    let read = streamed(&reader, events, false);
    assert_eq!(
        (read.input_tokens, read.output_tokens, &read.scalars["pages"]),
        (Some(1), Some(9), &Scalar::Integer(1))
    );
    let wrong = UsageRules { model: Some("model".into()), ..UsageRules::default() };
    assert_eq!(UsageReader::new(wrong).err(), Some(PointerError("model".into())));
}

#[test]
fn an_event_too_long_says_nothing_and_the_next_one_counts() {
    let usage = |tokens: u64| format!("{{\"usage\":{{\"prompt_tokens\":{tokens}}}}}");
    let long = |length: usize| format!("data: {}{}\n\n", usage(1), " ".repeat(length - usage(1).len()));
    for (length, counted) in [(4 << 20, Some(1)), ((4 << 20) + 1, None)] {
        let event = long(length);
        for pieces in [event.as_bytes().chunks(event.len()), event.as_bytes().chunks(100_000)] {
            // With its name, a line of data in pieces is longer by six bytes.
            let by_piece = pieces.len() > 1;
            let read = streamed(&shapes(), pieces.clone(), false);
            if !by_piece || counted.is_none() {
                assert_eq!(read.input_tokens, counted, "{length}");
            }
            let more = streamed(
                &shapes(),
                pieces.map(<[u8]>::to_vec).chain([format!("data: {}\n\n", usage(2)).into_bytes()]),
                false,
            );
            assert_eq!(more.input_tokens, Some(2));
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_fault(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8), cut: bool) {
        let whole = pieces.concat();
        prop_assert_eq!(streamed(&shapes(), &pieces, cut), streamed(&shapes(), [&whole], cut));
    }

    #[test]
    fn lines_and_counts_cut_anywhere_read_the_same(stream in "(data: ?|x: )?(\\{\"usage\":\\{\"(prompt|output)_tokens\":[0-9]{1,3}\\}\\})?(\r|\n|\r\n){0,3}(data: \\{\"usage\":\\{\"prompt_tokens\":7\\}\\}(\r\n|\n|\r){1,2}){0,3}", at: prop::sample::Index) {
        let at = at.index(stream.len() + 1);
        let (one, two) = stream.as_bytes().split_at(at);
        prop_assert_eq!(streamed(&shapes(), [one, two], false), streamed(&shapes(), [stream.as_bytes()], false));
    }
}
