//! Connections: which are kept, which address they go to, and what happens where one cannot be reached.

use std::io::ErrorKind;

use pingora::http::RequestHeader;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};

use super::*;

fn options(addresses: Vec<Address>) -> UpstreamOptions {
    let second = Duration::from_secs(1);
    UpstreamOptions {
        addresses,
        health_path: None,
        health_interval: Duration::from_millis(20),
        connect_timeout: second,
        response_timeout: second,
        idle_timeout: second,
    }
}

fn at(listener: &TcpListener) -> Address {
    Address::Tcp { tls: false, host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() }
}

async fn listening() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// An address at which nobody listens.
async fn nobody() -> Address {
    at(&listening().await)
}

#[tokio::test]
async fn a_connection_with_half_a_request_on_it_is_not_used_again() {
    for (body_bytes, kept) in [(0, true), (1_000, true), (64 << 20, false)] {
        let listener = listening().await;
        let upstream = Upstream::new(options(vec![at(&listener)])).await.unwrap();
        let mut connection = upstream.connect(Bytes::from(vec![b'x'; body_bytes])).await.unwrap();
        let mut header = RequestHeader::build("POST", b"/", None).unwrap();
        header.insert_header("content-length", body_bytes).unwrap();
        let backend = async {
            let (mut theirs, _) = listener.accept().await.unwrap();
            let _ = theirs.read(&mut [0; 100]).await.unwrap();
            theirs.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            theirs
        };
        let gateway = async {
            connection.send(Box::new(header)).await.unwrap();
            connection.session.read_response().await.unwrap();
            assert_eq!(connection.session.resp_header().unwrap().status, 413);
            assert!(connection.session.read_body_bytes().await.unwrap().is_none());
            upstream.release(connection).await;
        };
        let (_theirs, ()) = tokio::join!(backend, gateway);
        assert_eq!(upstream.places[0].idle.take().is_some(), kept, "{body_bytes} bytes");
    }
}

#[tokio::test]
async fn addresses_take_turns_and_one_that_cannot_be_reached_is_left_out_until_it_can() {
    let (one, other) = (listening().await, listening().await);
    let down = nobody().await;
    let upstream = Upstream::new(options(vec![at(&one), down.clone(), at(&other)])).await.unwrap();
    let places = async |calls: usize| {
        let mut places = Vec::new();
        for _ in 0..calls {
            places.push(upstream.connect(Bytes::new()).await.unwrap().place);
        }
        places
    };
    assert_eq!(places(6).await, [0, 2, 2, 0, 2, 2], "in turn, and the next one where one is down");
    assert_eq!(upstream.out(), 1);
    let Address::Tcp { port, .. } = down else { unreachable!() };
    let watching = tokio::spawn(Arc::clone(&upstream).watch_health());
    let back = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    back.accept().await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), async {
        while upstream.out() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it is left out for ever");
    assert_eq!(places(3).await, [0, 1, 2]);
    watching.abort();
}

#[tokio::test]
async fn where_none_can_be_reached_each_is_tried_once() {
    let upstream = Upstream::new(options(vec![nobody().await, nobody().await])).await.unwrap();
    for _ in 0..3 {
        assert!(upstream.connect(Bytes::new()).await.is_err());
        assert_eq!(upstream.out(), 2);
        let mut passage = Passage::default();
        let mut retries = Vec::new();
        while upstream.peer(&mut passage).is_ok() {
            let mut error = pingora::Error::explain(ErrorType::ConnectRefused, "a test");
            upstream.unreachable(&mut passage, &mut error);
            retries.push(error.retry());
        }
        assert_eq!(retries, [true, false]);
    }
}

#[tokio::test]
async fn an_address_that_is_not_well_is_left_out_by_what_it_answers() {
    for (answer, is_out) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..], false),
        (&b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n"[..], false),
        (&b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"[..], true),
        (&b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"[..], true),
        (&b"nonsense\r\n\r\n"[..], true),
    ] {
        let listener = listening().await;
        let upstream = UpstreamOptions { health_path: Some("/well?".to_owned()), ..options(vec![at(&listener)]) };
        let upstream = Upstream::new(upstream).await.unwrap();
        upstream.places[0].note(is_out);
        let watching = tokio::spawn(Arc::clone(&upstream).watch_health());
        for _ in 0..2 {
            // When it is asked a second time, the first answer has counted.
            let (mut theirs, _) = listener.accept().await.unwrap();
            let mut asked = [0; 200];
            let read = theirs.read(&mut asked).await.unwrap();
            assert!(asked[..read].starts_with(b"GET /well? HTTP/1.1\r\n"));
            theirs.write_all(answer).await.unwrap();
        }
        watching.abort();
        assert_eq!(upstream.out(), usize::from(is_out), "{}", String::from_utf8_lossy(answer));
    }
}

#[tokio::test]
async fn a_unix_socket_is_an_address_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backend.sock");
    let address = Address::Unix(path.clone());
    let upstream = Upstream::new(options(vec![address])).await.unwrap();
    assert_eq!(upstream.to_string(), format!("unix:{}", path.display()));
    assert!(upstream.connect(Bytes::new()).await.is_err(), "nobody listens");
    let listener = UnixListener::bind(&path).unwrap();
    let backend = async {
        let (mut theirs, _) = listener.accept().await.unwrap();
        let mut asked = [0; 200];
        let read = theirs.read(&mut asked).await.unwrap();
        theirs.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        (String::from_utf8_lossy(&asked[..read]).into_owned(), theirs)
    };
    let gateway = async {
        let mut connection = upstream.connect(Bytes::from_static(b"body")).await.unwrap();
        let mut header = RequestHeader::build("POST", b"/", None).unwrap();
        header.insert_header("content-length", 4).unwrap();
        connection.send(Box::new(header)).await.unwrap();
        connection.session.read_response().await.unwrap();
        assert!(connection.session.read_body_bytes().await.unwrap().is_none());
        upstream.release(connection).await;
    };
    let ((asked, theirs), ()) = tokio::join!(backend, gateway);
    assert!(asked.starts_with("POST / HTTP/1.1\r\n") && asked.ends_with("\r\n\r\nbody"), "{asked}");
    assert_eq!(theirs.try_read(&mut [0; 1]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock), "it is kept");
    drop(theirs);
    assert!(upstream.places[0].idle.take().is_none(), "one that was closed is not used again");
}
