//! A journal that was damaged: what is good in it is delivered, what is bad is set aside, counted and named.

use serde_json::json;

use crate::world::{Answer, Gate, On, Request, World};

/// How an event's name begins in the journal, and how long it is.
const EVENT: &[u8] = b"evt_";
const NAME_BYTES: usize = 40;

/// The places at which the names of different events first stand.
fn events_in(bytes: &[u8]) -> Vec<(String, usize)> {
    let mut found: Vec<(String, usize)> = Vec::new();
    for (at, _) in bytes.windows(EVENT.len()).enumerate().filter(|(_, window)| *window == EVENT) {
        let name = String::from_utf8_lossy(&bytes[at..bytes.len().min(at + NAME_BYTES)]).into_owned();
        if !found.iter().any(|(known, _)| *known == name) {
            found.push((name, at));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_costs_itself_alone_and_is_counted_and_named() {
    let world = World::start().await;
    let gate = Gate::new();
    world.backend.answers(Answer::default().held_by(&gate));
    let requests: Vec<Request> =
        (0..3).map(|_| world.diagnosis("acme", "ann").json(&json!({"content": ["short"]}))).collect();
    let mut connections = Vec::new();
    for (number, request) in requests.iter().enumerate() {
        connections.push(request.start().await);
        world.backend.has_calls(number + 1).await;
    }
    // The last record cut in its middle, or a byte of the second one flipped: one hold is lost, and no other.
    for (cuts, hit) in [(true, 2), (false, 1)] {
        let mut reborn = world.killed(2).await;
        let file = reborn.journal_file();
        let mut bytes = std::fs::read(&file).unwrap();
        let events = events_in(&bytes);
        assert_eq!(events.len(), 3, "{events:?}");
        let (name, place) = &events[hit];
        let beyond = place + NAME_BYTES + 20;
        if cuts {
            bytes.truncate(beyond);
        } else {
            bytes[beyond] ^= 0x20;
        }
        std::fs::write(&file, &bytes).unwrap();
        reborn.run().await;
        let history = reborn.events("acme").await;
        let mut left: Vec<&str> = history.iter().map(|event| event["id"].as_str().unwrap()).collect();
        left.sort_unstable();
        let mut good: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).filter(|it| it != name).collect();
        good.sort_unstable();
        assert_eq!(left, good);
        let metrics = reborn.metrics().await;
        assert!(metrics.lines().any(|line| line == "gateway_journal_set_aside_total 1"), "{metrics}");
        let aside: Vec<_> = std::fs::read_dir(file.with_file_name("set-aside")).unwrap().collect();
        assert_eq!(aside.len(), 1);
        let copy = std::fs::read(aside[0].as_ref().unwrap().path()).unwrap();
        assert!(copy.windows(name.len()).any(|window| window == name.as_bytes()), "the copy has the event's name");
        assert_eq!(reborn.call("acme", "ann").await.status, 200);
        reborn.end().await;
    }
    gate.open();
    for (request, connection) in requests.iter().zip(&mut connections) {
        assert_eq!(request.answer(connection).await.status, 200);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_of_another_version_is_refused_by_name_and_left_as_it_is() {
    let world = World::start().await;
    assert_eq!(world.call("acme", "ann").await.status, 200);
    let mut reborn = world.killed(1).await;
    let file = reborn.journal_file();
    let before = std::fs::read(&file).unwrap();
    // The version, and the sum over it: both are the header's own.
    let mut other = before.clone();
    other[8] = 99;
    let sum = crc32(&other[..20]).to_le_bytes();
    other[20..24].copy_from_slice(&sum);
    std::fs::write(&file, &other).unwrap();
    let refused = gateway::start(reborn.options(), reborn.clock.clone()).await;
    let why = format!("{:#}", refused.err().expect("it started on a journal of another version"));
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(why.contains("journal.directory") && why.contains(name) && why.contains("99"), "{why}");
    assert_eq!(std::fs::read(&file).unwrap(), other);
    std::fs::write(&file, &before).unwrap();
    reborn.run().await;
    assert_eq!(reborn.counter("acme").await["used"], 10);
    reborn.end().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_gateway_on_the_same_journal_is_refused() {
    let world = World::start_on(On::Postgres).await;
    let second = gateway::start(world.options(), world.clock.clone()).await;
    let why = format!("{:#}", second.err().expect("a second gateway started on the same journal"));
    assert!(why.contains("journal.directory") && why.contains("another"), "{why}");
    assert_eq!(world.call("acme", "ann").await.status, 200);
    world.end().await;
}

/// CRC-32 as the journal has it, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0xEDB8_8320 } else { sum >> 1 })
    })
}
