//! Live connections over real TLS: what is said, to whom, and how it ends.
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use uuid::Uuid;

use super::Farewell;
use crate::connection::tests::{Server, receive, send};
use crate::testing::Lawyer;

struct Talk(TlsStream<TcpStream>);

enum Said {
    Text(Value),
    Close(u16),
    End,
}

impl Talk {
    async fn open(server: &Server, credential: &str, path: &str) -> (Self, String) {
        let mut stream = server.connect().await;
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\n{credential}connection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        send(&mut stream, &head).await;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => answer.push(byte),
                Err(_) => break,
            }
        }
        (Self(stream), String::from_utf8(answer).unwrap())
    }

    /// A masked frame; the mask is zero, which the protocol allows and the eye can read.
    async fn say(&mut self, opcode: u8, text: &[u8]) {
        let mut frame = vec![0x80 | opcode];
        match text.len() {
            short @ 0..126 => frame.push(0x80 | short as u8),
            medium @ 126..65_536 => frame.extend([&[0x80 | 126][..], &(medium as u16).to_be_bytes()].concat()),
            long => frame.extend([&[0x80 | 127][..], &(long as u64).to_be_bytes()].concat()),
        }
        frame.extend([0; 4]);
        frame.extend_from_slice(text);
        let _ = self.0.write_all(&frame).await;
        let _ = self.0.flush().await;
    }

    async fn hear(&mut self) -> Said {
        loop {
            let Ok(first) = self.0.read_u8().await else { return Said::End };
            let length = match self.0.read_u8().await.unwrap() {
                126 => usize::from(self.0.read_u16().await.unwrap()),
                length => usize::from(length),
            };
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).await.unwrap();
            match first & 0xf {
                1 => return Said::Text(serde_json::from_slice(&payload).unwrap()),
                8 => return Said::Close(u16::from_be_bytes([payload[0], payload[1]])),
                _ => {}
            }
        }
    }

    async fn hear_text(&mut self) -> Value {
        match self.hear().await {
            Said::Text(text) => text,
            Said::Close(code) => panic!("closed with {code}"),
            Said::End => panic!("ended"),
        }
    }

    async fn hear_close(&mut self) -> u16 {
        loop {
            match self.hear().await {
                Said::Close(code) => return code,
                Said::End => return 0,
                Said::Text(_) => {}
            }
        }
    }
}

async fn lawyer(server: &Server) -> String {
    server.fixture.lawyer().await.token
}

async fn lawyer_id(server: &Server) -> Uuid {
    server.fixture.app.domain.people.find("admin").await.unwrap().unwrap().id
}

async fn case(server: &Server, token: &str) -> Value {
    let lawyer = Lawyer { fixture: &server.fixture, token: token.to_owned() };
    lawyer.post("/api/v1/cases", &json!({ "title": "a" })).await.expect(201).json()["id"].clone()
}

async fn connected(server: &Server, token: &str) -> Talk {
    let (mut talk, answer) = Talk::open(server, &format!("authorization: Bearer {token}\r\n"), "/ws").await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains("x-content-type-options: nosniff"), "{answer}");
    let hello = talk.hear_text().await;
    assert_eq!(hello["type"], "connected");
    assert!(hello["timestamp"].is_i64());
    talk
}

