//! Pingora's hooks in the order in which they run, each naming the module that does the work, and nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;

use crate::call::{Call, new_request_id};
use crate::gateway::Gateway;
use crate::{access_log, connection, passthrough, request};

/// The proxy.
pub(crate) struct Proxy(pub(crate) Arc<Gateway>);

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Call;

    fn new_ctx(&self) -> Call {
        connection::header_is_read();
        Call::new(self.0.metrics.unknown_route(), new_request_id())
    }

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {} // Nothing is compressed: bytes pass as they are.

    async fn early_request_filter(&self, session: &mut Session, _call: &mut Call) -> pingora::Result<()> {
        connection::limit(&self.0, session);
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, call: &mut Call) -> pingora::Result<bool> {
        request::answered(&self.0, session, call).await
    }

    async fn upstream_peer(&self, _session: &mut Session, call: &mut Call) -> pingora::Result<Box<HttpPeer>> {
        self.0.upstream.peer(&mut call.passage)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        call: &mut Call,
        mut error: Box<pingora::Error>,
    ) -> Box<pingora::Error> {
        self.0.upstream.unreachable(&mut call.passage, &mut error);
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        header: &mut RequestHeader,
        call: &mut Call,
    ) -> pingora::Result<()> {
        passthrough::request(&self.0, session, header, call)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        _end: bool,
        call: &mut Call,
    ) -> pingora::Result<()> {
        passthrough::body(&self.0, call)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        header: &mut ResponseHeader,
        call: &mut Call,
    ) -> pingora::Result<()> {
        passthrough::response(session, header, call)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &pingora::Error, call: &mut Call) -> FailToProxy {
        passthrough::failed(session, error, call).await
    }

    async fn logging(&self, session: &mut Session, error: Option<&pingora::Error>, call: &mut Call) {
        access_log::write(&self.0, session, error, call);
    }

    fn suppress_error_log(&self, _session: &Session, _call: &Call, _error: &pingora::Error) -> bool {
        true // The access log has the line, with the cause.
    }
}
