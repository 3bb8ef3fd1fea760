//! Server-sent events: each passes at once; at the end the hold is settled and our one `usage` event is added.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header;
use payload::content::Gunzip;
use payload::events::EventRelay;
use payload::usage::{Heard, StreamReader};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use super::{Client, Coding, broken, client_header, coding, frame, name_event};
use crate::call::Call;
use crate::forward::{Answer, NoAnswer};
use crate::gateway::Gateway;
use crate::headers;
use crate::hold::OpenHold;
use crate::settle::{self, Ending};
use crate::stop::Stop;

/// Passes the stream on, settles, adds `usage`.
pub(super) async fn deliver(
    gateway: &Gateway,
    session: &mut Session,
    call: &mut Call,
    answer: Answer,
    hold: OpenHold<'_>,
) -> Result<(), Stop> {
    let Answer { header, mut body } = answer;
    let mut events = Events::new(coding(&header), gateway.rules.load().response_bytes_max);
    let mut ending = Ending {
        status: Some(header.status.as_u16()),
        request_bytes: hold.event.signals.body_bytes,
        ..Ending::default()
    };
    let opening = stream_header(session, call, header, &hold, events.readable())?;
    let mut reader = StreamReader::new(Arc::clone(&hold.reader));
    let mut client = Client::new(session);
    client.header(opening, false).await;
    let (began, duration) = (Instant::now(), gateway.rules.load().limits.stream_duration);
    let ended = loop {
        if began.elapsed() > duration {
            tracing::warn!(request_id = %call.request_id, "a stream outlasted limits.stream_duration and is cut");
            break Err(NoAnswer::broken(true));
        }
        match body.next(gateway).await {
            Ok(Some(piece)) => {
                ending.response_bytes = ending.response_bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(0));
                match events.push(piece) {
                    Some(ready) => {
                        reader.push(&ready);
                        client.body(ready, false).await;
                    }
                    None => break Err(NoAnswer::broken(true)),
                }
            }
            Ok(None) => match events.end() {
                Some(rest) => {
                    reader.push(&rest);
                    client.body(rest, false).await;
                    break Ok(());
                }
                None => break Err(NoAnswer::broken(true)),
            },
            Err(failure) => break Err(failure),
        }
    };
    call.backend += body.waited;
    // A stream that falls silent is cut, not timed out: what was streamed was delivered.
    ending.cut = ended.is_err();
    let Heard { usage, counted } = reader.finish(ending.cut);
    ending.usage = usage;
    match settle::settle(gateway, call, hold, ending).await {
        Ok(usage) => {
            let last = events.finish(&usage.to_json(), &counted, ended.is_err());
            client.body(last, ended.is_ok()).await;
        }
        // The header is out: the client sees a stream that breaks off, and nothing was charged.
        Err(unrecorded) => {
            call.refused = Some(unrecorded.code());
            return Err(broken("the charge could not be recorded"));
        }
    }
    call.client_left = client.gone;
    match ended {
        Ok(()) => Ok(()),
        Err(_) => Err(broken("the backend broke off")),
    }
}

fn stream_header(
    session: &mut Session,
    call: &Call,
    answer: Box<ResponseHeader>,
    hold: &OpenHold<'_>,
    readable: bool,
) -> pingora::Result<Box<ResponseHeader>> {
    let mut header = client_header(answer, call)?;
    name_event(hold, &mut header)?;
    if readable {
        headers::strip_of_the_bytes(&mut header);
        header.remove_header(&header::CONTENT_LENGTH);
        header.remove_header(&header::CONTENT_ENCODING);
    }
    frame(session, &mut header)?;
    // Proxies in front of us must neither change nor gather the events.
    header.insert_header(header::CACHE_CONTROL, "no-cache, no-transform")?;
    header.insert_header("x-accel-buffering", "no")?;
    Ok(header)
}

/// The stream's events, compressed or not. A coding that we cannot undo passes untouched, without `usage`.
enum Events {
    Plain(EventRelay),
    Gzip(Option<Box<Gunzip>>, EventRelay),
    Opaque,
}

impl Events {
    fn new(coding: Coding, piece_bytes_max: usize) -> Self {
        match coding {
            Coding::Identity => Self::Plain(EventRelay::new()),
            Coding::Gzip => Self::Gzip(Some(Box::new(Gunzip::new(piece_bytes_max))), EventRelay::new()),
            Coding::Opaque => Self::Opaque,
        }
    }

    fn readable(&self) -> bool {
        !matches!(self, Self::Opaque)
    }

    /// What may go on now; `None` where the coding is damaged.
    fn push(&mut self, piece: Bytes) -> Option<Bytes> {
        match self {
            Self::Plain(relay) => Some(relay.push(piece)),
            Self::Gzip(gunzip, relay) => Some(relay.push(gunzip.as_mut()?.push(&piece).ok()?.into())),
            Self::Opaque => Some(piece),
        }
    }

    /// The rest at a clean end; `None` where the coding says that it is none.
    fn end(&mut self) -> Option<Bytes> {
        match self {
            Self::Gzip(gunzip, relay) => Some(relay.push(gunzip.take()?.finish().ok()?.into())),
            Self::Plain(_) | Self::Opaque => Some(Bytes::new()),
        }
    }

    fn finish(self, usage: &str, counted: &[u8], cut: bool) -> Bytes {
        match self {
            Self::Plain(relay) | Self::Gzip(_, relay) => relay.finish(usage, counted, cut).into(),
            Self::Opaque => Bytes::new(),
        }
    }
}
