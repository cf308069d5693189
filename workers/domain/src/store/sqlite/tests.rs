//! The store's promises under several writers: no busy error, nothing lost, everything once.
mod killed;
mod migrated;

use std::collections::HashSet;
use std::path::Path;
use std::thread;

use tempfile::TempDir;
use uuid::Uuid;

use super::Sqlite;
use crate::store::{
    CallRow, CallState, Calls, CaseFilter, CaseKey, CaseRow, Cases, Finished, Inserted, JobRow, Jobs, Lease, OnceRow,
    StoreError, Updated,
};
use crate::testing::{block_on, config};

fn open(folder: &TempDir) -> Sqlite {
    Sqlite::open(&folder.path().join("hotline.db"), &config(folder).store).unwrap()
}

fn case(number: &str) -> CaseRow {
    CaseRow {
        id: Uuid::now_v7(),
        number: number.to_owned(),
        version: 1,
        state: "new".to_owned(),
        urgency: "routine".to_owned(),
        issues: String::new(),
        classification: "CONFIDENTIAL".to_owned(),
        assigned_to: None,
        created_by: None,
        call: None,
        created_at_ms: 1,
        updated_at_ms: 1,
        updated_by: None,
        document_sealed: vec![1, 2, 3],
        guards: Vec::new(),
        subject: Uuid::now_v7(),
        erased_at_ms: None,
        subject_key: None,
    }
}

fn call() -> (CallRow, JobRow) {
    let id = Uuid::now_v7();
    let row = CallRow {
        id,
        state: CallState::Consented,
        progress_percent: 0,
        error: None,
        created_by: Uuid::now_v7(),
        created_at_ms: 1,
        updated_at_ms: 1,
        jurisdiction: "US".to_owned(),
        container: "audio/ogg".to_owned(),
        audio_bytes: 3,
        audio_sha256: [0; 32],
        caller_sealed: vec![1],
        transcript_sealed: None,
        analysis_sealed: None,
        recommendations_sealed: None,
        subject: Uuid::now_v7(),
        erased_at_ms: None,
        subject_key: None,
        case: None,
        case_number: None,
        case_classification: None,
    };
    let job = JobRow { id: Uuid::now_v7(), call: id, priority: 0, attempts: 0, run_after_ms: 0, created_at_ms: 1 };
    (row, job)
}

fn once(scope: u8, digest: u8) -> OnceRow {
    OnceRow { scope: [scope; 32], digest: [digest; 32], at_ms: 1_000, forget_before_ms: 0 }
}

fn all(store: &Sqlite) -> Vec<CaseRow> {
    let filter = CaseFilter::default();
    block_on(store.cases(filter, None, 10_000)).unwrap()
}

#[test]
fn writers_of_several_processes_never_see_a_busy_database() {
    let folder = tempfile::tempdir().unwrap();
    // A handle of its own has a connection and a lock descriptor of its own, as a process has.
    thread::scope(|scope| {
        for process in 0..4 {
            let store = open(&folder);
            scope.spawn(move || {
                for n in 0..100 {
                    let inserted = block_on(store.insert_case(case(&format!("{process}-{n}")), None, None));
                    assert_eq!(inserted.unwrap(), Inserted::Done);
                }
            });
        }
    });
    let numbers: HashSet<String> = all(&open(&folder)).into_iter().map(|row| row.number).collect();
    assert_eq!(numbers.len(), 400);
}

#[test]
fn writes_that_wait_together_share_a_transaction_and_fail_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let results = thread::scope(|scope| {
        let threads: Vec<_> = (0..32)
            .map(|n| {
                let store = store.clone();
                // Half of them want the same number.
                let number = if n % 2 == 0 { "taken".to_owned() } else { n.to_string() };
                scope.spawn(move || block_on(store.insert_case(case(&number), None, None)).unwrap())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(results.iter().filter(|inserted| **inserted == Inserted::Done).count(), 17);
    assert_eq!(all(&store).len(), 17);
}

#[test]
fn a_request_sent_many_times_at_once_is_carried_out_once() {
    let folder = tempfile::tempdir().unwrap();
    let results = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let store = open(&folder);
                let row = case(&n.to_string());
                scope.spawn(move || (row.id, block_on(store.insert_case(row, None, Some(once(1, 1)))).unwrap()))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let made: Vec<Uuid> = results.iter().filter(|(_, done)| *done == Inserted::Done).map(|(id, _)| *id).collect();
    assert_eq!(made.len(), 1);
    assert!(
        results.iter().all(|(_, done)| matches!(done, Inserted::Done) || *done == Inserted::Before { id: made[0] })
    );
    let store = open(&folder);
    let other = block_on(store.insert_case(case("other"), None, Some(once(1, 2)))).unwrap();
    assert_eq!(other, Inserted::OtherRequest);
}

#[test]
fn of_two_changes_of_one_version_the_second_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let mut row = case("1");
    block_on(store.insert_case(row.clone(), None, None)).unwrap();
    row.version = 2;
    assert_eq!(block_on(store.update_case(row.clone())).unwrap(), Updated::Done);
    assert_eq!(block_on(store.update_case(row.clone())).unwrap(), Updated::Conflict { current_version: 2 });
    assert_eq!(block_on(store.case_version(row.id, 1)).unwrap().unwrap().version, 1);
    assert_eq!(block_on(store.case(CaseKey::Number("1".to_owned()))).unwrap().unwrap().version, 2);
    assert_eq!(block_on(store.update_case(case("2"))).unwrap(), Updated::NotFound);
}

#[test]
fn a_call_is_finished_once_although_two_workers_held_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let (row, job) = call();
    block_on(store.insert_call(row.clone(), None, job, None, 10)).unwrap();
    let held = |owner: &str, now_ms| {
        let job = block_on(store.lease_job(owner.to_owned(), now_ms, 1_000)).unwrap();
        job.map(|job| Lease { job: job.id, owner: owner.to_owned(), attempt: job.attempts })
    };
    let due_since = || block_on(store.job_counts()).unwrap().due_since_ms;
    assert_eq!(due_since(), Some(0));
    let first = held("first", 0).unwrap();
    assert_eq!(due_since(), None, "who is being heard does not wait");
    assert!(held("second", 999).is_none(), "held until the lease ends");
    let second = held("second", 1_000).unwrap();
    assert_eq!(second.attempt, 2);
    assert!(!block_on(store.renew_lease(first.clone(), 9_000)).unwrap());
    let finish = |lease: &Lease, number: &str| block_on(store.finish_call(lease.clone(), row.clone(), case(number)));
    assert_eq!(finish(&first, "1").unwrap(), Finished::Gone);
    assert_eq!(finish(&second, "1").unwrap(), Finished::Done);
    assert_eq!(finish(&second, "2").unwrap(), Finished::Gone);
    assert_eq!(all(&store).len(), 1);
    let call = block_on(store.call(row.id)).unwrap().unwrap();
    assert_eq!((call.state, call.case_number.as_deref()), (CallState::Ready, Some("1")));
    assert!(held("third", i64::MAX / 2).is_none(), "a finished job is not due");
}

#[test]
fn a_taken_number_does_not_end_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    block_on(store.insert_case(case("1"), None, None)).unwrap();
    let (row, job) = call();
    block_on(store.insert_call(row.clone(), None, job, None, 10)).unwrap();
    let job = block_on(store.lease_job("a".to_owned(), 0, 1_000)).unwrap().unwrap();
    let lease = Lease { job: job.id, owner: "a".to_owned(), attempt: job.attempts };
    let taken = block_on(store.finish_call(lease.clone(), row.clone(), case("1"))).unwrap();
    assert_eq!(taken, Finished::NumberTaken);
    assert!(block_on(store.lease_job("b".to_owned(), 999, 1_000)).unwrap().is_none(), "it is held as before");
    assert_eq!(block_on(store.finish_call(lease, row, case("2"))).unwrap(), Finished::Done);
}

