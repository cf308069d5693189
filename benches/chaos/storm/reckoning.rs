//! The reckoning after a storm: every acknowledged write is there, every other one can be completed with its own key,
//! each exists exactly once, and the audit log verifies.
use std::collections::HashMap;

use serde_json::Value;

use super::book::{Book, Write};
use super::inflict::Scene;
use crate::support::{Client, Request, until};

/// What was found.
pub struct Reckoning {
    pub acknowledged: usize,
    /// Writes without an answer, or shed, that were sent again with the same key.
    pub completed: usize,
    /// Acknowledged, and not there or something else.
    pub lost: Vec<String>,
    /// There more than once.
    pub doubled: Vec<String>,
    /// Why the log does not verify; `Ok` is the number of its records.
    pub audit: Result<u64, String>,
    /// Reloads and upgrades that did not go through.
    pub refused: Vec<String>,
}

pub(super) fn settle(scene: &Scene, book: &Book) -> Reckoning {
    let client = scene.client();
    let mut writes = book.writes();
    let acknowledged = writes.iter().filter(|write| write.location.is_some()).count();
    let mut completed = 0;
    for write in writes.iter_mut().filter(|write| write.location.is_none()) {
        write.location = Some(complete(&client, write));
        completed += 1;
    }
    let lost = writes.iter().filter(|write| !is_there(&client, write)).map(|write| write.title.clone());
    let lost: Vec<String> = lost.collect();
    let copies = count_titles(&client);
    let count = |write: &&Write| copies.get(&write.title).copied().unwrap_or(0);
    let doubled = writes.iter().filter(|write| count(write) > 1).map(|write| write.title.clone()).collect();
    let unlisted = writes.iter().filter(|write| count(write) == 0).map(|write| write.title.clone());
    let lost = lost.iter().cloned().chain(unlisted.filter(|title| !lost.contains(title))).collect();
    Reckoning { acknowledged, completed, lost, doubled, audit: verify(scene), refused: scene.refused() }
}

fn complete(client: &Client, write: &Write) -> String {
    let mut location = None;
    until(&format!("{} is completed", write.title), || {
        let answer = client.try_send(&write.request()).ok().filter(|answer| answer.status == 201);
        location = answer.and_then(|answer| answer.header("Location").map(str::to_owned));
        location.is_some()
    });
    location.expect("waited for")
}

fn is_there(client: &Client, write: &Write) -> bool {
    let Some(location) = &write.location else { return false };
    let answer = client.get(location);
    answer.status == 200 && answer.json()["title"] == write.title.as_str()
}

/// How many cases have each title, over all pages.
fn count_titles(client: &Client) -> HashMap<String, usize> {
    let (mut copies, mut cursor) = (HashMap::new(), String::new());
    loop {
        let page = client.send(Request::new("GET", &format!("/api/v1/cases?limit=100{cursor}"))).expect(200).json();
        for title in page["cases"].as_array().unwrap().iter().filter_map(|case| case["title"].as_str()) {
            *copies.entry(title.to_owned()).or_default() += 1;
        }
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return copies,
        }
    }
}

fn verify(scene: &Scene) -> Result<u64, String> {
    let output = scene.hotline().command(&["audit", "verify", "--json"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let report: Option<Value> = serde_json::from_str(&said).ok();
    match report.and_then(|report| report["records"].as_u64()) {
        Some(records) if output.status.success() => Ok(records),
        _ => Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr))),
    }
}
