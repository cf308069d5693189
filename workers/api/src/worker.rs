//! The worker's life: keys, store, first accept, Ready; a tick twice a second; drain, and a clean exit.
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hotline::audit::AuditClient;
use hotline::board::WorkerPhase;
use hotline::config::TokenAlgorithm;
use hotline::lifecycle::ExitCode;
use hotline::sys;
use hotline::vault::{KeyClass, Vault};
use hotline::wire::{AdminCall, AdminReply};
use hotline::worker::{Control, ControlSender, Entered, Incoming};
use hotline_domain::Domain;
use hotline_domain::policy::Access;
use hotline_domain::triage::Triage;
use hotline_passkeys::Ceremonies;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::app::{App, Parts, Shared};
use crate::busy::Busy;
use crate::connection::{Doors, accept_until_drained};
use crate::duties;
use crate::gate::{Tokens, lives};
use crate::live::{self, Farewell};
use crate::routes;
use crate::tls::{Identity, Tickets};
use crate::trail;

/// Serves until the supervisor says otherwise.
pub(crate) fn run(entered: Entered) -> ExitCode {
    let cpu = usize::from(entered.welcome.slot.index) % std::thread::available_parallelism().map_or(1, Into::into);
    if entered.welcome.config.workers.pin
        && let Err(error) = sys::pin_to_cpu(cpu)
    {
        tracing::warn!(%error, cpu, "could not pin this worker");
    }
    let busy = Arc::new(Busy::new(std::time::Instant::now()));
    let (parks, unparks) = (Arc::clone(&busy), Arc::clone(&busy));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || parks.parks(std::time::Instant::now()))
        .on_thread_unpark(move || unparks.unparks(std::time::Instant::now()))
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(ExitCode::TryLater, "could not start the request runtime", &error),
    };
    runtime.block_on(serve(entered, busy))
}

async fn serve(entered: Entered, busy: Arc<Busy>) -> ExitCode {
    let Entered { welcome, board, listeners, mut control } = entered;
    let config = welcome.config;
    let triage = match Triage::load(&config.paths.knowledge_dir) {
        Ok(triage) => Arc::new(triage),
        Err(error) => return refuse(&mut control, ExitCode::BadConfig, "no knowledge base", &error),
    };
    let access = match Access::load(&config.policy.files) {
        Ok(access) => access,
        Err(error) => return refuse(&mut control, ExitCode::BadConfig, "no policies", &error),
    };
    let (vault, tokens) = match keys(&mut control, config.sessions.token_algorithm) {
        Ok(keys) => keys,
        Err(error) => return refuse(&mut control, ExitCode::TryLater, "no keys", &error),
    };
    let tickets = match control.ticket_keys() {
        Ok(keys) => Tickets::new(&keys, &config.tls),
        Err(error) => return refuse(&mut control, ExitCode::TryLater, "no ticket keys", &error),
    };
    let tls = match Identity::load(&config, tickets.clone()) {
        Ok(tls) => Arc::new(tls),
        Err(error) => return refuse(&mut control, ExitCode::BadConfig, "no TLS", &error),
    };
    let domain = match Domain::open(&config, Arc::clone(&vault), access) {
        Ok(domain) => domain,
        Err(error) => return refuse(&mut control, ExitCode::TryLater, "no store", &error),
    };
    let passkeys = match Ceremonies::new(&config.people.passkey_domain, &config.people.passkey_origins) {
        Ok(passkeys) => passkeys,
        Err(error) => return refuse(&mut control, ExitCode::BadConfig, "no passkeys", &error),
    };
    let source = format!("{}@{:016x}.{}", welcome.slot, welcome.boot_id, welcome.generation);
    let audit = AuditClient::connect(&config.paths.run_dir, source, &config.audit);

    let (from_control, incoming) = mpsc::channel(INCOMING_MAX);
    let sender = control.serve(move |message| pass_on(&from_control, &tickets, message));
    let publisher = sender.clone();
    let app = App::new(Parts {
        slot: welcome.slot,
        generation: welcome.generation,
        boot_id: welcome.boot_id,
        board,
        vault,
        domain,
        audit,
        triage,
        tokens,
        passkeys,
        publish: Box::new(move |event| publisher.publish(event)),
        config,
    });
    tokio::spawn(tick(Arc::clone(&app), busy));
    tokio::spawn(watch_controls(Arc::clone(&app)));
    tokio::spawn(live::tell_alerts(Arc::clone(&app)));
    let (listen, listens_to) = watch::channel(vec![app.slot.index]);
    let orders = Orders { app: Arc::clone(&app), tls: Arc::clone(&tls), sender: sender.clone(), listen };
    tokio::spawn(orders.attend(incoming));

    await_the_log(&app).await;
    trail::decides_by(&app);
    let armed = {
        let (app, sender) = (Arc::clone(&app), sender.clone());
        move || {
            app.board.cell(app.slot.cell).set_phase(WorkerPhase::Serving);
            sender.ready();
            // After Ready: opening the cache may take a third of a second, and nobody needs it to be served.
            let cache = Arc::clone(&app.cache);
            std::thread::spawn(move || cache.open());
        }
    };
    if let Err(error) = accept_until_drained(Arc::clone(&app), Doors { listeners, listens_to, tls }, armed).await {
        return fail(ExitCode::TryLater, "no listener", &error);
    }
    drain(&app, &sender).await
}

