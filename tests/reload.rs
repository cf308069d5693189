//! Reload: new settings and certificates without losing a connection, or everything as it was.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::faults::{Writers, assert_all_there, assert_log_verifies};
use crate::support::{Client, Hotline, Request, Role, signal, until};

fn reload(hotline: &Hotline) -> Output {
    hotline.command(&["reload"])
}

fn refusal(hotline: &Hotline) -> String {
    let output = reload(hotline);
    assert!(!output.status.success(), "a reload that must fail went through");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn pids(hotline: &Hotline) -> Vec<(String, i64)> {
    let workers = hotline.status()["workers"].as_array().unwrap().clone();
    let serving = workers.iter().filter(|worker| worker["phase"] == "serving");
    let mut pids: Vec<_> =
        serving.map(|worker| (worker["slot"].as_str().unwrap().to_owned(), worker["pid"].as_i64().unwrap())).collect();
    pids.sort();
    pids
}

/// Asks on one connection for as long as the server keeps it, then on the next; counts what failed.
pub fn keep_asking(client: &Client, stop: &AtomicBool, answered: &AtomicU64) -> u64 {
    let mut failed = 0;
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut connection) = client.connect() else {
            failed += 1;
            continue;
        };
        loop {
            match client.send_on(&mut connection, &Request::new("GET", "/api/v1/cases")) {
                Ok(answer) if answer.status == 200 => {
                    answered.fetch_add(1, Ordering::Relaxed);
                    if answer.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
                        break;
                    }
                }
                Ok(answer) => panic!("{}: {}", answer.status, answer.text()),
                Err(_) => {
                    failed += 1;
                    break;
                }
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    failed
}

#[test]
fn changed_settings_reach_every_worker_without_a_failed_request() {
    let hotline = Hotline::start("");
    let admin = hotline.admin();
    let before = pids(&hotline);
    let writers = Writers::start(&admin, 3);
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3).map(|_| scope.spawn(|| keep_asking(&admin, &stop, &answered))).collect();
        writers.progress(20);
        for json_bytes_max in [200_000, 210_000] {
            hotline.configure(&format!("[limits]\njson_bytes_max = {json_bytes_max}"));
            let output = reload(&hotline);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "changed limits.json_bytes_max");
            writers.progress(20);
        }
        stop.store(true, Ordering::Relaxed);
        let failed: u64 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert!(answered.load(Ordering::Relaxed) > 20);
        assert_eq!(failed, 0, "connections that were kept open saw the reload");
    });
    let (acknowledged, failed) = writers.finish();
    assert_eq!(failed, 0, "writes saw the reload");
    let after = pids(&hotline);
    assert_eq!(before.len(), after.len());
    assert!(before.iter().all(|worker| !after.contains(worker)), "{before:?} {after:?}");
    assert_all_there(&admin, &acknowledged);
    assert_log_verifies(&hotline);
    let too_long = Request::new("POST", "/api/v1/cases").body("application/json", vec![b' '; 211_000]);
    admin.send(too_long).expect(413);
    assert_eq!(hotline.metric("hotline_worker_restarts_total", &[]), 0.0, "a reload is no crash");
    assert_eq!(hotline.metric("hotline_changes_total", &["done"]), 2.0);
    until("the new workers are found well", || hotline.command(&["health"]).status.success());
}

#[test]
fn a_broken_configuration_changes_nothing_and_is_explained() {
    let hotline = Hotline::start("");
    let before = pids(&hotline);
    hotline.configure("[limits]\njson_bytes_max = \"many\"\n[rate]\nnonsense = 1");
    let said = refusal(&hotline);
    assert!(said.contains("limits.json_bytes_max") && said.contains("rate.nonsense"), "every mistake: {said}");
    fs::write(hotline.folder().join("hotline.toml"), "this is [not TOML").unwrap();
    signal(hotline.supervisor_pid(), "HUP");
    until("the failure was counted", || failed_changes(&hotline) >= 1.0);
    assert_eq!(status_of(&hotline), before);
}

