//! One connection from handshake to farewell.
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::introduction::{self, Introduced};
use super::registry::{Order, Place};
use super::watched::Watched;
use super::{Connection, Intake};
use crate::app::Shared;
use crate::gate::{self, Route};
use crate::meters::Phase;

/// How the protocol in use is told to finish.
trait Farewell: Future {
    /// Says that it leaves before it does, so that no request is lost on its way (GOAWAY).
    const ANNOUNCES: bool;

    fn leave(self: Pin<&mut Self>);
}

/// Serves until the caller leaves, is told to leave, or has to go.
pub(super) async fn serve(app: Shared, acceptor: TlsAcceptor, socket: TcpStream, place: Place) {
    let connection = Arc::clone(place.connection());
    app.meters.phase(Phase::Accept, connection.opened.elapsed());
    let mut socket = socket;
    if app.config.server.proxy_protocol && app.trusted_proxies.holds(connection.peer) {
        match hear_introduction(&app, &mut socket).await {
            Some(Introduced::Caller(caller)) => connection.introduce(caller),
            Some(Introduced::Itself) => {}
            None => return app.meters.refused("introduction"),
        }
    }
    let Some(stream) = shake_hands(&app, &acceptor, socket).await else { return };
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(Watched::new(stream, place, Arc::clone(&app)));
    let service = {
        let (app, connection) = (Arc::clone(&app), Arc::clone(&connection));
        service_fn(move |request| answer(Arc::clone(&app), Arc::clone(&connection), request))
    };
    let limits = &app.config.limits;
    // The gate refuses above `header_bytes_max` with a whole answer; the protocol's own bare refusal
    // stands behind it.
    let header_bytes_hard_max = limits.header_bytes_max.saturating_mul(4).max(64 * 1024);
    if is_h2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.http2_streams_max)
            .max_header_list_size(header_bytes_hard_max)
            .max_pending_accept_reset_streams(20)
            .max_local_error_reset_streams(64)
            .max_send_buf_size(256 * 1024)
            .keep_alive_interval(Duration::from_millis(limits.keep_alive_ms))
            .keep_alive_timeout(Duration::from_millis(limits.header_read_deadline_ms));
        obey(&connection, builder.serve_connection(io, service)).await;
    } else {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            // The sweep looks after slow heads; hyper's own timer would also cut idle keep-alive short.
            .header_read_timeout(None)
            .max_headers(usize::try_from(limits.header_count_max).unwrap_or(usize::MAX).saturating_mul(2))
            .max_buf_size(usize::try_from(header_bytes_hard_max).unwrap_or(usize::MAX));
        obey(&connection, builder.serve_connection(io, service).with_upgrades()).await;
    }
}

/// For whom a proxy speaks; `None` if it does not say so in time.
async fn hear_introduction(app: &Shared, socket: &mut TcpStream) -> Option<Introduced> {
    let hear = async {
        let mut fixed = [0; introduction::FIXED_BYTES];
        socket.read_exact(&mut fixed).await.ok()?;
        let mut rest = vec![0; introduction::rest_bytes(&fixed)?];
        socket.read_exact(&mut rest).await.ok()?;
        introduction::parse(&fixed, &rest)
    };
    tokio::time::timeout(Duration::from_millis(app.config.tls.handshake_deadline_ms), hear).await.ok()?
}

async fn shake_hands(
    app: &Shared,
    acceptor: &TlsAcceptor,
    socket: TcpStream,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    let deadline = Duration::from_millis(app.config.tls.handshake_deadline_ms);
    let begun = Instant::now();
    match tokio::time::timeout(deadline, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => {
            let resumed = stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
            let meter = if resumed { &app.meters.handshakes_resumed } else { &app.meters.handshakes_full };
            meter.increment(1);
            app.meters.phase(Phase::Handshake, begun.elapsed());
            Some(stream)
        }
        Ok(Err(error)) => {
            app.meters.handshakes_failed.increment(1);
            tracing::debug!(%error, "handshake failed");
            None
        }
        Err(_late) => {
            app.meters.handshakes_failed.increment(1);
            None
        }
    }
}

async fn obey<C: Farewell>(connection: &Connection, serving: C) {
    let mut serving = pin!(serving);
    let mut obeyed = None;
    loop {
        tokio::select! {
            biased;
            _ended = &mut serving => return,
            order = connection.next_order(obeyed) => match order {
                Order::Close => return,
                order => {
                    if order == Order::Leave || C::ANNOUNCES || !connection.is_idle() {
                        serving.as_mut().leave();
                    }
                    obeyed = Some(order);
                }
            },
        }
    }
}

async fn answer(app: Shared, connection: Arc<Connection>, request: Request<Incoming>) -> Result<Response, Infallible> {
    let limits = &app.config.limits;
    let route = Route::of(request.uri().path());
    let request = request.map(|body| {
        if hyper::body::Body::is_end_stream(&body) {
            return Body::empty();
        }
        let idle = Duration::from_millis(limits.body_idle_deadline_ms);
        let overall = Duration::from_millis(route.body_deadline_ms(limits));
        // Counted again, exactly, by whoever reads it; this bound is for bodies nobody asked for.
        let bytes_max = route.body_bytes_max(limits).max(limits.audio_bytes_max) + gate::FORM_OVERHEAD_BYTES;
        Body::new(Intake::new(body, bytes_max, idle, overall, &connection))
    });
    Ok(gate::handle(&app, &connection, request).await)
}

impl<I, S> Farewell for http1::UpgradeableConnection<I, S>
where
    S: hyper::service::HttpService<Incoming>,
    Self: Future,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::ResBody: hyper::body::Body + 'static,
    <S::ResBody as hyper::body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    const ANNOUNCES: bool = false;

    fn leave(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, E> Farewell for http2::Connection<I, S, E>
where
    Self: Future,
    S: hyper::service::HttpService<Incoming>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::ResBody: hyper::body::Body + 'static,
    <S::ResBody as hyper::body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, S::ResBody>,
{
    const ANNOUNCES: bool = true;

    fn leave(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
