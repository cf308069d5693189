//! A caller's recording becomes a transcript, a triaged case with a number, and a line in the log.
use std::collections::HashSet;

use serde_json::{Value, json};

use crate::assert_eventually;
use crate::support::{Client, Hotline, Request, Role, sample_call};

/// Posts the sample call and waits for its result, whether it came at once or later.
pub fn place_call(client: &Client, key: &str) -> Value {
    let answer = client.send(sample_request().header("Idempotency-Key", key));
    assert!(matches!(answer.status, 200 | 202), "{}: {}", answer.status, answer.text());
    let call_id = answer.json()["callId"].as_str().unwrap().to_owned();
    finished_call(client, &call_id)
}

pub fn sample_request() -> Request {
    let form = [("jurisdiction", "US-CA"), ("consent", "true")];
    Request::new("POST", "/api/v1/voice/process").form(&form, ("audio", "audio/ogg", &sample_call()))
}

pub fn finished_call(client: &Client, call_id: &str) -> Value {
    let path = format!("/api/v1/voice/status/{call_id}");
    assert_eventually!({
        let status = client.get(&path).expect(200).json()["status"].as_str().unwrap().to_owned();
        assert_ne!(status, "failed");
        status == "ready"
    });
    client.get(&path).json()
}

#[test]
fn a_spoken_eviction_story_becomes_a_triaged_case() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    let call = place_call(&lawyer, "eviction-1");

    let words = call["transcription"]["text"].as_str().unwrap().to_lowercase();
    for word in ["landlord", "notice", "rent", "locks", "hearing"] {
        assert!(words.contains(word), "{word} in {words:?}");
    }
    let issues: HashSet<&str> =
        call["analysis"]["issues"].as_array().unwrap().iter().filter_map(|issue| issue["code"].as_str()).collect();
    assert!(issues.iter().any(|code| code.starts_with("HO-")), "a housing issue in {issues:?}");
    assert_eq!(call["analysis"]["urgency"]["level"], "urgent", "a lock-out is announced, a hearing is near");
    assert!(!call["analysis"]["deadlines"].as_array().unwrap().is_empty());
    assert!(!call["recommendations"]["steps"].as_array().unwrap().is_empty());
    assert!(call["recommendations"]["notice"].as_str().unwrap().contains("not legal advice"));

    let number = call["caseNumber"].as_str().unwrap();
    let case = lawyer.get(&format!("/api/v1/cases/{number}")).expect(200).json();
    assert_eq!(case["caseNumber"], number);
    assert_eq!(case["callId"], call["callId"]);
    let listed = lawyer.get("/api/v1/cases?urgency=urgent").expect(200).json();
    assert!(listed["cases"].as_array().unwrap().iter().any(|listed| listed["caseNumber"] == number));

    let report = hotline.command(&["audit", "verify", "--json"]);
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stdout));
    let tail = hotline.command(&["audit", "tail", "--json", "-n", "100000"]);
    let tail = String::from_utf8_lossy(&tail.stdout).into_owned();
    for action in ["call.process", "call.transcribe", "case.create", "case.read"] {
        assert!(tail.contains(action), "{action} is in the log:\n{tail}");
    }
}

#[test]
fn a_retried_upload_yields_one_call_and_one_case() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    let first = place_call(&lawyer, "retry-1");
    let again = lawyer.send(sample_request().header("Idempotency-Key", "retry-1"));
    assert!(matches!(again.status, 200 | 202), "{}", again.text());
    assert_eq!(again.header("Idempotency-Replayed"), Some("true"));
    assert_eq!(again.json()["callId"], first["callId"]);
    let cases = lawyer.get("/api/v1/cases").expect(200).json();
    assert_eq!(cases["cases"].as_array().unwrap().len(), 1);
}

#[test]
fn a_call_is_transcribed_although_its_worker_is_killed() {
    let hotline = Hotline::start("[speech]\nsynchronous_wait_ms = 1\nlease_seconds = 5\n");
    let lawyer = hotline.admin();
    let call_id = lawyer.send(sample_request()).expect(202).json()["callId"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/voice/status/{call_id}");
    assert_eventually!(lawyer.get(&path).json()["status"] == "transcribing");
    let former = hotline.kill(Role::Background, 0);
    hotline.wait_for_successor(Role::Background, 0, former);
    let call = finished_call(&lawyer, &call_id);
    assert!(call["caseNumber"].is_string());
    let cases = lawyer.get("/api/v1/cases").expect(200).json();
    assert_eq!(cases["cases"].as_array().unwrap().len(), 1, "exactly one case");
}

#[test]
fn analysis_of_text_needs_no_call() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    let body = json!({ "text": "My husband hit me last night and I am afraid he will come back. I need a restraining order." });
    let analysis = lawyer.post_json("/api/v1/ai/analyze", &body).expect(200).json();
    assert_eq!(analysis["urgency"]["level"], "emergency");
    let text = body["text"].as_str().unwrap();
    for issue in analysis["issues"].as_array().unwrap() {
        for span in issue["spans"].as_array().unwrap() {
            let (start, end) = (span["start"].as_u64().unwrap() as usize, span["end"].as_u64().unwrap() as usize);
            assert_eq!(&text[start..end], span["text"].as_str().unwrap());
        }
    }
    let steps = lawyer.post_json("/api/v1/ai/recommend", &body).expect(200).json();
    let steps = steps["steps"].as_array().unwrap().clone();
    assert!(!steps.is_empty());
    assert!(steps.iter().all(|step| step["source"]["url"].as_str().is_some_and(|url| url.starts_with("https://"))));
}
