//! A killed supervisor costs nobody a connection: what it entrusted to the service manager goes to its successor.
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use crate::support::{Answer, Client, Hotline, Request, Role, ServiceManager, binaries, until};

fn start(manager: &ServiceManager, folder: TempDir, overrides: &str) -> Hotline {
    manager.start(&binaries().join("hotline"), None, |command| Hotline::start_by(folder, overrides, command))
}

fn folder() -> TempDir {
    TempDir::with_prefix("hotline-").unwrap()
}

fn listeners(hotline: &Hotline) -> Vec<u64> {
    use std::os::unix::fs::MetadataExt;
    let pid = hotline.pid(Role::Api, 0);
    [5, 6].map(|fd| std::fs::metadata(format!("/proc/{pid}/fd/{fd}")).unwrap().ino()).to_vec()
}

#[test]
fn callers_wait_in_the_queue_while_there_is_no_supervisor_and_are_answered_by_the_next() {
    let manager = ServiceManager::new(16);
    let hotline = start(&manager, folder(), "");
    until("everything is entrusted", || manager.stored_names() == ["board", "scribe", "slot-0", "slot-1"]);
    let (address, before) = (hotline.address, listeners(&hotline));
    let client = hotline.client();
    let folder = hotline.kill_supervisor();

    // Nobody is there, and nobody is refused.
    let waiting: Vec<TcpStream> = (0..16).map(|_| TcpStream::connect(address).unwrap()).collect();
    let hotline = start(&manager, folder, "");
    assert_eq!(hotline.address, address, "port 0, and still the same port");
    assert_eq!(listeners(&hotline), before, "the very same sockets");
    for socket in waiting {
        let mut stream = client.secure(socket).unwrap();
        client.send_on(&mut stream, &Request::new("GET", "/health")).unwrap().expect(200);
    }
    assert_eq!(manager.stored_names(), ["board", "scribe", "slot-0", "slot-1"], "each is kept once");
}

#[test]
fn who_is_served_by_an_orphan_is_served_to_the_end_and_its_successor_has_the_log() {
    let manager = ServiceManager::new(16);
    let hotline = start(&manager, folder(), "");
    let admin = hotline.admin();
    let mut open = admin.connect().unwrap();
    admin.send_on(&mut open, &Request::new("GET", "/api/v1/cases")).unwrap().expect(200);
    let orphans = [hotline.pid(Role::Scribe, 0), hotline.pid(Role::Api, 0), hotline.pid(Role::Api, 1)];

    let hotline = start(&manager, hotline.kill_only_supervisor(), "");
    until("every orphan has left", || {
        orphans.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists())
    });
    let made = admin.post_json("/api/v1/cases", &serde_json::json!({ "title": "Eviction", "jurisdiction": "US-CA" }));
    let place = made.expect(201).header("location").unwrap().to_owned();
    admin.get(&place).expect(200);
    let verified = hotline.command(&["audit", "verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

#[test]
fn what_an_orphan_has_begun_is_done_and_recorded_when_another_scribe_has_the_log() {
    let manager = ServiceManager::new(16);
    let hotline = start(&manager, folder(), "");
    let admin = hotline.admin();
    let mut open = admin.connect().unwrap();
    let case = serde_json::json!({ "title": "Eviction", "jurisdiction": "US-CA" }).to_string();
    let begin = Request::new("POST", "/api/v1/cases")
        .header("Content-Type", "application/json")
        .header("Content-Length", &case.len().to_string())
        .header("Expect", "100-continue");
    admin.begin_on(&mut open, &begin).unwrap();
    let mut go_on = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    open.read_exact(&mut go_on).unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&go_on));
    let scribe = hotline.pid(Role::Scribe, 0);

    let hotline = start(&manager, hotline.kill_only_supervisor(), "");
    assert_ne!(hotline.pid(Role::Scribe, 0), scribe);
    until("the former scribe has given the log up", || !std::path::Path::new(&format!("/proc/{scribe}")).exists());
    open.write_all(case.as_bytes()).unwrap();
    let made = Answer::read(&mut open, false).unwrap().expect(201);
    admin.get(made.header("location").unwrap()).expect(200);
    let recorded = hotline.command(&["audit", "tail", "--lines", "1000"]);
    let recorded = String::from_utf8_lossy(&recorded.stdout).into_owned();
    assert!(recorded.contains("case.create"), "{recorded}");
    assert!(hotline.command(&["audit", "verify"]).status.success());
}

#[test]
fn nobody_is_refused_and_no_answer_is_wrong_however_often_the_supervisor_is_killed() {
    let manager = ServiceManager::new(16);
    let mut hotline = start(&manager, folder(), "");
    let (client, over) = (hotline.client(), Arc::new(AtomicBool::new(false)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (client, over): (Client, _) = (client.clone(), Arc::clone(&over));
            std::thread::spawn(move || {
                let mut answered = 0;
                while !over.load(Ordering::Relaxed) {
                    client.get("/health").expect(200);
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    for _ in 0..3 {
        hotline = start(&manager, hotline.kill_only_supervisor(), "");
    }
    over.store(true, Ordering::Relaxed);
    let answered: Vec<u32> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    assert!(answered.iter().all(|answered| *answered > 0), "{answered:?}");
    drop(hotline);
}

#[test]
fn what_does_not_fit_the_settings_is_given_up() {
    let manager = ServiceManager::new(16);
    let hotline = start(&manager, folder(), "[workers]\napi = 3");
    until("everything is entrusted", || manager.stored_names().len() == 5);
    let folder = hotline.kill_supervisor();
    let hotline = start(&manager, folder, "[workers]\napi = 1\n[server]\nbind = \"127.0.0.2:0\"");
    assert_eq!(hotline.address.ip().to_string(), "127.0.0.2");
    until("what nobody serves is forgotten", || manager.stored_names() == ["board", "scribe", "slot-0"]);
    hotline.client().get("/health").expect(200);
}

#[test]
fn a_board_of_another_layout_is_not_believed() {
    use std::io::Write;
    let manager = ServiceManager::new(16);
    let hotline = start(&manager, folder(), "");
    until("everything is entrusted", || manager.stored_names().len() == 4);
    let folder = hotline.kill_supervisor();
    manager.stored(|stored| {
        let board = stored.iter().find(|stored| stored.name == "board").unwrap();
        std::fs::File::from(board.fd.try_clone().unwrap()).write_all(&[0xff; 8]).unwrap();
    });
    let hotline = start(&manager, folder, "");
    hotline.admin().get("/api/v1/cases").expect(200);
}
