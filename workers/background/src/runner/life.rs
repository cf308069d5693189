//! The worker's life: keys, rooms, Ready; then beat, lease, work, until the drain.
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hotline::audit::AuditClient;
use hotline::board::{Board, WorkerPhase};
use hotline::config::Config;
use hotline::lifecycle::{ExitCode, clock};
use hotline::sys;
use hotline::telemetry::names;
use hotline::vault::{KeyClass, Vault};
use hotline::wire::{LiveEvent, Slot};
use hotline::worker::{Control, Entered, Incoming};
use hotline_domain::Domain;
use hotline_domain::calls::HeldCall;
use hotline_domain::policy::Access;
use hotline_domain::store::StoreError;
use hotline_domain::triage::Triage;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::job::Ended;
use super::models::Models;
use super::reseal::Reseal;
use super::{first_administrator, job};

/// Everything a job needs.
pub(super) struct Rooms {
    pub(super) config: Config,
    pub(super) domain: Domain,
    pub(super) audit: AuditClient,
    pub(super) board: Arc<Board>,
    pub(super) triage: Arc<Triage>,
    pub(super) models: Models,
    pub(super) publish: Box<dyn Fn(LiveEvent) + Send + Sync>,
    /// Names this worker in leases: slot and generation, so that a successor is somebody else.
    pub(super) owner: String,
    pub(super) slot: Slot,
    /// An attempt that does not move for this long is given up, and its process with it.
    pub(super) standstill_max: Duration,
    /// Held by every thread that works.
    pub(super) running: Arc<()>,
}

/// Works until the supervisor says otherwise.
pub fn run(entered: Entered) -> ExitCode {
    if let Err(error) = sys::run_nicely(NICENESS) {
        tracing::warn!(%error, "could not lower the priority of background work");
    }
    match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime.block_on(live(entered)),
        Err(error) => fail(ExitCode::TryLater, "could not start the runtime", &error),
    }
}

async fn live(entered: Entered) -> ExitCode {
    let Entered { welcome, board, mut control, .. } = entered;
    let config = welcome.config;
    let triage = match Triage::load(&config.paths.knowledge_dir) {
        Ok(triage) => Arc::new(triage),
        Err(error) => return fail(ExitCode::BadConfig, "no knowledge base", &error),
    };
    let vault = match keys(&mut control) {
        Ok(vault) => Arc::new(vault),
        Err(error) => return fail(ExitCode::TryLater, "no keys", &error),
    };
    let access = match Access::load(&config.policy.files) {
        Ok(access) => access,
        Err(error) => return fail(ExitCode::BadConfig, "no policies", &error),
    };
    let domain = match Domain::open(&config, vault, access) {
        Ok(domain) => domain,
        Err(error) => return fail(ExitCode::TryLater, "no store", &error),
    };
    let owner = format!("{}@{:016x}.{}", welcome.slot, welcome.boot_id, welcome.generation);
    let audit = AuditClient::connect(&config.paths.run_dir, owner.clone(), &config.audit);
    let (leave, leaving) = watch::channel(None);
    let control = control.serve(move |message| {
        if let Incoming::Drain { deadline_ms, .. } = message {
            leave.send_replace(Some(deadline_ms));
        }
    });
    if let Err(error) = first_administrator::ensure(&config.paths, &domain, &audit).await {
        return fail(error.exit_code(), "no first administrator", &error);
    }
    let taken_back = if welcome.has_predecessor {
        // It finishes what it holds.
        Ok(0)
    } else {
        domain.calls.take_back(&welcome.slot.to_string(), &owner).await
    };
    match taken_back {
        Ok(0) => {}
        Ok(calls) => tracing::warn!(calls, "took back what an earlier worker in this slot held"),
        Err(error) => tracing::warn!(%error, "could not take anything back; leases run out by themselves"),
    }
    if let Err(error) = domain.subjects.finish().await {
        tracing::warn!(%error, "could not remove what an erasure has left; it goes with recordings that belong to no call");
    }
    let models = Models::load_in_background(&config, Arc::clone(&triage));
    let publisher = control.clone();
    let rooms = Arc::new(Rooms {
        config,
        domain,
        audit,
        board,
        triage,
        models,
        publish: Box::new(move |event| publisher.publish(event)),
        owner,
        slot: welcome.slot,
        standstill_max: STANDSTILL_MAX,
        running: Arc::default(),
    });
    rooms.board.cell(rooms.slot.cell).set_phase(WorkerPhase::Serving);
    control.ready();
    let code = serve(&rooms, leaving).await;
    flush(&rooms.audit).await;
    if code == ExitCode::Clean {
        control.drained();
    }
    // Not waiting for blocking threads: an engine that does not stop must not hold up the exit.
    code.exit()
}

fn keys(control: &mut Control) -> std::io::Result<Vault> {
    let classes = [KeyClass::Case, KeyClass::Call, KeyClass::BlindIndex, KeyClass::Person];
    let keys = classes.into_iter().map(|class| Ok((class, control.key(class)?)));
    Ok(Vault::new(keys.collect::<std::io::Result<Vec<_>>>()?))
}

