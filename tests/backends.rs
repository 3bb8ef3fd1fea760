//! Where the backend is: several addresses, a Unix socket, and one that is down.

use tokio::net::{TcpListener, TcpStream, UnixListener};

use crate::world::{World, until};

async fn pages_and_calls_pass(world: &World, rounds: usize) {
    for round in 0..rounds {
        let answer = world.call("acme", "ann").await;
        assert_eq!(answer.status, 200, "call {round}: {}", answer.text());
        let page = world.request("GET", "/elsewhere").send().await;
        assert_eq!(page.status, 200, "page {round}: {}", page.text());
        let upload = world.request("POST", "/elsewhere").body(vec![b'x'; 100_000]).send().await;
        assert_eq!(upload.status, 200, "upload {round}: {}", upload.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_address_is_down_calls_and_pages_go_to_the_next_one() {
    let mut world = World::start().await;
    let down = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let up = world.backend.address();
    world.set("UPSTREAM__URL", &format!("[\"http://{down}\", \"http://{up}\"]"));
    world.restart().await;
    pages_and_calls_pass(&world, 4).await;
    assert_eq!(world.backend.calls(), 4, "each was sent once");
    until("it is counted", async || world.metrics().await.contains("\ngateway_backend_addresses_out 1\n")).await;

    world.set("UPSTREAM__URL", &format!("[\"http://{down}\", \"http://localhost:{}\"]", down.port()));
    world.restart().await;
    assert_eq!(world.call("acme", "ann").await.refusal(), (502, "upstream_unavailable".to_owned()));
    assert_eq!(world.request("GET", "/elsewhere").send().await.refusal().0, 502);
    assert_eq!(world.counter("acme").await["held"], 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_carries_calls_and_pages() {
    let mut world = World::start().await;
    let (path, backend) = (world.folder().path().join("backend.sock"), world.backend.address());
    let listener = UnixListener::bind(&path).unwrap();
    let passing = tokio::spawn(async move {
        loop {
            let (mut unix, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut tcp = TcpStream::connect(backend).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut unix, &mut tcp).await;
            });
        }
    });
    world.set("UPSTREAM__URL", &format!("unix:{}", path.display()));
    world.restart().await;
    pages_and_calls_pass(&world, 3).await;
    world.end().await;
    passing.abort();
}
