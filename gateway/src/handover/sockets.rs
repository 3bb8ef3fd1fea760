//! Sockets over a Unix socket, as the system passes them (`SCM_RIGHTS`). It must never take more than it asked for.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Sockets that go at once, at most.
const SOCKETS_MAX: usize = 2;
/// The text beside them, in bytes at most.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// Sends a text and the sockets beside it.
pub(super) async fn send(stream: &mut UnixStream, text: &[u8], sockets: &[OwnedFd]) -> io::Result<()> {
    let sent = stream
        .async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
            let mut beside = SendAncillaryBuffer::new(&mut space);
            let descriptors: Vec<_> = sockets.iter().map(|socket| socket.as_fd()).collect();
            if !beside.push(SendAncillaryMessage::ScmRights(&descriptors)) {
                return Err(io::Error::other("more sockets than go at once"));
            }
            Ok(sendmsg(&*stream, &[IoSlice::new(text)], &mut beside, SendFlags::NOSIGNAL)?)
        })
        .await?;
    // So little always goes at once.
    if sent == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// The text and the listening sockets that were sent.
pub(super) async fn receive(stream: &mut UnixStream) -> io::Result<(String, Vec<TcpListener>)> {
    stream
        .async_io(Interest::READABLE, || {
            let mut text = [0; TEXT_BYTES_MAX];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
            let mut beside = RecvAncillaryBuffer::new(&mut space);
            let read = recvmsg(&*stream, &mut [IoSliceMut::new(&mut text)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
            let mut listeners = Vec::new();
            for message in beside.drain() {
                if let RecvAncillaryMessage::ScmRights(sockets) = message {
                    listeners.extend(sockets.map(TcpListener::from));
                }
            }
            let text = text.get(..read.bytes).unwrap_or_default();
            Ok((String::from_utf8_lossy(text).into_owned(), listeners))
        })
        .await
}
