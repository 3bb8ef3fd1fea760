//! Pingora with nothing added: what a proxy in this framework costs before it does anything for anybody.

use std::net::SocketAddr;
use std::thread::available_parallelism;

use async_trait::async_trait;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;

struct Bare(HttpPeer);

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(self.0.clone()))
    }
}

/// Serves until the process is ended, with a thread a core as the gateway has.
pub(crate) fn run(listen: SocketAddr, upstream: SocketAddr) -> anyhow::Result<()> {
    let conf = ServerConf { threads: available_parallelism()?.get(), ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare(HttpPeer::new(upstream, false, String::new())));
    service.add_tcp(&listen.to_string());
    server.add_service(service);
    server.run_forever()
}
