//! What cannot wait reaches those who look after it, by every way, until one of them says so; and nothing of anybody.
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread;

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::Message;

use crate::live::{next_json, open};
use crate::support::{Hotline, until};

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// Somebody who takes what comes over TLS and remembers it.
struct Receiver {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    /// `talk` holds one conversation and tells what it heard.
    fn start(folder: &Path, listener: TcpListener, talk: fn(&mut BufReader<Tls>) -> Option<String>) -> Self {
        let (port, heard) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
        let remembered = Arc::clone(&heard);
        let config = Arc::new(identity(folder));
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let session = ServerConnection::new(Arc::clone(&config)).unwrap();
                if let Some(message) = talk(&mut BufReader::new(StreamOwned::new(session, socket))) {
                    remembered.lock().unwrap().push(message);
                }
            }
        });
        Self { port, heard }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn make_identity(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
}

fn identity(folder: &Path) -> ServerConfig {
    let chain = vec![rustls::pki_types::CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    builder.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap()
}

/// Takes one post.
fn web(stream: &mut BufReader<Tls>) -> Option<String> {
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let from = head.len();
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
        if let Some(value) = head[from..].to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    stream.get_mut().write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").ok()?;
    stream.get_mut().conn.send_close_notify();
    stream.get_mut().flush().ok()?;
    Some(format!("{head}{}", String::from_utf8(body).unwrap()))
}

/// Takes one letter from whoever knows the password.
fn post_office(stream: &mut BufReader<Tls>) -> Option<String> {
    let (mut heard, mut in_letter) = (String::new(), false);
    let say = |stream: &mut BufReader<Tls>, line: &str| {
        let written = stream.get_mut().write_all(format!("{line}\r\n").as_bytes());
        written.and_then(|()| stream.get_mut().flush()).ok()
    };
    say(stream, "220 post.example ESMTP")?;
    loop {
        let from = heard.len();
        if stream.read_line(&mut heard).ok()? == 0 {
            return None;
        }
        let line = heard[from..].trim_end();
        match line.split(' ').next().unwrap() {
            "." if in_letter => {
                say(stream, "250 taken")?;
                return Some(heard);
            }
            _ if in_letter => {}
            "EHLO" => {
                say(stream, "250-post.example")?;
                say(stream, "250 AUTH PLAIN")?;
            }
            "AUTH" => {
                let is_right = line == format!("AUTH PLAIN {}", BASE64.encode(b"\0hotline\0pa55"));
                say(stream, if is_right { "235 welcome" } else { "535 no" })?;
            }
            "DATA" => {
                in_letter = true;
                say(stream, "354 go on")?;
            }
            "QUIT" => return None,
            _ => say(stream, "250 well")?,
        }
    }
}

struct Deliverer(Child);

impl Drop for Deliverer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const SECRET: &[u8] = b"twenty-four bytes at least";

fn settings(folder: &Path, web_port: u16, post_port: u16) -> String {
    make_identity(folder);
    let private = |name: &str, text: &str| {
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    private("secret", &format!("whsec_{}\n", BASE64.encode(SECRET)));
    private("password", "pa55\n");
    let at = |name: &str| folder.join(name).display().to_string();
    format!(
        "[audit]\npublish_interval_ms = 20\n[alerts]\nrepeat_seconds = 1\nescalate_seconds = 2\n\
         webhook_url = \"https://localhost:{web_port}/hook\"\n\
         webhook_escalation_url = \"https://localhost:{web_port}/second\"\n\
         webhook_secret_file = {:?}\nwebhook_ca_file = {:?}\nmail_server = \"localhost:{post_port}\"\n\
         mail_from = \"hotline@example.org\"\nmail_to = [\"oncall@example.org\"]\nmail_user = \"hotline\"\n\
         mail_password_file = {:?}\nmail_ca_file = {:?}\n",
        at("secret"),
        at("cert.pem"),
        at("password"),
        at("cert.pem"),
    )
}

/// Something that cannot wait: a key is destroyed. Not by an API worker.
fn something_severe(hotline: &Hotline) {
    assert!(hotline.command(&["keys", "rotate", "token"]).status.success());
    let destroyed = hotline.command(&["keys", "destroy", "token", "1"]);
    assert!(destroyed.status.success(), "{}", String::from_utf8_lossy(&destroyed.stderr));
}

fn open_alerts(hotline: &Hotline) -> Vec<Value> {
    let listed = hotline.command(&["alerts", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap_or_default();
    listed["open"].as_array().cloned().unwrap_or_default()
}

#[test]
fn an_alert_comes_by_every_way_again_and_to_more_until_it_is_acknowledged() {
    let folder = TempDir::new().unwrap();
    let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
    // Nobody is at home yet: the port is known, and refuses.
    let away = listener();
    let (web_port, post) = (away.local_addr().unwrap().port(), listener());
    drop(away);
    let hotline = Hotline::start(&settings(folder.path(), web_port, post.local_addr().unwrap().port()));
    hotline.admin();
    let post = Receiver::start(folder.path(), post, post_office);
    let deliverer = Deliverer(hotline.command_in_background(&["alerts", "deliver"]));
    something_severe(&hotline);
    until("the mail has come though the web is away", || post.heard().len() == 1);
    let letter = post.heard().remove(0);
    for part in
        ["RCPT TO:<oncall@example.org>", "Subject: [hotline] CRITICAL: keys.destroy (allowed)", "alerts acknowledge"]
    {
        assert!(letter.contains(part), "{part} in {letter}");
    }
    assert!(!letter.contains("token:1"), "what it is about stands in the log alone: {letter}");
    let web = Receiver::start(folder.path(), TcpListener::bind(("127.0.0.1", web_port)).unwrap(), web);
    assert_eq!(web.port, web_port);
    let to = |path: &str| {
        web.heard().into_iter().filter(|post| post.starts_with(&format!("POST {path} "))).collect::<Vec<_>>()
    };
    until("it is sent again, and escalates", || to("/hook").len() >= 2 && !to("/second").is_empty());

    let mut ids = Vec::new();
    for post in to("/hook") {
        let (head, body) = post.split_once("\r\n\r\n").unwrap();
        let field = |name: &str| {
            let found = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
            found.unwrap_or_else(|| panic!("{name} in {head}")).to_owned()
        };
        let (id, at) = (field("webhook-id"), field("webhook-timestamp"));
        let tag = BASE64.decode(field("webhook-signature").strip_prefix("v1,").unwrap().as_bytes()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
        hmac::verify(&key, format!("{id}.{at}.{body}").as_bytes(), &tag).expect("signed");
        let told: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&told["data"]["action"], &told["data"]["severity"]), (&json!("keys.destroy"), &json!("CRITICAL")));
        assert!(!body.contains("token:1") && told["data"].get("subject").is_none(), "{body}");
        ids.push(id);
    }
    ids.sort();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all, "each sending has an id of its own");

    // What was sent outlives the deliverer; and there is but one.
    let second = hotline.command(&["alerts", "deliver"]);
    assert!(String::from_utf8_lossy(&second.stderr).contains("another process"), "{second:?}");
    drop(deliverer);
    let alert = open_alerts(&hotline).remove(0);
    assert!(alert["sent"].as_u64().unwrap() >= 2, "{alert}");
    let _deliverer = Deliverer(hotline.command_in_background(&["alerts", "deliver"]));

    let seq = alert["seq"].as_u64().unwrap();
    let said = hotline.command(&["alerts", "acknowledge", &seq.to_string(), "--note", "it was us"]);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    until("it is closed", || open_alerts(&hotline).is_empty());
    let none = hotline.command(&["alerts", "acknowledge", "1"]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("is not an alert"), "{none:?}");
}

#[test]
fn whoever_watches_hears_of_it_live_and_may_acknowledge_it() {
    let hotline = Hotline::start("[audit]\npublish_interval_ms = 20");
    hotline.admin();
    for (name, role) in [("vera", "security"), ("ana", "attorney"), ("otto", "auditor")] {
        assert!(hotline.command(&["user", "add", name, "--role", role]).status.success());
    }
    let as_user = |name: &str| {
        let token = hotline.command(&["token", "--user", name, "--ttl", "1h"]);
        hotline.client().with_token(String::from_utf8(token.stdout).unwrap().trim())
    };
    let (vera, ana, otto) = (as_user("vera"), as_user("ana"), as_user("otto"));
    let listen = |client: &crate::support::Client| {
        let bearer = [("Authorization", format!("Bearer {}", client.token().unwrap()))];
        let mut socket = open(client, &bearer, client.connect().unwrap()).unwrap();
        next_json(&mut socket);
        socket.send(Message::text(json!({ "type": "subscribe", "topics": ["alerts"] }).to_string())).unwrap();
        let answer = next_json(&mut socket);
        (socket, answer)
    };
    let (mut socket, answer) = listen(&vera);
    assert_eq!(answer["topics"], json!(["alerts"]), "{answer}");
    assert_eq!(listen(&ana).1["refused"], json!(["alerts"]), "what goes wrong is not everybody's business");

    // Who begins to listen hears of what comes; when the worker has begun to follow, nobody tells.
    let alert = thread::scope(|scope| {
        let heard = scope.spawn(|| next_json(&mut socket));
        while !heard.is_finished() {
            let tried = hotline.command(&["keys", "destroy", "token", "1"]);
            assert!(!tried.status.success(), "it is in use, and the attempt is on record");
        }
        heard.join().unwrap()
    });
    assert_eq!((&alert["topic"], &alert["data"]["action"]), (&json!("alerts"), &json!("keys.destroy")), "{alert}");
    assert!(alert["data"].get("subject").is_none() && alert["data"].get("actor").is_none());

    let path = |seq: u64| format!("/api/v1/audit/records/{seq}/acknowledgement");
    let seq = alert["data"]["seq"].as_u64().unwrap();
    let said = json!({ "note": "a planned change" });
    ana.post_json(&path(seq), &said).expect(403);
    otto.post_json(&path(seq), &said).expect(403);
    vera.post_json(&path(seq), &said).expect(204);
    vera.post_json(&path(1), &said).expect(409);
    vera.post_json(&path(1 << 40), &said).expect(404);
    vera.post_json(&path(seq), &json!({ "note": "x".repeat(501) })).expect(400);
    until("everybody hears that somebody does", || {
        let event = next_json(&mut socket);
        event["data"]["event"] == "alert.acknowledged" && event["data"]["seq"] == seq
    });
}
