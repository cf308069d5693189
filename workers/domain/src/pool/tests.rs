//! A pool with real threads: it grows under load, refuses beyond its queue, shrinks when calm, ends.
use std::sync::mpsc;

use super::*;
use crate::testing::block_on;

fn pool(config: config::Pool) -> Pool {
    Pool::start("test", &config).unwrap()
}

const QUICK: config::Pool =
    config::Pool { threads_min: 1, threads_max: 3, queue_max: 4, grow_after_ms: 1, shrink_after_ms: 20 };

fn until(condition: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < patience, "the pool never came that far");
        thread::yield_now();
    }
}

/// A job that says when it begins and holds its thread until the returned sender is dropped.
fn hold(pool: &Pool) -> (mpsc::Sender<()>, mpsc::Receiver<()>, impl Future<Output = Result<(), PoolError>> + use<>) {
    let (release, held) = mpsc::channel::<()>();
    let (begins, begun) = mpsc::channel();
    let pool = pool.clone();
    let work = move || {
        let _ = begins.send(());
        let _ = held.recv();
    };
    (release, begun, async move { pool.run(work).await })
}

#[test]
fn waiting_jobs_get_threads_and_calm_takes_them_back() {
    let pool = pool(QUICK);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let inside = Arc::clone(&pool.owner.inside);
    runtime.block_on(async {
        let mut releases = Vec::new();
        let mut jobs = Vec::new();
        // Jobs that hold every thread there is; the next ones wait until there is one more.
        while inside.state.lock().scaling.threads() < 3 {
            let waits = inside.state.lock().queue.len();
            if waits < QUICK.queue_max as usize {
                let (release, _begun, job) = hold(&pool);
                releases.push(release);
                jobs.push(tokio::spawn(job));
            } else {
                // The queue is full of jobs that wait: one that ends lets the next one tell its delay.
                drop(releases.remove(0));
                let full = || inside.state.lock().queue.len() >= QUICK.queue_max as usize;
                until(|| !full() || inside.state.lock().scaling.threads() == 3);
            }
            tokio::task::yield_now().await;
        }
        drop(releases);
        for job in jobs {
            let ended = job.await.unwrap();
            assert!(matches!(ended, Ok(()) | Err(PoolError::Full { .. })));
        }
    });
    until(|| inside.state.lock().scaling.threads() == 1);
}

#[test]
fn a_full_queue_refuses_with_when_to_come_back_and_loses_nothing() {
    let pool = pool(config::Pool { threads_max: 1, queue_max: 1, ..QUICK });
    let inside = Arc::clone(&pool.owner.inside);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (release, begun, first) = hold(&pool);
        let first = tokio::spawn(first);
        while begun.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        let waits = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(|| 7).await }
        });
        while inside.state.lock().queue.is_empty() {
            tokio::task::yield_now().await;
        }
        let refused = pool.run(|| 8).await;
        assert!(matches!(refused, Err(PoolError::Full { retry_after }) if retry_after >= Duration::from_secs(1)));
        drop(release);
        assert_eq!(first.await.unwrap(), Ok(()));
        assert_eq!(waits.await.unwrap(), Ok(7));
    });
}

#[test]
fn a_panic_costs_its_own_job_only_and_threads_end_with_the_pool() {
    let pool = pool(QUICK);
    let inside = Arc::downgrade(&pool.owner.inside);
    assert_eq!(block_on(pool.run(|| panic!("on purpose"))), Err::<(), _>(PoolError::Lost));
    assert_eq!(block_on(pool.run(|| 7)), Ok(7));
    drop(pool);
    until(|| inside.upgrade().is_none());
}
