//! A request's body on its way in: counted, and given up when it stalls.
//!
//! Timers exist only while we wait for the caller; a body that is already there costs none.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::Connection;
use crate::problem::Problem;
use http::StatusCode;

/// Why a body is not read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntakeError {
    #[error("could not take more than {bytes_max} bytes")]
    TooLarge { bytes_max: u64 },
    #[error("could not wait any longer for the body")]
    Stalled,
    #[error("could not read the body")]
    Broken(#[source] hyper::Error),
}

/// The body with its bounds.
pub(crate) struct Intake {
    /// Taken only when this is dropped.
    body: Option<Incoming>,
    left: u64,
    bytes_max: u64,
    idle: Duration,
    /// No byte is taken after this.
    deadline: Option<Instant>,
    overall: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// Told when the body was dropped unread, so that the answer survives.
    connection: Option<Arc<Connection>>,
    ended: bool,
}

impl Intake {
    pub(crate) fn new(
        body: Incoming,
        bytes_max: u64,
        idle: Duration,
        overall: Duration,
        connection: &Arc<Connection>,
    ) -> Self {
        let ended = body.is_end_stream();
        let connection = (!ended).then(|| Arc::clone(connection));
        let body = Some(body);
        Self { body, left: bytes_max, bytes_max, idle, deadline: None, overall, timer: None, connection, ended }
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let timer = match &mut self.timer {
            Some(timer) => timer,
            None => {
                let now = Instant::now();
                let deadline = *self.deadline.get_or_insert(now + self.overall);
                let wake = deadline.min(now + self.idle);
                self.timer.insert(Box::pin(tokio::time::sleep_until(wake)))
            }
        };
        timer.as_mut().poll(context)
    }
}

impl Body for Intake {
    type Data = Bytes;
    type Error = IntakeError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, IntakeError>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let frame = match Pin::new(body).poll_frame(context) {
            Poll::Pending => {
                return this.poll_timer(context).map(|()| Some(Err(IntakeError::Stalled)));
            }
            Poll::Ready(frame) => frame,
        };
        this.timer = None;
        match frame {
            None => {
                this.ended = true;
                Poll::Ready(None)
            }
            Some(Err(error)) => Poll::Ready(Some(Err(IntakeError::Broken(error)))),
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match this.left.checked_sub(length) {
                    Some(left) => this.left = left,
                    None => return Poll::Ready(Some(Err(IntakeError::TooLarge { bytes_max: this.bytes_max }))),
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        if self.ended || self.is_end_stream() {
            return;
        }
        if let Some(connection) = self.connection.take() {
            connection.linger();
        }
        // Dropped at once, an HTTP/2 stream would be reset before its answer is out.
        if let (Some(body), Ok(runtime)) = (self.body.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(LINGER_TIME, discard(body)));
        }
    }
}

/// Reads on for the sake of the answer, not of the body.
async fn discard(mut body: Incoming) {
    let mut left = LINGER_BYTES_MAX;
    while let Some(Ok(frame)) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}

impl IntakeError {
    pub(crate) fn problem(&self) -> Problem {
        match self {
            Self::TooLarge { bytes_max } => Problem::too_large(*bytes_max),
            Self::Stalled => Problem::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", "Request timeout")
                .detail("The body did not arrive in time."),
            Self::Broken(_) => Problem::bad_request("broken-body", "The body ended before it was complete."),
        }
    }
}

/// An unread body is read on for so long, or so far, while its answer goes out.
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 1 << 20;
