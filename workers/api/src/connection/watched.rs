//! A connection's bytes, watched: who sent something when, how much went each way, and a decent end.
//!
//! An answer that went out before the request's body was read would be lost if the socket were closed
//! over unread bytes (the kernel answers those with a reset). So such a socket is read on for a while.
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::registry::Place;
use crate::app::Shared;
use crate::meters::Phase;

/// A TLS stream that keeps its connection's [`Place`] until it is dropped.
pub(super) struct Watched {
    stream: Option<TlsStream<TcpStream>>,
    place: Place,
    app: Shared,
}

impl Watched {
    pub(super) fn new(stream: TlsStream<TcpStream>, place: Place, app: Shared) -> Self {
        app.meters.connections.increment(1.0);
        Self { stream: Some(stream), place, app }
    }

    fn stream(&mut self) -> Pin<&mut TlsStream<TcpStream>> {
        Pin::new(self.stream.as_mut().expect("the stream is taken only by drop"))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.app.meters.connections.decrement(1.0);
        if let Some(stream) = self.stream.take().filter(|_| self.place.connection().lingers()) {
            tokio::spawn(linger(stream.into_inner().0));
        }
    }
}

/// Lets the peer finish saying what nobody reads, so that it gets to read our answer.
async fn linger(mut socket: TcpStream) {
    let discard = async {
        let (mut scratch, mut left) = (vec![0; 16 * 1024], LINGER_BYTES_MAX);
        while let Ok(read @ 1..) = socket.read(&mut scratch).await {
            left = left.saturating_sub(read);
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, discard).await;
    let _ = socket2::SockRef::from(&socket).shutdown(Shutdown::Both);
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = self.stream().poll_read(context, into);
        let read = into.filled().len() - before;
        if read > 0 {
            self.place.connection().received(self.app.coarse_ms());
            self.app.meters.bytes_in.increment(read as u64);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = self.stream().poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = polled {
            self.app.meters.bytes_out.increment(written as u64);
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = self.stream().poll_write_vectored(context, slices);
        if let Poll::Ready(Ok(written)) = polled {
            self.app.meters.bytes_out.increment(written as u64);
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.stream().poll_flush(context);
        if let (Poll::Ready(Ok(())), Some(took)) = (&polled, self.place.connection().flushed()) {
            self.app.meters.phase(Phase::Write, took);
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }
}

/// What a caller may still have on the way when it is refused.
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;
const LINGER: Duration = Duration::from_secs(5);