#[tokio::test]
async fn events_of_topics_that_were_asked_for_and_allowed_arrive() {
    let server = Server::start(|_| ()).await;
    let token = lawyer(&server).await;
    let mut talk = connected(&server, &token).await;
    let topics =
        json!({ "type": "subscribe", "topics": ["cases", "case:nonsense", "session:somebody-else", "secrets"] });
    talk.say(1, topics.to_string().as_bytes()).await;
    let answer = talk.hear_text().await;
    assert_eq!(answer["topics"], json!(["cases"]));
    assert_eq!(answer["refused"].as_array().unwrap().len(), 3);
    let case = case(&server, &token).await;
    let event = talk.hear_text().await;
    assert_eq!((event["topic"].as_str(), event["data"]["event"].as_str()), (Some("cases"), Some("case.created")));
    assert_eq!(event["data"]["caseId"], case);
    talk.say(1, br#"{"type":"dance"}"#).await;
    assert_eq!(talk.hear_text().await["type"], "error");
    talk.say(1, br#"{"type":"ping"}"#).await;
    assert_eq!(talk.hear_text().await["type"], "pong");
}

#[tokio::test]
async fn who_is_kept_from_a_case_hears_no_more_of_it() {
    let server = Server::start(|_| ()).await;
    let token = lawyer(&server).await;
    let (walled, open) = (case(&server, &token).await, case(&server, &token).await);
    let mut talk = connected(&server, &token).await;
    let topic = format!("case:{}", walled.as_str().unwrap());
    talk.say(1, json!({ "type": "subscribe", "topics": ["cases", topic] }).to_string().as_bytes()).await;
    assert_eq!(talk.hear_text().await["refused"], json!([]));
    let app = &server.fixture.app;
    let (id, me) = (walled.as_str().unwrap().parse().unwrap(), lawyer_id(&server).await);
    let wall = serde_json::from_value(json!({ "kind": "wall", "userId": me, "reason": "opposing party" })).unwrap();
    app.domain.cases.place_guard(Uuid::now_v7(), id, wall, me).await.unwrap();
    app.board.bump(hotline_domain::cases::generation_key(id));
    for topic in ["cases", &topic] {
        app.announce(topic.to_owned(), &json!({ "event": "case.updated", "caseId": walled }));
    }
    app.announce("cases".to_owned(), &json!({ "event": "case.updated", "caseId": open }));
    assert_eq!(talk.hear_text().await["data"]["caseId"], open, "nothing came before it");
}

#[tokio::test]
async fn what_waits_is_told_before_the_goodbye() {
    let server = Server::start(|_| ()).await;
    let token = lawyer(&server).await;
    let case = case(&server, &token).await;
    let mut talk = connected(&server, &token).await;
    talk.say(1, br#"{"type":"subscribe","topics":["cases"]}"#).await;
    talk.hear_text().await;
    // Nobody is told in between: this thread runs the server, too.
    for number in 0..8 {
        server.fixture.app.announce("cases".to_owned(), &json!({ "caseId": case, "number": number }));
    }
    server.fixture.app.hub.end_all(Farewell::GoingAway);
    for number in 0..8 {
        assert_eq!(talk.hear_text().await["data"]["number"], number);
    }
    assert_eq!(talk.hear_text().await["type"], "goodbye");
    assert_eq!(talk.hear_close().await, 1001);
}

#[tokio::test]
async fn strangers_and_other_sites_get_no_connection() {
    let server = Server::start(|_| ()).await;
    let token = lawyer(&server).await;
    let cookie = format!("cookie: __Host-session={token}\r\n");
    for (credential, status) in [
        (String::new(), "401"),
        ("authorization: Bearer a.b.c\r\n".to_owned(), "401"),
        (cookie.clone(), "403"),
        (format!("{cookie}origin: https://evil.example\r\n"), "403"),
        (format!("authorization: Bearer {token}\r\norigin: https://evil.example\r\n"), "403"),
        (format!("{cookie}origin: https://localhost\r\n"), "101"),
    ] {
        let (_, answer) = Talk::open(&server, &credential, "/ws").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{credential}: {answer}");
    }
}

#[tokio::test]
async fn a_ticket_opens_one_connection() {
    let server = Server::start(|_| ()).await;
    let lawyer = server.fixture.lawyer().await;
    let ticket = lawyer.post("/api/v1/live/ticket", &Value::Null).await.expect(200).json();
    let path = format!("/ws?ticket={}", ticket["ticket"].as_str().unwrap());
    let (mut talk, answer) = Talk::open(&server, "", &path).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert_eq!(talk.hear_text().await["type"], "connected");
    let (_, again) = Talk::open(&server, "", &path).await;
    assert!(again.starts_with("HTTP/1.1 401 "), "{again}");
}

#[tokio::test]
async fn what_is_not_the_protocol_ends_the_connection() {
    let server = Server::start(|config| config.limits.websocket_message_bytes_max = 1_000).await;
    let token = lawyer(&server).await;
    for (opcode, bad) in [(1, b"{".to_vec()), (2, vec![0xff; 10]), (1, vec![0xff; 10]), (1, vec![b' '; 1_001])] {
        let mut talk = connected(&server, &token).await;
        talk.say(opcode, &bad).await;
        assert_ne!(talk.hear_close().await, 1_000);
    }
    assert!(receive_health(&server).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_session_that_ends_and_a_worker_that_drains_say_goodbye() {
    let server = Server::start(|_| ()).await;
    let token = lawyer(&server).await;
    let app = &server.fixture.app;
    let mut talk = connected(&server, &token).await;
    let mut other = connected(&server, &token).await;
    app.hub.end_all(Farewell::GoingAway);
    assert_eq!(talk.hear_close().await, 1001);
    assert_eq!(other.hear_close().await, 1001);

    let mut talk = connected(&server, &token).await;
    let session = server.fixture.app.tokens.verify(crate::gate::Purpose::Bearer, &token, 0).unwrap().session;
    app.board.revoke_session(session.as_u128());
    crate::worker::sweep_sessions(app);
    assert_eq!(talk.hear_close().await, 4401);
}

async fn receive_health(server: &Server) -> String {
    let mut stream = server.connect().await;
    send(&mut stream, "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    receive(&mut stream).await
}