/// The heartbeat comes from here, the loop that leases: if it stands still, so does the work.
pub(super) async fn serve(rooms: &Arc<Rooms>, mut leaving: watch::Receiver<Option<u64>>) -> ExitCode {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut working: Option<JoinHandle<Ended>> = None;
    let mut reseal = Reseal::new();
    let mut count = 0u64;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = leaving.changed() => {}
            ended = ended(&mut working) => {
                working = None;
                count = 0; // the queue has changed: count it on this round
                match ended {
                    Ok(Ended::Settled) => {}
                    Ok(Ended::StandsStill) => return ExitCode::Bug,
                    // The lease runs out and the call is begun again.
                    Err(error) => tracing::error!(panicked = error.is_panic(), "a job ended badly"),
                }
            }
        }
        let now_ms = clock::now_ms();
        rooms.board.cell(rooms.slot.cell).beat(now_ms);
        // Copied: who holds the guard keeps the control thread from giving orders.
        let ordered = *leaving.borrow();
        if let Some(deadline_ms) = ordered {
            return drain(rooms, working, deadline_ms).await;
        }
        // A call that is taken up while it cannot be heard would use up its attempts.
        if working.is_none() && rooms.models.speech().is_some() {
            working = next_call(rooms).await.map(|held| start(rooms, held, leaving.clone()));
        }
        let busy_permille = if working.is_some() { 1_000 } else { 0 };
        rooms.board.cell(rooms.slot.cell).busy_permille().store(busy_permille, Ordering::Relaxed);
        if count.is_multiple_of(COUNT_TICKS) {
            look_after(rooms).await;
        }
        // What one worker does for all.
        if rooms.slot.index == 0 {
            reseal.turn(&rooms.domain.sealed, Instant::now()).await;
            if count.is_multiple_of(UPKEEP_TICKS) {
                tidy_up(&rooms.domain).await;
            }
        }
        count += 1;
    }
}

async fn ended(working: &mut Option<JoinHandle<Ended>>) -> Result<Ended, tokio::task::JoinError> {
    match working {
        Some(handle) => handle.await,
        None => std::future::pending().await,
    }
}

async fn next_call(rooms: &Rooms) -> Option<HeldCall> {
    match rooms.domain.calls.lease(&rooms.owner).await {
        Ok(held) => held,
        Err(StoreError::Busy) => None,
        Err(error) => {
            tracing::error!(%error, "could not look for a call");
            None
        }
    }
}

fn start(rooms: &Arc<Rooms>, held: HeldCall, leaving: watch::Receiver<Option<u64>>) -> JoinHandle<Ended> {
    let rooms = Arc::clone(rooms);
    tokio::spawn(async move { job::see_through(&rooms, held, leaving).await })
}

async fn look_after(rooms: &Rooms) {
    let Ok(counts) = rooms.domain.calls.counts().await else { return };
    for (state, count) in [("ready", counts.ready), ("leased", counts.leased), ("dead", counts.dead)] {
        metrics::gauge!(names::JOBS, "state" => state).set(count as f64);
    }
    let cell = rooms.board.cell(rooms.slot.cell);
    cell.backlog().store(counts.ready + counts.leased, Ordering::Relaxed);
    // A job may be ready for a later time, after a failure.
    let due = counts.due_since_ms.filter(|since| *since <= clock::now_ms().cast_signed());
    cell.waiting_since_ms().store(due.map_or(0, i64::cast_unsigned), Ordering::Relaxed);
    cell.set_degraded(!rooms.models.are_ready());
}

async fn tidy_up(domain: &Domain) {
    if let Err(error) = domain.sessions.purge().await {
        tracing::warn!(%error, "could not forget ended sessions");
    }
    if let Err(error) = domain.people.forget_tries().await {
        tracing::warn!(%error, "could not forget old tries to log in");
    }
    // One folder a time: all of them every quarter of an hour or so.
    let folder = (clock::now_ms() / UPKEEP_MS % 256) as u8;
    match domain.calls.sweep(folder).await {
        Ok(0) => {}
        Ok(recordings) => tracing::warn!(recordings, "removed recordings that belong to no call"),
        Err(error) => tracing::warn!(%error, "could not look for recordings that belong to no call"),
    }
    match domain.evidence.sweep(folder).await {
        Ok(0) => {}
        Ok(files) => tracing::warn!(files, "removed files that are no evidence"),
        Err(error) => tracing::warn!(%error, "could not look for files that are no evidence"),
    }
}

/// The job hears of the drain itself, stops the engine and gives the call back.
async fn drain(rooms: &Rooms, working: Option<JoinHandle<Ended>>, deadline_ms: u64) -> ExitCode {
    rooms.board.cell(rooms.slot.cell).set_phase(WorkerPhase::Draining);
    let within = Duration::from_millis(deadline_ms).mul_f64(0.6);
    let at_ease = async {
        if let Some(working) = working {
            let _ = working.await;
        }
        // The engine hears of it within a step; exiting under it would be rude to its memory.
        while Arc::strong_count(&rooms.running) > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(within, at_ease).await.is_err() {
        tracing::warn!("an engine did not stop in time");
    }
    ExitCode::Clean
}

async fn flush(audit: &AuditClient) {
    let audit = audit.clone();
    let flushed = tokio::task::spawn_blocking(move || audit.flush_blocking(Duration::from_secs(1))).await;
    if !flushed.unwrap_or(false) {
        tracing::error!("audit records were not acknowledged before the end");
    }
}

fn fail(code: ExitCode, what: &'static str, error: &dyn std::error::Error) -> ExitCode {
    tracing::error!(%error, "{what}");
    code
}

/// How late a new call may be noticed.
const TICK: Duration = Duration::from_millis(250);
/// Longer than the slowest step of the engine, and than decoding the longest recording.
const STANDSTILL_MAX: Duration = Duration::from_secs(900);
/// How often the queue is counted; after a job that ended, at once.
const COUNT_TICKS: u64 = 4;
const UPKEEP_TICKS: u64 = 20;
const UPKEEP_MS: u64 = UPKEEP_TICKS * TICK.as_millis() as u64;
const NICENESS: i32 = 10;
