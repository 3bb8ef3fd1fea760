//! The socket, between two ends of a real connection.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

fn to_client(tcp: TcpStream) -> io::Result<Socket> {
    Socket::new(tcp.into(), Send::HeaderWithBody)
}

async fn pair(of: fn(TcpStream) -> io::Result<Socket>) -> (Socket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (of(ours.unwrap()).unwrap(), theirs.unwrap().0)
}

async fn has_come(theirs: &TcpStream) -> bool {
    let mut byte = [0];
    let came = tokio::time::timeout(std::time::Duration::from_millis(50), theirs.peek(&mut byte)).await;
    matches!(came, Ok(Ok(1)))
}

#[tokio::test]
async fn a_header_waits_for_its_body_and_nothing_else_waits() {
    let (mut ours, mut theirs) = pair(to_client).await;
    let mut all = [0; 64];
    ours.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    assert!(!has_come(&theirs).await);
    ours.write_all(b"body").await.unwrap();
    let read = theirs.read(&mut all).await.unwrap();
    assert_eq!(&all[..read], b"HTTP/1.1 200 OK\r\n\r\nbody", "in one piece");
    ours.write_all(b"more").await.unwrap();
    assert!(has_come(&theirs).await, "unasked");
    let read = theirs.read(&mut all).await.unwrap();
    assert_eq!(&all[..read], b"more");

    ours.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    ours.flush().await.unwrap();
    let read = theirs.read(&mut all).await.unwrap();
    assert_eq!(&all[..read], b"HTTP/1.1 204 No Content\r\n\r\n");
}

#[tokio::test]
async fn a_header_goes_out_when_its_client_is_listened_to() {
    let (mut ours, mut theirs) = pair(to_client).await;
    ours.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let mut byte = [0];
    let listening = tokio::time::timeout(std::time::Duration::from_millis(20), ours.read(&mut byte)).await;
    assert!(listening.is_err(), "the client says nothing");
    let mut all = [0; 64];
    let read = tokio::time::timeout(std::time::Duration::from_secs(5), theirs.read(&mut all)).await;
    assert_eq!(&all[..read.expect("the header waits").unwrap()], b"HTTP/1.1 200 OK\r\n\r\n");
}

#[tokio::test]
async fn a_chunk_goes_out_with_the_header_before_it() {
    let (mut ours, mut theirs) = pair(to_client).await;
    ours.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    let mut chunk = bytes::Buf::chain(&b"4\r\n"[..], bytes::Buf::chain(&b"data"[..], &b"\r\n"[..]));
    ours.write_all_buf(&mut chunk).await.unwrap();
    let mut all = [0; 64];
    let read = theirs.read(&mut all).await.unwrap();
    assert_eq!(&all[..read], b"HTTP/1.1 200 OK\r\n\r\n4\r\ndata\r\n", "in one piece");
}

#[tokio::test]
async fn a_backend_gets_a_request_when_its_answer_is_awaited() {
    let (mut ours, mut theirs) = pair(Socket::to_backend).await;
    ours.write_all(b"header ").await.unwrap();
    ours.flush().await.unwrap();
    ours.write_all(b"body").await.unwrap();
    assert!(!has_come(&theirs).await);
    let backend = async {
        let mut all = [0; 64];
        let read = theirs.read(&mut all).await.unwrap();
        assert_eq!(&all[..read], b"header body", "in one piece");
        theirs.write_all(b"answer").await.unwrap();
    };
    let mut answer = [0; 6];
    let (read, ()) = tokio::join!(ours.read_exact(&mut answer), backend);
    assert_eq!((read.unwrap(), &answer), (6, b"answer"));
}

#[tokio::test]
async fn an_early_answer_is_read_while_the_body_waits_and_nothing_may_follow_it() {
    let (ours, mut theirs) = pair(Socket::to_backend).await;
    let mut ours = ours.with_body(Bytes::from(vec![b'x'; 16 << 20]));
    ours.write_all(b"header").await.unwrap();
    theirs.write_all(b"413").await.unwrap();
    let mut answer = [0; 3];
    ours.read_exact(&mut answer).await.unwrap();
    assert_eq!((&answer, ours.is_done()), (b"413", false));
}

#[tokio::test]
async fn a_request_is_done_when_its_whole_body_is_sent() {
    let (ours, mut theirs) = pair(Socket::to_backend).await;
    let mut ours = ours.with_body(Bytes::from_static(b"body"));
    ours.write_all(b"header ").await.unwrap();
    assert!(!ours.is_done());
    let backend = async {
        let mut all = [0; 11];
        theirs.read_exact(&mut all).await.unwrap();
        assert_eq!(&all, b"header body");
        theirs.write_all(b"answer").await.unwrap();
    };
    let mut answer = [0; 6];
    let (read, ()) = tokio::join!(ours.read_exact(&mut answer), backend);
    read.unwrap();
    assert!(ours.is_done());
}

#[tokio::test]
async fn long_writes_arrive_whole_and_in_order_however_they_are_cut() {
    let both: [fn(TcpStream) -> io::Result<Socket>; 2] = [to_client, Socket::to_backend];
    for of in both {
        let (mut ours, mut theirs) = pair(of).await;
        let sizes = [1, 100, GATHERED_BYTES_MAX - 101, 1, GATHERED_BYTES_MAX, GATHERED_BYTES_MAX + 1, 1 << 20, 3];
        let sent: Vec<u8> = (0..sizes.iter().sum()).map(|n: usize| u8::try_from(n % 251).unwrap()).collect();
        let writing = async {
            let mut rest = sent.as_slice();
            for size in sizes {
                ours.write_all(&rest[..size]).await.unwrap();
                rest = &rest[size..];
            }
            std::future::poll_fn(|cx| ours.poll_send(cx)).await.unwrap();
            drop(ours);
        };
        let mut received = Vec::new();
        let ((), read) = tokio::join!(writing, theirs.read_to_end(&mut received));
        read.unwrap();
        assert!(received == sent);
    }
}

#[tokio::test]
async fn an_answer_is_read_though_the_request_can_no_longer_be_written() {
    let (mut ours, mut theirs) = pair(Socket::to_backend).await;
    theirs.write_all(b"413").await.unwrap();
    ours.write_all(b"a request").await.unwrap();
    let mut answer = [0; 3];
    ours.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"413");
}
