//! `[limits]`: what a client may ask for, how fast and for how long.

use std::time::Duration;

use crate::document::Document;
use crate::section::Section;

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections at once.
    pub connections: u64,
    /// Requests on one connection.
    pub requests_per_connection: u64,
    /// HTTP/2: requests at once on one connection.
    pub http2_streams: u64,
    /// How long a request's header may take, from its first byte; a TLS handshake too.
    pub header_timeout: Duration,
    /// How long an idle connection is kept.
    pub keepalive: Duration,
    /// How long the next piece of a request may take.
    pub read_timeout: Duration,
    /// How long a client may take to read the next piece of an answer.
    pub write_timeout: Duration,
    /// How long the body of an unmetered request may take in all.
    pub upload_timeout: Duration,
    /// How long a stream of events may last.
    pub stream_duration: Duration,
    /// Header fields.
    pub max_headers: u64,
    /// Header fields, in bytes all together.
    pub max_header: u64,
    /// A request's target, in bytes.
    pub max_target: u64,
    /// Calls of one organisation on their way at once; 0 is no limit.
    pub organization_in_flight: u64,
    /// Calls of one user on their way at once; 0 is no limit.
    pub user_in_flight: u64,
    /// Calls of one organisation in a minute; 0 is no limit.
    pub organization_calls_per_minute: u64,
    /// Calls of one user in a minute; 0 is no limit.
    pub user_calls_per_minute: u64,
}

impl Limits {
    pub(crate) fn read(document: &mut Document) -> Self {
        let (seconds, day) = (Duration::from_secs, Duration::from_secs(86_400));
        let mut section = Section::open(document, "limits");
        let read = Self {
            connections: section.count("connections", 8_192, 1..=1_000_000),
            requests_per_connection: section.count("requests_per_connection", 100_000, 1..=u64::from(u32::MAX)),
            http2_streams: section.count("http2_streams", 100, 1..=10_000),
            header_timeout: section.duration("header_timeout", seconds(10), seconds(1)..=seconds(600)),
            keepalive: section.duration("keepalive", seconds(75), seconds(1)..=seconds(3_600)),
            read_timeout: section.duration("read_timeout", seconds(60), seconds(1)..=seconds(3_600)),
            write_timeout: section.duration("write_timeout", seconds(60), seconds(1)..=seconds(3_600)),
            upload_timeout: section.duration("upload_timeout", seconds(600), seconds(1)..=day),
            stream_duration: section.duration("stream_duration", seconds(3_600), seconds(1)..=day),
            max_headers: section.count("max_headers", 100, 1..=256),
            max_header: section.size("max_header", 32 << 10, 1 << 10..=512 << 10),
            max_target: section.size("max_target", 8 << 10, 64..=64 << 10),
            organization_in_flight: section.count("organization_in_flight", 2_048, 0..=1_000_000),
            user_in_flight: section.count("user_in_flight", 1_024, 0..=1_000_000),
            organization_calls_per_minute: section.count("organization_calls_per_minute", 600_000, 0..=60_000_000),
            user_calls_per_minute: section.count("user_calls_per_minute", 300_000, 0..=60_000_000),
        };
        section.close();
        read
    }
}
