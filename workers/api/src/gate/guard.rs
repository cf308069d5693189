//! Lets a handler run: not for ever, and not over the edge.
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use http::StatusCode;

use crate::problem::Problem;

/// What became of a handler that did not answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    Late,
    Panicked,
}

/// Runs the future until it is done, panics or is late.
///
/// The timer is made only when the future has to wait at all, and it lies beyond the worker's next
/// tick, so that setting it wakes nobody.
pub(super) async fn guarded<F: Future>(future: F, deadline: Duration) -> Result<F::Output, Unanswered> {
    let mut future = pin!(future);
    let mut timer = None;
    poll_fn(|context| {
        // A handler shares nothing half-changed with the next one: what it holds is dropped with it.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Err(_panic) => Poll::Ready(Err(Unanswered::Panicked)),
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => {
                let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(deadline)));
                timer.as_mut().poll(context).map(|()| Err(Unanswered::Late))
            }
        }
    })
    .await
}

impl From<Unanswered> for Problem {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            // The panic hook has logged and counted it.
            Unanswered::Panicked => Self::internal(),
            Unanswered::Late => Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "Request timeout")
                .detail("The answer was not ready in time."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn late_and_panicking_handlers_are_answered_for() {
        let minute = Duration::from_secs(60);
        assert_eq!(guarded(async { 7 }, minute).await, Ok(7));
        assert_eq!(guarded(std::future::pending::<()>(), Duration::ZERO).await, Err(Unanswered::Late));
        let panics = async {
            tokio::task::yield_now().await;
            panic!("on purpose");
        };
        assert_eq!(
            guarded::<_>(
                async {
                    let () = panics.await;
                },
                minute
            )
            .await,
            Err(Unanswered::Panicked)
        );
    }
}