fn keys(control: &mut Control, algorithm: TokenAlgorithm) -> std::io::Result<(Arc<Vault>, Tokens)> {
    let classes =
        [KeyClass::Cache, KeyClass::Case, KeyClass::Call, KeyClass::BlindIndex, KeyClass::Person, KeyClass::Token];
    let mut keys = Vec::with_capacity(classes.len());
    for class in classes {
        keys.push((class, control.key(class)?));
    }
    let token_keys = keys.iter().find(|(class, _)| *class == KeyClass::Token).map(|(_, versions)| versions.as_slice());
    let tokens = Tokens::new(token_keys.unwrap_or_default(), algorithm);
    Ok((Arc::new(Vault::new(keys)), tokens))
}

/// Who is told Ready expects writes to go through. Mostly it takes a millisecond; without a scribe reads are answered
/// all the same.
async fn await_the_log(app: &App) {
    let until = Instant::now() + LOG_WITHIN;
    while !app.audit.healthy() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Called on the control thread, which must not wait for a busy worker: events may be lost, orders not, and
/// new ticket keys are used at once.
fn pass_on(to: &mpsc::Sender<Incoming>, tickets: &Tickets, message: Incoming) {
    match message {
        Incoming::TicketKeys(keys) => tickets.change(&keys),
        Incoming::Live(_) => drop(to.try_send(message)),
        order => drop(to.blocking_send(order)),
    }
}

/// What the supervisor's orders act on.
struct Orders {
    app: Shared,
    tls: Arc<Identity>,
    sender: ControlSender,
    listen: watch::Sender<Vec<u16>>,
}

impl Orders {
    async fn attend(self, mut incoming: mpsc::Receiver<Incoming>) {
        while let Some(message) = incoming.recv().await {
            match message {
                Incoming::Live(event) => self.app.hear(&event),
                Incoming::Admin { request_id, call } => {
                    let (app, sender) = (Arc::clone(&self.app), self.sender.clone());
                    tokio::spawn(async move {
                        let reply = match call {
                            AdminCall::MintToken { user, ttl_seconds, requested_by_uid } => {
                                routes::mint_token(&app, &user, ttl_seconds, requested_by_uid).await
                            }
                            AdminCall::People { act, requested_by_uid } => {
                                routes::act_on_people(&app, act, requested_by_uid).await
                            }
                            AdminCall::Policy { ask, requested_by_uid } => {
                                routes::tell_policy(&app, ask, requested_by_uid).await
                            }
                            AdminCall::Subjects { act, requested_by_uid } => {
                                routes::act_on_subjects(&app, act, requested_by_uid).await
                            }
                            AdminCall::Acknowledge { seq, note, requested_by_uid } => {
                                routes::acknowledge_alert(&app, seq, &note, requested_by_uid).await
                            }
                            AdminCall::Log { .. } => {
                                AdminReply::Refused { reason: "the audit log is the scribe's".to_owned() }
                            }
                        };
                        sender.admin_reply(request_id, reply);
                    });
                }
                Incoming::Duty { request_id, duty } => {
                    let (app, sender) = (Arc::clone(&self.app), self.sender.clone());
                    tokio::spawn(async move { sender.duty_done(request_id, duties::perform(&app, duty).await) });
                }
                Incoming::Listen { slots } => drop(self.listen.send_replace(slots)),
                Incoming::ReloadCertificate => self.reload_certificate(),
                Incoming::Drain { deadline_ms, .. } => self.app.drain.order(deadline_ms),
                // Taken on the control thread.
                Incoming::TicketKeys(_) => {}
            }
        }
    }

    /// Files are read away from the runtime; the next handshake uses what was read.
    fn reload_certificate(&self) {
        let (tls, sender) = (Arc::clone(&self.tls), self.sender.clone());
        tokio::task::spawn_blocking(move || {
            let refused = tls.reload().err().map(|error| chained(&error));
            if let Some(reason) = &refused {
                tracing::error!(reason, "kept the certificate that was there");
            }
            sender.certificate_reloaded(refused);
        });
    }
}

/// From the request runtime, so that a worker whose requests hang does not look alive.
async fn tick(app: Shared, busy: Arc<Busy>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for count in 0u64.. {
        ticks.tick().await;
        let now_ms = app.now_ms();
        app.set_coarse_ms(now_ms);
        let cell = app.board.cell(app.slot.cell);
        cell.beat(now_ms);
        let busy_permille = busy.permille(std::time::Instant::now());
        cell.busy_permille().store(busy_permille, Ordering::Relaxed);
        app.meters.remembered.set(app.domain.access.remembered() as f64);
        app.meters.busy_ratio.set(busy_permille as f64 / 1_000.0);
        cell.connections().store(app.connections.count() as u64, Ordering::Relaxed);
        app.admission.tick();
        let draining = app.drain.is_ordered();
        app.connections.sweep(now_ms, &app.config.limits, draining);
        sweep_sessions(&app);
        if count % HEALTH_TICKS == 0 {
            look_after(&app).await;
        }
    }
}

/// Ends live connections whose session ended or whose rights changed.
pub(crate) fn sweep_sessions(app: &Shared) {
    let (now_ms, idle_seconds) = (app.now_ms(), app.config.sessions.idle_seconds);
    app.hub.sweep(|principal| {
        let Some(cell) = app.board.session(principal.session.as_u128()) else { return true };
        // Listening is not using: a session that only listens rests, and ends as one that rests.
        cell.epoch == principal.epoch && lives(&cell, principal.user, now_ms, idle_seconds)
    });
}

async fn look_after(app: &Shared) {
    // The store may be slow; the heartbeat must not be.
    let _ = tokio::time::timeout(TICK, app.health.check(app)).await;
    app.cache.trim();
}

/// The published profile is claimed only while it holds: the log takes records, every key opens what it
/// sealed. (TLS 1.3 is the only version this worker can speak.) Looks often until it holds.
async fn watch_controls(app: Shared) {
    loop {
        let hold = app.audit.healthy() && app.keys_are_there();
        app.controls_hold.store(hold, Ordering::Relaxed);
        tokio::time::sleep(if hold { TICK } else { TICK / 25 }).await;
    }
}

/// Finishes what is begun. The audit log has everything before the supervisor hears that we are done.
async fn drain(app: &Shared, sender: &ControlSender) -> ExitCode {
    app.board.cell(app.slot.cell).set_phase(WorkerPhase::Draining);
    let budget = Duration::from_millis(app.drain.deadline_ms());
    let end = Instant::now() + budget.saturating_sub(MARGIN).max(budget / 2);
    app.connections.order_all_to_finish();
    app.hub.end_all(Farewell::GoingAway);
    while (app.connections.count() > 0 || app.unfinished.load(Ordering::Relaxed) > 0) && Instant::now() < end {
        tokio::select! {
            () = app.connections.until_one_leaves() => {}
            () = tokio::time::sleep_until(end.min(Instant::now() + TICK)) => {}
        }
    }
    let left = app.connections.count();
    if left > 0 {
        tracing::warn!(left, "connections were cut at the end of the drain");
    }
    let rest = budget.saturating_sub(MARGIN / 2).min(MARGIN).max(Duration::from_millis(100));
    let audit = app.audit.clone();
    let flushed = tokio::task::spawn_blocking(move || audit.flush_blocking(rest)).await.unwrap_or(false);
    if !flushed {
        tracing::error!("audit records were not acknowledged before the end of the drain");
    }
    sender.drained();
    ExitCode::Clean
}

fn fail(code: ExitCode, what: &'static str, error: &dyn Error) -> ExitCode {
    tracing::error!(error = chained(error), "{what}");
    code
}

/// As `fail`, and the supervisor hears of it.
fn refuse(control: &mut Control, code: ExitCode, what: &'static str, error: &dyn Error) -> ExitCode {
    control.cannot_start(&format!("{what}: {}", chained(error)));
    fail(code, what, error)
}

/// An error with its causes, in one line.
fn chained(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |error: &&dyn Error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

const TICK: Duration = Duration::from_millis(500);
const HEALTH_TICKS: u64 = 2;
/// Live events and orders waiting for the request runtime.
const INCOMING_MAX: usize = 1_024;
/// Longer than the log is away when only its scribe has crashed.
const LOG_WITHIN: Duration = Duration::from_millis(250);
/// Kept back from the drain's deadline for the audit log and our last words.
const MARGIN: Duration = Duration::from_millis(500);
