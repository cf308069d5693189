//! Whatever a stranger sends gets the right 4xx, names its request, and leaves nothing half-written.
use std::io::{Read, Write};

use serde_json::json;

use crate::cases::new_case;
use crate::support::{Answer, Hotline, Request, sample_call};

/// Every refusal is a problem document with the seed's three keys.
#[track_caller]
fn refused(answer: Answer, status: u16) -> Answer {
    let answer = answer.expect(status);
    assert_eq!(answer.header("Content-Type"), Some("application/problem+json"), "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["status"].as_u64(), Some(u64::from(status)));
    assert!(body["error"].is_string() && body["timestamp"].is_string(), "{body}");
    assert_eq!(body["requestId"].as_str(), answer.header("X-Request-Id"));
    answer
}

fn process(body: Vec<u8>, content_type: &str) -> Request {
    Request::new("POST", "/api/v1/voice/process").body(content_type, body)
}

#[test]
fn what_is_not_a_recording_is_refused() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    let form = |bytes: &[u8]| Request::new("POST", "/api/v1/voice/process").form(&[], ("audio", "audio/ogg", bytes));
    refused(lawyer.send(form(b"this is a letter, not a call")), 415);
    refused(lawyer.send(form(b"")), 400);
    refused(lawyer.send(process(b"MZ\x90\x00 an executable".to_vec(), "audio/wav")), 415);
    refused(lawyer.send(process(sample_call(), "text/plain")), 415);
    refused(lawyer.send(process(b"no boundary at all".to_vec(), "multipart/form-data")), 400);
    refused(lawyer.send(process(b"--b\r\nbroken".to_vec(), "multipart/form-data; boundary=b")), 400);
    refused(
        lawyer.send(Request::new("POST", "/api/v1/voice/process").form(&[], ("other", "audio/ogg", &sample_call()))),
        400,
    );
    assert_eq!(lawyer.get("/api/v1/cases").json()["cases"].as_array().unwrap().len(), 0);
    let blobs = hotline.state_dir().join("blobs");
    let kept = walk(&blobs).len();
    assert_eq!(kept, 0, "nothing half-written in {}", blobs.display());
}

#[test]
fn a_truncated_recording_is_a_call_with_a_flag_or_a_named_failure() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    let mut half = sample_call();
    half.truncate(half.len() / 2);
    let answer = lawyer.send(process(half, "audio/ogg"));
    assert!(matches!(answer.status, 200 | 202), "{}", answer.text());
    let call_id = answer.json()["callId"].as_str().unwrap().to_owned();
    let call = crate::calls::finished_call(&lawyer, &call_id);
    assert!(call["transcription"]["text"].as_str().unwrap().len() > 20);
}

#[test]
fn fifty_one_mebibytes_are_too_much_and_fifty_are_not() {
    let hotline = Hotline::start("[speech]\nsynchronous_wait_ms = 1\n");
    let lawyer = hotline.admin();
    let fifty = lawyer.send(process(silence(50 << 20), "audio/wav"));
    assert!(matches!(fifty.status, 200 | 202), "{}: {}", fifty.status, fifty.text());
    let declared = Request::new("POST", "/api/v1/voice/process")
        .header("Content-Type", "audio/wav")
        .header("Content-Length", &(51 << 20).to_string());
    refused(lawyer.send(declared), 413);
    // Not declared: found out while reading.
    let mut stream = lawyer.connect().unwrap();
    let chunked = Request::new("POST", "/api/v1/voice/process")
        .header("Content-Type", "audio/wav")
        .header("Transfer-Encoding", "chunked")
        .header("Connection", "close");
    let mut body = Vec::new();
    for _ in 0..51 {
        body.extend_from_slice(b"100000\r\n");
        let mut mebibyte = vec![0u8; 1 << 20];
        mebibyte[..12].copy_from_slice(b"RIFF\0\0\0\0WAVE");
        body.extend_from_slice(&mebibyte);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    let answer = lawyer.send_on(&mut stream, &Request { body, ..chunked }).expect("an answer");
    refused(answer, 413);
}

#[test]
fn broken_json_is_named_and_unknown_fields_are_refused() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    let post = |body: Vec<u8>| lawyer.send(Request::new("POST", "/api/v1/cases").body("application/json", body));
    refused(post(b"{".to_vec()), 400);
    refused(post(b"\xff\xfe\"\"".to_vec()), 400);
    refused(post([b"[".repeat(100_000), b"]".repeat(100_000)].concat()), 400);
    let mut unknown = new_case("Ana Ruiz");
    unknown["colour"] = json!("red");
    let answer = refused(post(unknown.to_string().into_bytes()), 400);
    assert!(answer.text().contains("colour"), "the field is named: {}", answer.text());
    let mut wrong = new_case("Ana Ruiz");
    wrong["contact"]["phone"] = json!(17);
    refused(post(wrong.to_string().into_bytes()), 400);
    let long = json!({ "title": "x", "narrative": "n".repeat(2 << 20) });
    refused(post(long.to_string().into_bytes()), 413);
    refused(lawyer.send(Request::new("POST", "/api/v1/cases").body("text/plain", "{}")), 415);
    assert_eq!(lawyer.get("/api/v1/cases").json()["cases"].as_array().unwrap().len(), 0);
}

