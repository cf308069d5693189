//! `/ws`: authenticated, told of calls and cases from every worker, closed when the session ends.
use std::io::{Read, Write};

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

use crate::cases::new_case;
use crate::support::{Client, Hotline, Request};

fn open<'a>(
    client: &Client,
    headers: &[(&'static str, String)],
    stream: impl Read + Write + 'a,
) -> Result<WebSocket<impl Read + Write + 'a>, u16> {
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

fn next_json<S: Read + Write>(socket: &mut WebSocket<S>) -> Value {
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
