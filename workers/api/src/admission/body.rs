//! A body that is being waited for does not hold a place at work: whoever sends slowly waits by himself.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::{Admission, Ticket};

struct Patient {
    body: Body,
    admission: Arc<Admission>,
    ticket: Ticket,
    rests: bool,
}

/// The same body, for a request with this ticket.
pub(crate) fn patient(body: Body, admission: &Arc<Admission>, ticket: Ticket) -> Body {
    match hyper::body::Body::is_end_stream(&body) {
        true => body,
        false => Body::new(Patient { body, admission: Arc::clone(admission), ticket, rests: false }),
    }
}

impl Patient {
    fn resume(&mut self) {
        if std::mem::take(&mut self.rests) {
            self.admission.line.lock().resume(self.ticket, Instant::now());
        }
    }
}

impl hyper::body::Body for Patient {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(_) => self.resume(),
            Poll::Pending if !self.rests => {
                let now = Instant::now();
                let rests = self.admission.line.lock().rest(self.ticket, now);
                self.rests = rests;
                self.admission.call_next(now);
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        hyper::body::Body::is_end_stream(&self.body)
    }

    fn size_hint(&self) -> SizeHint {
        hyper::body::Body::size_hint(&self.body)
    }
}

impl Drop for Patient {
    fn drop(&mut self) {
        self.resume();
    }
}
