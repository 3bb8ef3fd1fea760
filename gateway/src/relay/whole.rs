//! Answers that are kept until they are whole, then settled, then sent with an exact length: an answer that breaks off
//! becomes a clean 502, and JSON gets its `usage`.

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode, header};
use payload::{content, splice};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use super::{Client, Coding, broken, client_header, coding, content_type, frame, give_up, name_event};
use crate::call::Call;
use crate::forward::{Answer, AnswerBody, NoAnswer};
use crate::gateway::Gateway;
use crate::headers;
use crate::hold::OpenHold;
use crate::once;
use crate::settle::{self, Ending};
use crate::stop::Stop;
use crate::usage::Usage;

/// Reads the answer up to `upstream.max_response`, settles, sends.
pub(super) async fn deliver(
    gateway: &Gateway,
    session: &mut Session,
    call: &mut Call,
    answer: Answer,
    hold: OpenHold<'_>,
) -> Result<(), Stop> {
    let Answer { header, mut body } = answer;
    let bytes_max = gateway.rules.load().response_bytes_max;
    let kept = keep(gateway, &mut body, &header, bytes_max).await;
    call.backend += body.waited;
    let ending = Ending {
        status: Some(header.status.as_u16()),
        request_bytes: hold.event.signals.body_bytes,
        ..Ending::default()
    };
    match kept {
        Err(failure) => Err(give_up(gateway, call, hold, failure, ending).await),
        Ok(Kept::Whole(bytes)) => {
            let json = readable(&header, &bytes, bytes_max);
            let said = json.as_ref().map(|json| hold.reader.read(json)).unwrap_or_default();
            let ending = Ending { response_bytes: length(&bytes), usage: said, ..ending };
            let usage = settle::settle(gateway, call, hold, ending).await?;
            send_whole(session, call, header, bytes, json, &usage).await
        }
        Ok(Kept::First(first)) => {
            let mut passed = client_header(header, call)?;
            let open = if passed.status.is_success() {
                name_event(&hold, &mut passed)?;
                Some((hold, ending))
            } else {
                // What its status says is settled however it ends.
                let ending = Ending { response_bytes: length(&first), ..ending };
                settle::settle(gateway, call, hold, ending).await?.set_headers(&mut passed)?;
                None
            };
            frame(session, &mut passed)?;
            let mut client = Client::new(session);
            client.header(passed, false).await;
            send_on(gateway, call, client, first, body, open).await
        }
    }
}

enum Kept {
    /// All of it.
    Whole(Bytes),
    /// More than is kept: this, and the rest still to come.
    First(Bytes),
}

async fn keep(
    gateway: &Gateway,
    body: &mut AnswerBody,
    header: &ResponseHeader,
    bytes_max: usize,
) -> Result<Kept, NoAnswer> {
    let promised = header.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let Some(first) = body.next(gateway).await? else { return Ok(Kept::Whole(Bytes::new())) };
    if first.len() > bytes_max {
        return Ok(Kept::First(first));
    }
    if promised == Some(first.len()) {
        // The end is read too, so that the connection can be kept.
        return match body.next(gateway).await? {
            None => Ok(Kept::Whole(first)),
            Some(_) => Err(NoAnswer::broken(true)),
        };
    }
    let mut kept = BytesMut::with_capacity(promised.unwrap_or(0).clamp(first.len(), bytes_max.max(first.len())));
    kept.extend_from_slice(&first);
    while let Some(piece) = body.next(gateway).await? {
        kept.extend_from_slice(&piece);
        if kept.len() > bytes_max {
            return Ok(Kept::First(kept.freeze()));
        }
    }
    Ok(Kept::Whole(kept.freeze()))
}

async fn send_whole(
    session: &mut Session,
    call: &mut Call,
    answer: Box<ResponseHeader>,
    bytes: Bytes,
    json: Option<Bytes>,
    usage: &Usage,
) -> Result<(), Stop> {
    let mut header = client_header(answer, call)?;
    usage.set_headers(&mut header)?;
    let bodiless = session.req_header().method == Method::HEAD
        || matches!(header.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::RESET_CONTENT);
    let mut client = Client::new(session);
    if bodiless {
        once::keep(call, &header, &[]).await;
        client.header(header, true).await;
    } else {
        let bytes = match json.and_then(|json| splice::splice_usage(&json, &usage.to_json())) {
            Some(spliced) => {
                headers::strip_of_the_bytes(&mut header);
                header.remove_header(&header::CONTENT_ENCODING);
                Bytes::from(spliced)
            }
            None => bytes,
        };
        header.insert_header(header::CONTENT_LENGTH, bytes.len())?;
        once::keep(call, &header, &bytes).await;
        client.header(header, false).await;
        client.body(bytes, true).await;
    }
    call.client_left = client.gone;
    Ok(())
}

/// The body's JSON, as it is read and gets its `usage`; `None` where the answer is no whole one of a success.
fn readable(answer: &ResponseHeader, bytes: &Bytes, bytes_max: usize) -> Option<Bytes> {
    let eligible = answer.status.is_success()
        && answer.status != StatusCode::PARTIAL_CONTENT
        && !answer.headers.contains_key(header::CONTENT_RANGE)
        && content_type(answer).is_some_and(content::is_json);
    match coding(answer) {
        _ if !eligible => None,
        Coding::Identity => Some(bytes.clone()),
        Coding::Gzip => content::gunzip_bounded(bytes, bytes_max).ok().map(Bytes::from),
        Coding::Opaque => None,
    }
}

/// Passes an answer on that is too long to be kept, as it comes. One that is still open is settled when it has ended, as a
/// stream is: what breaks off now has been passed on as far as it came. The last piece waits for the event.
async fn send_on(
    gateway: &Gateway,
    call: &mut Call,
    mut client: Client<'_>,
    mut first: Bytes,
    mut rest: AnswerBody,
    open: Option<(OpenHold<'_>, Ending)>,
) -> Result<(), Stop> {
    let mut response_bytes = length(&first);
    // What is kept so far is long: all of it but a byte goes out at once.
    let mut last = first.split_off(first.len().saturating_sub(1));
    client.body(first, false).await;
    let ended = loop {
        match rest.next(gateway).await {
            Ok(Some(piece)) => {
                response_bytes = response_bytes.saturating_add(length(&piece));
                client.body(std::mem::replace(&mut last, piece), false).await;
            }
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    call.backend += rest.waited;
    if let Some((hold, ending)) = open {
        let ending = Ending { response_bytes, cut: !ended, ..ending };
        if let Err(unrecorded) = settle::settle(gateway, call, hold, ending).await {
            call.refused = Some(unrecorded.code());
            return Err(broken("the charge could not be recorded"));
        }
    }
    client.body(last, ended).await;
    call.client_left = client.gone;
    if ended { Ok(()) } else { Err(broken("the backend broke off")) }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