#[test]
fn a_full_queue_of_jobs_refuses_and_keeps_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let put = || {
        let (row, job) = call();
        (row.id, block_on(store.insert_call(row, None, job, None, 1)).unwrap())
    };
    assert_eq!(put().1, Inserted::Done);
    let (id, refused) = put();
    assert_eq!(refused, Inserted::QueueFull);
    assert!(block_on(store.call(id)).unwrap().is_none());
}

#[test]
fn a_failed_commit_is_told_to_everybody_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    drop_table(&folder.path().join("hotline.db"));
    let error = block_on(store.insert_case(case("1"), None, None)).unwrap_err();
    assert!(matches!(error, StoreError::Failed(_)));
}

/// Without these locks another process that leaves takes the WAL along, and what is written next with it.
#[test]
fn open_connections_keep_their_locks_on_the_file() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let (store, _second) = (open(&folder), open(&folder));
    block_on(store.ping()).unwrap();
    let inode = std::fs::metadata(folder.path().join("hotline.db")).unwrap().ino();
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let ours = format!(" {} ", std::process::id());
    let held = locks
        .lines()
        .any(|lock| lock.contains("POSIX") && lock.contains(&ours) && lock.contains(&format!(":{inode} ")));
    assert!(held, "{locks}");
}

fn drop_table(file: &Path) {
    let other = rusqlite::Connection::open(file).unwrap();
    other.execute_batch("DROP TABLE cases").unwrap_or_else(|_| {
        other.execute_batch("PRAGMA foreign_keys = OFF; DROP TABLE cases").unwrap();
    });
}

#[test]
fn a_new_file_may_be_opened_by_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let stores: Vec<Sqlite> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| open(&folder))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (n, store) in stores.iter().enumerate() {
        assert_eq!(block_on(store.insert_case(case(&n.to_string()), None, None)).unwrap(), Inserted::Done);
    }
    assert_eq!(all(&stores[0]).len(), 8);
}

#[test]
fn a_write_or_read_that_panics_takes_nothing_along() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let panicking = |_: &rusqlite::Connection| -> Result<(), StoreError> { panic!("this is the test") };
    for _ in 0..config(&folder).store.readers + 1 {
        assert!(block_on(store.readers.read(panicking)).is_err());
    }
    let inserting_first = block_on(store.writer.write(move |db| {
        super::cases::insert(db, &case("half"))?;
        panicking(db)
    }));
    assert!(matches!(inserting_first, Err(StoreError::Failed(_))));
    assert_eq!(block_on(store.insert_case(case("whole"), None, None)).unwrap(), Inserted::Done);
    assert_eq!(all(&store).len(), 1);
}

#[test]
fn an_old_key_counts_no_more_though_many_wait_to_be_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    for scope in 0..40 {
        block_on(store.insert_case(case(&scope.to_string()), None, Some(once(scope, 1)))).unwrap();
    }
    for scope in (0..40).rev() {
        let later = OnceRow { at_ms: 5_000, forget_before_ms: 2_000, ..once(scope, 2) };
        let inserted = block_on(store.insert_case(case(&format!("{scope} again")), None, Some(later)));
        assert_eq!(inserted.unwrap(), Inserted::Done, "{scope}");
    }
}

#[test]
fn a_changed_migration_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder));
    let file = folder.path().join("hotline.db");
    rusqlite::Connection::open(&file).unwrap().execute_batch("UPDATE migrations SET sha256 = x'00'").unwrap();
    assert!(matches!(Sqlite::open(&file, &config(&folder).store), Err(StoreError::Malformed { .. })));
}
