//! Cases: created once, read with an ETag, changed only by somebody who saw the newest version.
use serde_json::json;

use crate::support::{Hotline, Request};

#[test]
fn a_lost_update_is_refused() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    let created = lawyer.post_json("/api/v1/cases", &new_case("Ana Ruiz")).expect(201);
    let path = created.header("Location").unwrap().to_owned();
    let read = lawyer.get(&path).expect(200);
    let etag = read.header("ETag").unwrap().to_owned();
    assert!(etag.starts_with('"'), "a strong ETag: {etag}");

    let put = |etag: &str, title: &str| {
        let change = Request::new("PUT", &path).header("If-Match", etag).json(&json!({ "title": title }));
        lawyer.send(change)
    };
    put(&etag, "first").expect(200);
    put(&etag, "second").expect(412);
    lawyer.send(Request::new("PUT", &path).json(&json!({ "title": "third" }))).expect(428);
    assert_eq!(lawyer.get(&path).json()["title"], "first");
}

#[test]
fn an_unchanged_case_is_not_sent_again() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    let path = lawyer.post_json("/api/v1/cases", &new_case("Ana Ruiz")).header("Location").unwrap().to_owned();
    let etag = lawyer.get(&path).header("ETag").unwrap().to_owned();
    let again = lawyer.send(Request::new("GET", &path).header("If-None-Match", &etag)).expect(304);
    assert!(again.body.is_empty());
    assert_eq!(again.header("ETag"), Some(etag.as_str()));
}

#[test]
fn a_cached_copy_never_outlives_a_write_on_any_worker() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    let path = lawyer.post_json("/api/v1/cases", &new_case("Ana Ruiz")).header("Location").unwrap().to_owned();
    let mut hits = 0;
    for round in 0..40 {
        let before = lawyer.get(&path).expect(200);
        let etag = before.header("ETag").unwrap();
        let title = format!("title {round}");
        let change = Request::new("PUT", &path).header("If-Match", etag).json(&json!({ "title": title }));
        lawyer.send(change).expect(200);
        for _ in 0..6 {
            let after = lawyer.get(&path).expect(200);
            assert_eq!(after.json()["title"], title.as_str());
            hits += usize::from(after.header("X-Cache") == Some("HIT"));
        }
    }
    assert!(hits > 0, "the cache was never used");
}

#[test]
fn a_retried_creation_answers_the_same_case() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    let create = |body: &serde_json::Value| {
        lawyer.send(Request::new("POST", "/api/v1/cases").header("Idempotency-Key", "create-7").json(body))
    };
    let first = create(&new_case("Ana Ruiz")).expect(201);
    let again = create(&new_case("Ana Ruiz")).expect(201);
    assert_eq!(first.json()["id"], again.json()["id"]);
    assert_eq!(again.header("Idempotency-Replayed"), Some("true"));
    create(&new_case("Someone Else")).expect(422);
    assert_eq!(lawyer.get("/api/v1/cases").json()["cases"].as_array().unwrap().len(), 1);
}

#[test]
fn a_list_is_walked_page_by_page_without_gap_or_repeat() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    for n in 0..25 {
        lawyer.post_json("/api/v1/cases", &new_case(&format!("Caller {n}"))).expect(201);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = lawyer.get(&format!("/api/v1/cases?limit=10{cursor}")).expect(200).json();
        seen.extend(page["cases"].as_array().unwrap().iter().map(|case| case["id"].as_str().unwrap().to_owned()));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut unique = seen.clone();
    unique.sort();
    unique.dedup();
    assert_eq!((seen.len(), unique.len()), (25, 25));
}

pub fn new_case(caller: &str) -> serde_json::Value {
    json!({
        "title": "Deposit kept",
        "callerName": caller,
        "contact": { "phone": "+1 555 0142" },
        "narrative": "The landlord kept the deposit and does not answer.",
        "jurisdiction": "US-CA",
    })
}

#[test]
fn a_cached_copy_of_an_earlier_life_is_never_believed() {
    let hotline = Hotline::start("[workers]\napi = 1\n");
    let lawyer = hotline.admin();
    let path = lawyer.post_json("/api/v1/cases", &new_case("Ana Ruiz")).header("Location").unwrap().to_owned();
    // Until the copy of version 1 lies in the cache's folder.
    crate::assert_eventually!(lawyer.get(&path).header("X-Cache") == Some("HIT"));
    let etag = lawyer.get(&path).header("ETag").unwrap().to_owned();
    lawyer.send(Request::new("PUT", &path).header("If-Match", &etag).json(&json!({ "title": "new" }))).expect(200);
    let (code, folder) = hotline.stop();
    assert_eq!(code, Some(0));
    let again = Hotline::start_in(folder, "[workers]\napi = 1\n");
    let lawyer = lawyer.at(again.address);
    for _ in 0..20 {
        assert_eq!(lawyer.get(&path).expect(200).json()["title"], "new");
    }
}
