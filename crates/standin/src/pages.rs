//! Ordinary pages, which a gateway must pass untouched.

use axum::body::Body;
use axum::extract::Path;
use axum::response::{Html, IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};

use crate::{DOWNLOAD_BYTES_MAX, answer};

/// How much of a download is made at a time, in bytes.
const PIECE_BYTES: u64 = 64 << 10;
/// What a download is made of, over and over.
const PIECE: &[u8] = &[b'.'; 64 << 10];

const HOME: &str = "<!doctype html>
<html lang=\"en\">
<title>Stand-in backend</title>
<h1>Stand-in backend</h1>
<p>This page is the backend's own and passes the gateway untouched.
";

/// `GET /`
pub(crate) async fn home() -> Html<&'static str> {
    Html(HOME)
}

/// `GET /download/{bytes}`: as many bytes, of known length, made as they are sent.
pub(crate) async fn download(Path(bytes): Path<String>) -> Response {
    let Some(bytes) = bytes.parse().ok().filter(|bytes| *bytes <= DOWNLOAD_BYTES_MAX) else {
        let why = format!("a download has a whole number of bytes, at most {DOWNLOAD_BYTES_MAX}");
        return answer::failure(StatusCode::BAD_REQUEST, &why);
    };
    let pieces = stream::unfold(bytes, |left: u64| async move {
        let length = usize::try_from(left.min(PIECE_BYTES)).ok()?;
        let piece = PIECE.get(..length).filter(|piece| !piece.is_empty())?;
        Some((Ok::<_, std::io::Error>(Bytes::from_static(piece)), left.saturating_sub(PIECE_BYTES)))
    });
    let headers = [(CONTENT_TYPE, "application/octet-stream".to_owned()), (CONTENT_LENGTH, bytes.to_string())];
    (headers, Body::from_stream(pieces)).into_response()
}

/// Any other path.
pub(crate) async fn nothing_here() -> Response {
    answer::failure(StatusCode::NOT_FOUND, "there is nothing here")
}

/// A known path with a method that it does not take.
pub(crate) async fn no_such_method() -> Response {
    answer::failure(StatusCode::METHOD_NOT_ALLOWED, "this path does not take that method")
}