#[test]
fn unknown_things_are_404_and_wrong_methods_405() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    refused(lawyer.get("/api/v1/nothing"), 404);
    refused(lawyer.get("/api/v1/cases/00000000-0000-4000-8000-000000000000"), 404);
    refused(lawyer.get("/api/v1/cases/not-a-number"), 404);
    refused(lawyer.get("/api/v1/voice/status/00000000-0000-4000-8000-000000000000"), 404);
    let answer = refused(lawyer.send(Request::new("DELETE", "/api/v1/cases")), 405);
    assert!(answer.header("Allow").is_some_and(|allow| allow.contains("POST")), "{:?}", answer.header("Allow"));
    refused(lawyer.get("/api/v1/cases?colour=red"), 400);
    refused(lawyer.get("/api/v1/cases?cursor=%FF%00"), 400);
    refused(lawyer.get("/api/v1/cases?limit=minus"), 400);
}

#[test]
fn a_head_of_16384_bytes_is_read_and_a_longer_one_is_431() {
    let hotline = Hotline::start("");
    let client = hotline.client();
    let with_padding = |bytes: usize| Request::new("GET", "/health").header("X-Padding", &"x".repeat(bytes));
    client.send(with_padding(15_000)).expect(200);
    let answer = client.send(with_padding(17_000)).expect(431);
    assert!(answer.header("Strict-Transport-Security").is_some() || answer.body.is_empty());
}

#[test]
fn garbage_instead_of_http_never_kills_a_worker() {
    let hotline = Hotline::start("");
    let before = hotline.status()["workers"].clone();
    for garbage in
        [&b"\x16\x03\x01\x00\x05hello"[..], b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\0", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let mut raw = std::net::TcpStream::connect(hotline.address).unwrap();
        let _ = raw.write_all(garbage);
        let _ = raw.shutdown(std::net::Shutdown::Write);
        let _ = raw.read_to_end(&mut Vec::new());
        let mut tls = hotline.client().connect().unwrap();
        let _ = tls.write_all(garbage);
        let _ = tls.flush();
        tls.sock.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = tls.read_to_end(&mut Vec::new());
    }
    hotline.client().get("/health").expect(200);
    let pids = |workers: &serde_json::Value| -> Vec<i64> {
        workers.as_array().unwrap().iter().filter_map(|worker| worker["pid"].as_i64()).collect()
    };
    assert_eq!(pids(&before), pids(&hotline.status()["workers"]));
}

/// A WAV of exactly this size: 16 kHz, 16 bit, mono, nothing to be heard.
fn silence(bytes: usize) -> Vec<u8> {
    let size = |bytes: usize| u32::try_from(bytes).unwrap().to_le_bytes();
    let mut wav = Vec::with_capacity(bytes);
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&size(bytes - 8));
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend_from_slice(&size(16_000));
    wav.extend_from_slice(&size(32_000));
    wav.extend_from_slice(b"\x02\0\x10\0data");
    wav.extend_from_slice(&size(bytes - 44));
    wav.resize(bytes, 0);
    wav
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
