//! The worker's end of the control socket, against a supervisor that is only a thread of this test.
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use super::{Control, Incoming};
use crate::board::Board;
use crate::telemetry::{Recorder, names};
use crate::tickets::TicketKeys;
use crate::vault::KeyClass;
use crate::wire::{self, AdminCall, AdminReply, Confinement, FromWorker, KeyBytes, LiveEvent, ToWorker};

/// One test for the whole conversation: a process installs its recorder once.
#[test]
fn a_worker_fetches_keys_answers_scrapes_and_hears_of_the_end() {
    let (mut supervisor, worker) = UnixStream::pair().unwrap();
    let (board, board_fd) = Board::create(7).unwrap();
    let mut control = Control::new(worker, Recorder::install(), NEVER_MS, Arc::new(board), CONFINEMENT).unwrap();
    metrics::counter!(names::PANICS).increment(3);

    // A scrape may come between a question and its answer.
    let key = KeyBytes { version: 2, bytes: [7; 32] };
    tell(&mut supervisor, &ToWorker::Scrape { scrape_id: 1 });
    let tickets = TicketKeys::random().unwrap();
    tell(&mut supervisor, &ToWorker::TicketKeys(tickets.clone()));
    tell(&mut supervisor, &ToWorker::Key { class: KeyClass::Case, versions: vec![key] });
    let versions = control.key(KeyClass::Case).unwrap();
    assert_eq!((versions[0].version, versions[0].bytes), (2, [7; 32]));
    assert!(matches!(hear(&mut supervisor), FromWorker::UnwrapKey { class: KeyClass::Case }));
    assert_eq!(panics_in(hear(&mut supervisor), 1), 3.0);
    assert_eq!(control.ticket_keys().unwrap().current.name, tickets.current.name, "kept until asked for");

    let (incoming_tx, incoming) = channel();
    let sender = control.serve(move |message| incoming_tx.send(message).unwrap());
    sender.ready();
    assert!(matches!(hear(&mut supervisor), FromWorker::Ready(CONFINEMENT)));
    tell(&mut supervisor, &ToWorker::Scrape { scrape_id: 2 });
    assert_eq!(panics_in(hear(&mut supervisor), 2), 3.0);

    let event = LiveEvent { topic: "cases".to_owned(), payload: "{}".to_owned() };
    tell(&mut supervisor, &ToWorker::Live(event.clone()));
    assert!(matches!(next(&incoming), Incoming::Live(got) if got == event));
    sender.publish(event.clone());
    assert!(matches!(hear(&mut supervisor), FromWorker::Publish(got) if got == event));

    tell(&mut supervisor, &ToWorker::TicketKeys(tickets.clone()));
    assert!(matches!(next(&incoming), Incoming::TicketKeys(keys) if keys.next.name == tickets.next.name));

    let call = AdminCall::MintToken { user: "admin".to_owned(), ttl_seconds: 60, requested_by_uid: 0 };
    tell(&mut supervisor, &ToWorker::Admin { request_id: 9, call });
    assert!(matches!(next(&incoming), Incoming::Admin { request_id: 9, .. }));
    sender.admin_reply(9, AdminReply::Refused { reason: "no".to_owned() });
    assert!(matches!(hear(&mut supervisor), FromWorker::AdminReply { request_id: 9, .. }));

    tell(&mut supervisor, &ToWorker::Listen { slots: vec![0, 1] });
    assert!(matches!(next(&incoming), Incoming::Listen { slots } if slots == [0, 1]));
    tell(&mut supervisor, &ToWorker::ReloadCertificate);
    assert!(matches!(next(&incoming), Incoming::ReloadCertificate));
    sender.certificate_reloaded(None);
    assert!(matches!(hear(&mut supervisor), FromWorker::CertificateReloaded { refused: None }));

    tell(&mut supervisor, &ToWorker::Drain { deadline_ms: 5, successor: true });
    assert!(matches!(next(&incoming), Incoming::Drain { deadline_ms: 5, successor: true }));
    sender.drained();
    assert!(matches!(hear(&mut supervisor), FromWorker::Drained));

    drop(supervisor);
    assert!(
        matches!(next(&incoming), Incoming::Drain { deadline_ms: NEVER_MS, successor: false }),
        "alone means: drain"
    );
    let _adopted = Board::adopt(board_fd, 8).unwrap();
    assert!(matches!(next(&incoming), Incoming::Drain { successor: true, .. }), "another supervisor has come");
}

fn tell(supervisor: &mut UnixStream, message: &ToWorker) {
    wire::write(supervisor, message).unwrap();
}

fn hear(supervisor: &mut UnixStream) -> FromWorker {
    wire::read(supervisor).unwrap().unwrap()
}

fn next(incoming: &Receiver<Incoming>) -> Incoming {
    incoming.recv().unwrap()
}

fn panics_in(message: FromWorker, wanted: u64) -> f64 {
    let FromWorker::Metrics { scrape_id, snapshot } = message else { panic!("not an answer to a scrape") };
    assert_eq!(scrape_id, wanted);
    snapshot.families[names::PANICS].samples[0].value
}

/// After this an abandoned worker ends its process, which no test waits for.
const NEVER_MS: u64 = 3_600_000;

const CONFINEMENT: Confinement =
    Confinement { uid: 1_000, no_new_privileges: true, calls_filtered: true, landlock_abi: 4 };