/// The command line reads the settings, too; here they are broken, so the page is asked directly.
fn failed_changes(hotline: &Hotline) -> f64 {
    hotline.metric("hotline_changes_total", &["failed"])
}

fn status_of(hotline: &Hotline) -> Vec<(String, i64)> {
    hotline.configure("");
    pids(hotline)
}

#[test]
fn what_cannot_change_in_a_running_service_is_refused() {
    let hotline = Hotline::start("");
    let before = pids(&hotline);
    hotline.configure("[workers]\napi = 3");
    assert!(refusal(&hotline).contains("workers.api: cannot change while the service runs"));
    hotline.configure("");
    assert_eq!(pids(&hotline), before);
}

#[test]
fn a_change_that_workers_cannot_live_with_is_taken_back() {
    let hotline = Hotline::start("");
    let admin = hotline.admin();
    let before = pids(&hotline);
    let empty = hotline.folder().join("empty");
    fs::create_dir(&empty).unwrap();
    hotline.configure(&format!("[paths]\nknowledge_dir = \"{}\"", empty.display()));
    let said = refusal(&hotline);
    assert!(said.contains("everything is as it was: api-0") && said.contains("no knowledge base"), "{said}");
    assert_eq!(pids(&hotline), before, "nobody who served was touched");
    admin.get("/api/v1/cases").expect(200);
    hotline.configure("[limits]\njson_bytes_max = 200000");
    assert!(reload(&hotline).status.success(), "the next change is not burdened by it");
}

/// A fresh key and its certificate, valid from 2020 until the given year.
fn make_certificate(folder: &Path, name: &str, last_year: i32) {
    let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(last_year, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    // As renewal does: another file takes the name.
    for (name, text) in [("chain.pem", certificate.pem()), ("key.pem", key.serialize_pem())] {
        let new = folder.join(format!("{name}.new"));
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(new, folder.join(name)).unwrap();
    }
}

#[test]
fn certificates_are_exchanged_under_open_connections() {
    let folder = tempfile::TempDir::with_prefix("hotline-").unwrap();
    let certs = folder.path().join("certs");
    fs::create_dir(&certs).unwrap();
    make_certificate(&certs, "first", 3000);
    let settings = format!("[tls]\ncertificate = \"{0}/chain.pem\"\nkey = \"{0}/key.pem\"", certs.display());
    let hotline = Hotline::start_in(folder, &settings);
    let first = Client::trusting(hotline.address, &certs.join("chain.pem"));
    let mut open = first.connect().unwrap();
    let ask = |connection: &mut _| first.send_on(connection, &Request::new("GET", "/health")).unwrap().status;
    assert_eq!(ask(&mut open), 200);
    let before = pids(&hotline);

    let stranger = certs.join("first-chain.pem");
    fs::copy(certs.join("chain.pem"), &stranger).unwrap();
    make_certificate(&certs, "second", 3000);
    let output = reload(&hotline);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let second = Client::trusting(hotline.address, &certs.join("chain.pem"));
    for _ in 0..12 {
        second.get("/health").expect(200);
        // A client that was here before resumes its session; one that was not sees the certificate.
        assert!(Client::trusting(hotline.address, &stranger).try_send(&Request::new("GET", "/health")).is_err());
    }
    assert_eq!(ask(&mut open), 200, "who was connected noticed nothing");
    assert_eq!(pids(&hotline), before, "no worker was replaced");

    let good_key = fs::read(certs.join("key.pem")).unwrap();
    make_certificate(&certs, "third", 3000);
    fs::write(certs.join("key.pem"), good_key).unwrap();
    assert!(refusal(&hotline).contains("does not belong to"));
    make_certificate(&certs, "fourth", 2021);
    assert!(refusal(&hotline).contains("has expired"));
    fs::remove_file(certs.join("chain.pem")).unwrap();
    assert!(refusal(&hotline).contains("tls.certificate"));
    second.get("/health").expect(200);
    make_certificate(&certs, "fifth", 3000);
    assert_eq!(hotline.pid(Role::Api, 0), before.iter().find(|(slot, _)| slot == "api-0").unwrap().1 as i32);
}
