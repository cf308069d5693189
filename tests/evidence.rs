//! Evidence on the real executables: of any size in the same memory, whole or not at all whatever dies, and sealed.
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::assert_eventually;
use crate::support::{Client, Hotline, Request, Role};

const ONE_WORKER: &str = "[workers]\napi = 1\n";

fn opened_case(lawyer: &Client) -> String {
    let case = lawyer.post_json("/api/v1/cases", &json!({ "title": "a" })).expect(201).json();
    case["id"].as_str().unwrap().to_owned()
}

fn evidence_of(lawyer: &Client, case: &str) -> Vec<serde_json::Value> {
    let listed = lawyer.get(&format!("/api/v1/cases/{case}/evidence")).expect(200).json();
    listed["evidence"].as_array().unwrap().clone()
}

/// What `curl` prints.
fn curl(hotline: &Hotline, lawyer: &Client, args: &[&str]) -> String {
    let certificate = hotline.state_dir().join("tls/dev-cert.pem");
    let token = format!("Authorization: Bearer {}", lawyer.token().unwrap());
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--cacert"]).arg(certificate).args(["--header", &token]).args(args);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn digest_of(tool: &str, file: &PathBuf) -> String {
    let output = Command::new(tool).arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

fn peak_kib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    peak.unwrap().parse().unwrap()
}

fn stored_files(hotline: &Hotline) -> Vec<PathBuf> {
    let folders = fs::read_dir(hotline.state_dir().join("blobs").join("evidence")).unwrap();
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn a_large_file_comes_and_goes_in_the_same_memory_and_its_digests_are_those_of_other_tools() {
    let hotline = Hotline::start(ONE_WORKER);
    let lawyer = hotline.admin();
    let case = opened_case(&lawyer);
    let file = hotline.folder().join("body-camera.bin");
    let block: Vec<u8> = (0..1u32 << 18).map(|n| n.wrapping_mul(2_654_435_761)).flat_map(u32::to_le_bytes).collect();
    fs::write(&file, block.repeat(96)).unwrap();
    let url = format!("https://localhost:{}/api/v1/evidence", hotline.address.port());

    let before_kib = peak_kib(hotline.pid(Role::Api, 0));
    let case_field = format!("caseId={case}");
    let file_field = format!("file=@{}", file.display());
    let fields = ["--form", &case_field, "--form", "evidenceType=video", "--form", &file_field];
    let kept = curl(&hotline, &lawyer, &[&fields[..], &[&format!("{url}/upload")]].concat());
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    let id = kept["evidenceId"].as_str().unwrap_or_else(|| panic!("{kept}"));
    assert_eq!(kept["hash"], digest_of("sha256sum", &file).as_str());
    assert_eq!(kept["sha512"], digest_of("sha512sum", &file).as_str());
    let back = hotline.folder().join("back");
    curl(&hotline, &lawyer, &["--output", back.to_str().unwrap(), &format!("{url}/{id}/content")]);
    assert_eq!(digest_of("sha256sum", &back), kept["hash"]);
    assert_eq!(lawyer.get(&format!("/api/v1/evidence/{id}/verify")).expect(200).json()["ok"], true);
    let grown_kib = peak_kib(hotline.pid(Role::Api, 0)) - before_kib;
    assert!(grown_kib < 48 << 10, "96 MiB took {grown_kib} KiB of memory");

    let stored = stored_files(&hotline).remove(0);
    let mut bytes = fs::read(&stored).unwrap();
    assert!(!bytes.windows(64).any(|window| window == &block[4_096..4_160]), "it lies in clear");
    bytes[50 << 20] ^= 1;
    fs::write(&stored, bytes).unwrap();
    let verdict = lawyer.get(&format!("/api/v1/evidence/{id}/verify")).expect(200).json();
    assert_eq!((&verdict["ok"], &verdict["checks"][0]["check"]), (&json!(false), &json!("seal")));
    assert_eq!(verdict["checks"][0]["ok"], false);
}

#[test]
fn a_worker_that_is_killed_in_the_middle_of_an_upload_leaves_nothing_to_be_seen() {
    let hotline = Hotline::start(ONE_WORKER);
    let lawyer = hotline.admin();
    let case = opened_case(&lawyer);
    let whole = vec![7; 4 << 20];
    let fields = [("caseId", case.as_str()), ("evidenceType", "audio")];
    let upload = || Request::new("POST", "/api/v1/evidence/upload").form(&fields, ("file", "audio/wav", &whole));
    let kept = lawyer.send(upload()).expect(201).json();

    let mut half = upload();
    half = half.header("Content-Length", &upload().body.len().to_string());
    half.body.truncate(3 << 20);
    let mut stream = lawyer.connect().unwrap();
    lawyer.begin_on(&mut stream, &half).unwrap();
    assert_eventually!(stored_files(&hotline).iter().any(|file| file.extension().is_some_and(|part| part == "part")));
    let former = hotline.kill(Role::Api, 0);
    hotline.wait_for_successor(Role::Api, 0, former);

    let listed = evidence_of(&lawyer, &case);
    assert_eq!(listed.len(), 1, "what was acknowledged and nothing else");
    assert_eq!(listed[0]["evidenceId"], kept["evidenceId"]);
    let id = kept["evidenceId"].as_str().unwrap();
    assert_eq!(lawyer.get(&format!("/api/v1/evidence/{id}/verify")).expect(200).json()["ok"], true);
    lawyer.send(upload()).expect(201);
}

#[test]
fn evidence_ends_with_whoever_it_is_about() {
    let hotline = Hotline::start(ONE_WORKER);
    let lawyer = hotline.admin();
    let created = lawyer.post_json("/api/v1/cases", &json!({ "title": "a" })).expect(201).json();
    let (case, number) = (created["id"].as_str().unwrap(), created["caseNumber"].as_str().unwrap());
    let upload = Request::new("POST", "/api/v1/evidence/upload")
        .form(&[("caseId", case), ("evidenceType", "other")], ("file", "text/plain", b"what they wrote"));
    let kept = lawyer.send(upload).expect(201).json();
    let path = format!("/api/v1/evidence/{}", kept["evidenceId"].as_str().unwrap());
    lawyer.get(&format!("{path}/content")).expect(200);
    assert!(hotline.command(&["subject", "erase", number, "--reason", "they asked for it"]).status.success());
    for gone in ["", "/content", "/verify"] {
        lawyer.get(&format!("{path}{gone}")).expect(410);
    }
    assert!(stored_files(&hotline).is_empty());
}
