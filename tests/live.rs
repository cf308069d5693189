//! `/ws`: authenticated, told of calls and cases from every worker, closed when the session ends.
use std::io::{Read, Write};

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

use crate::cases::new_case;
use crate::support::{Client, Hotline, Request};

pub fn open<S: Read + Write>(
    client: &Client,
    headers: &[(&'static str, String)],
    stream: S,
) -> Result<WebSocket<S>, u16> {
    let mut request = format!("wss://localhost:{}/ws", client.address.port()).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match tungstenite::client(request, stream) {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

fn token_of(hotline: &Hotline) -> String {
    let output = hotline.command(&["token", "--user", "admin", "--ttl", "1h"]);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn next_json<S: Read + Write>(socket: &mut WebSocket<S>) -> Value {
    loop {
        match socket.read().expect("a message") {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[test]
fn a_stranger_is_refused_at_the_handshake() {
    let hotline = Hotline::start("");
    let client = hotline.client();
    let bare = open(&client, &[], client.connect().unwrap());
    assert_eq!(bare.err(), Some(401));
    let forged = [("Authorization", "Bearer a.b.c".to_owned())];
    assert_eq!(open(&client, &forged, client.connect().unwrap()).err(), Some(401));
}

#[test]
fn case_events_arrive_whichever_worker_made_them() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    let bearer = [("Authorization", format!("Bearer {}", token_of(&hotline)))];
    let mut socket = open(&lawyer, &bearer, lawyer.connect().unwrap()).unwrap();
    let hello = next_json(&mut socket);
    assert_eq!(hello["type"], "connected");
    assert!(!hello["timestamp"].is_null());
    socket.send(Message::text(json!({ "type": "subscribe", "topics": ["cases"] }).to_string())).unwrap();
    assert_eq!(next_json(&mut socket)["type"], "subscribed");
    // Each request is a connection of its own, so both workers take part.
    let made: Vec<String> = (0..8)
        .map(|_| {
            lawyer.post_json("/api/v1/cases", &new_case("Ana Ruiz")).expect(201).json()["id"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let told: Vec<Value> = made.iter().map(|_| next_json(&mut socket)).collect();
    for id in &made {
        assert!(told.iter().any(|event| event.to_string().contains(id.as_str())), "{id} in {told:?}");
    }
    assert!(told.iter().all(|event| !event.to_string().contains("Ana")), "events name things, not people");
}

#[test]
fn log_out_closes_the_sockets_of_the_session() {
    let hotline = Hotline::start("");
    let client = hotline.client();
    let body = json!({ "username": "admin", "password": "correct horse battery staple" });
    let session = client.post_json("/api/v1/auth/login", &body).expect(200).json();
    let token = session["token"].as_str().unwrap();
    let bearer = [("Authorization", format!("Bearer {token}"))];
    let mut socket = open(&client, &bearer, client.connect().unwrap()).unwrap();
    assert_eq!(next_json(&mut socket)["type"], "connected");
    client.with_token(token).send(Request::new("POST", "/api/v1/auth/logout")).expect(204);
    loop {
        match socket.read() {
            Ok(Message::Close(_)) | Err(_) => break,
            Ok(_) => {}
        }
    }
}

#[test]
fn broken_messages_are_refused_and_harm_nobody_else() {
    let hotline = Hotline::start("");
    let client = hotline.client();
    let bearer = [("Authorization", format!("Bearer {}", token_of(&hotline)))];
    for bad in [
        Message::text("{"),
        Message::text("[[[[[]"),
        Message::binary(vec![0xff; 100]),
        Message::text("x".repeat(70_000)),
    ] {
        let mut socket = open(&client, &bearer, client.connect().unwrap()).unwrap();
        assert_eq!(next_json(&mut socket)["type"], "connected");
        let _ = socket.send(bad);
        loop {
            match socket.read() {
                Ok(Message::Text(text)) => {
                    assert!(text.contains("error"), "{text}");
                    break;
                }
                Ok(Message::Close(_)) | Err(_) => break,
                Ok(_) => {}
            }
        }
    }
    client.get("/health").expect(200);
}

/// The text messages up to the close, and its code.
fn until_closed<S: Read + Write>(socket: &mut WebSocket<S>) -> (Vec<Value>, u16) {
    let mut told = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => told.push(serde_json::from_str(&text).unwrap()),
            Ok(Message::Close(frame)) => return (told, frame.map_or(1005, |frame| frame.code.into())),
            Ok(_) => {}
            Err(error) => panic!("cut off: {error}"),
        }
    }
}

#[test]
fn who_is_sent_away_by_a_change_is_told_when_to_go_on_from_and_misses_nothing() {
    let hotline = Hotline::start("");
    let admin = hotline.admin();
    let bearer = [("Authorization", format!("Bearer {}", token_of(&hotline)))];
    let case = admin.post_json("/api/v1/cases", &new_case("Ana Ruiz")).expect(201).json();
    let topic = format!("case:{}", case["id"].as_str().unwrap());
    let mut socket = open(&admin, &bearer, admin.connect().unwrap()).unwrap();
    assert_eq!(next_json(&mut socket)["type"], "connected");
    let subscribe = json!({ "type": "subscribe", "topics": ["cases", topic] });
    socket.send(Message::text(subscribe.to_string())).unwrap();
    assert_eq!(next_json(&mut socket)["type"], "subscribed");

    hotline.configure("[limits]\njson_bytes_max = 200000");
    let reload = hotline.command_in_background(&["reload"]);
    let (told, code) = until_closed(&mut socket);
    assert_eq!(code, 1001);
    let since = told.last().unwrap()["resume"]["since"].as_i64().unwrap_or_else(|| panic!("{told:?}"));
    // Nobody listens while this happens.
    let second = admin.post_json("/api/v1/cases", &new_case("Luz Vega")).expect(201).json();
    let mut socket = open(&admin, &bearer, admin.connect().unwrap()).expect("its successor was there before it left");
    assert_eq!(next_json(&mut socket)["type"], "connected");
    let subscribe = json!({ "type": "subscribe", "topics": ["cases", topic], "since": since });
    socket.send(Message::text(subscribe.to_string())).unwrap();
    let subscribed = next_json(&mut socket);
    assert_eq!(subscribed["topics"].as_array().unwrap().len(), 2, "{subscribed}");
    let mut missed: Vec<Value> = Vec::new();
    while !missed.iter().any(|event| event["topic"] == topic.as_str()) {
        missed.push(next_json(&mut socket));
    }
    assert!(
        missed.iter().any(|event| event["topic"] == "cases" && event["data"]["caseId"] == second["id"]),
        "{missed:?}"
    );
    assert!(missed.iter().all(|event| !event.to_string().contains("Luz")), "events name things, not people");
    assert!(reload.wait_with_output().unwrap().status.success());
}
