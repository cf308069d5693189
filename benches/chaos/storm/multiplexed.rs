//! A caller over HTTP/2: several requests at once on one connection, which is kept until the server says goodbye.
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use h2::client::SendRequest;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::load::{Call, Errand};
use super::outcome::{Attempt, Ending, Way, Worker};
use crate::support::{Client, Request, patience};

/// Calls until the load ends.
pub(super) fn run(client: &Client, errand: Errand) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(call_on(client, errand));
}

/// A connection, and who is at its other end.
struct Line {
    requests: SendRequest<Bytes>,
    served_by: Option<Worker>,
}

/// What an answer said, as far as it matters.
struct Told {
    status: u16,
    location: Option<String>,
    served_by: Option<Worker>,
    body: Vec<u8>,
}

async fn call_on(client: &Client, mut errand: Errand) {
    let mut line: Option<Line> = None;
    loop {
        tokio::time::sleep(errand.pause(AT_ONCE)).await;
        let calls: Option<Vec<Call>> = (0..AT_ONCE).map(|_| errand.next()).collect();
        let Some(mut calls) = calls else { return };
        // Those without an answer are tried again together, as often as each allows.
        for round in 1.. {
            let answers = all_at_once(client, &mut line, &calls).await;
            let mut again = Vec::new();
            for (call, (attempt, told)) in calls.into_iter().zip(answers) {
                let told = told.as_ref().map(|told| (told.status, told.location.as_deref(), told.body.as_slice()));
                if !errand.heard(&call, attempt, told) && round < call.tries {
                    again.push(call);
                }
            }
            calls = again;
            if calls.is_empty() {
                break;
            }
        }
    }
}

async fn all_at_once(client: &Client, line: &mut Option<Line>, calls: &[Call]) -> Vec<(Attempt, Option<Told>)> {
    // Left while nothing was under way: no failure.
    let kept = match line.take() {
        Some(kept) => kept.if_open().await,
        None => None,
    };
    let begun = Instant::now();
    let served_by = kept.as_ref().and_then(|line| line.served_by);
    let attempt = move |ending| Attempt { way: Way::Multiplexed, served_by, begun, ended: Instant::now(), ending };
    let opened = match kept {
        Some(kept) => Ok(kept),
        None => timeout(patience(), Line::open(client)).await.unwrap_or(Err(Ending::Late)),
    };
    let mut used = match opened {
        Ok(used) => used,
        Err(ending) => return calls.iter().map(|_| (attempt(ending), None)).collect(),
    };
    let under_way: Vec<_> = calls
        .iter()
        .map(|call| {
            let asked = ask(used.requests.clone(), request_of(client, &call.request), call.request.body.clone());
            tokio::spawn(async move {
                match timeout(patience(), asked).await.unwrap_or(Err(Ending::Late)) {
                    Ok(told) => (attempt(Ending::Status(told.status)), Some(told)),
                    Err(ending) => (attempt(ending), None),
                }
            })
        })
        .collect();
    let mut answers = Vec::new();
    for answer in under_way {
        answers.push(answer.await.expect("asking does not panic"));
    }
    if let Some(told) = answers.iter().find_map(|(_, told)| told.as_ref()) {
        used.served_by = told.served_by;
        *line = Some(used);
    }
    answers
}

async fn ask(requests: SendRequest<Bytes>, head: http::Request<()>, body: Vec<u8>) -> Result<Told, Ending> {
    let before = |error: h2::Error| ending_of(&error, Ending::Silence);
    let within = |error: h2::Error| ending_of(&error, Ending::Cut);
    let mut requests = requests.ready().await.map_err(before)?;
    let (answer, mut sending) = requests.send_request(head, body.is_empty()).map_err(before)?;
    if !body.is_empty() {
        sending.send_data(body.into(), true).map_err(before)?;
    }
    let (head, mut stream) = answer.await.map_err(before)?.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk.map_err(within)?;
        stream.flow_control().release_capacity(chunk.len()).map_err(within)?;
        body.extend_from_slice(&chunk);
    }
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let served_by = text("x-request-id").and_then(Worker::from_request_id);
    Ok(Told { status: head.status.as_u16(), location: text("location").map(str::to_owned), served_by, body })
}

/// A goodbye that leaves this request out, or a stream refused, says that nobody looked at it.
fn ending_of(error: &h2::Error, otherwise: Ending) -> Ending {
    let is_unread = error.reason() == Some(h2::Reason::REFUSED_STREAM)
        || error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
    if is_unread { Ending::Unread } else { otherwise }
}

fn request_of(client: &Client, request: &Request) -> http::Request<()> {
    let mut head = http::Request::builder()
        .method(request.method.as_str())
        .uri(format!("https://localhost{}", request.path))
        .header("authorization", format!("Bearer {}", client.token().unwrap_or_default()));
    for (name, value) in &request.headers {
        head = head.header(name, value);
    }
    head.body(()).unwrap()
}

impl Line {
    async fn open(client: &Client) -> Result<Self, Ending> {
        let socket = TcpStream::connect(client.address).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused => Ending::Refused,
            _ => Ending::Silence,
        })?;
        let mut tls = client.tls();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, socket).await.map_err(|_| Ending::Silence)?;
        let (requests, connection) = h2::client::handshake(stream).await.map_err(|_| Ending::Silence)?;
        tokio::spawn(connection);
        Ok(Self { requests, served_by: None })
    }

    /// Itself, unless the other side has said goodbye.
    async fn if_open(self) -> Option<Self> {
        let requests = self.requests.ready().await.ok()?;
        Some(Self { requests, ..self })
    }
}

/// Requests in a bunch.
const AT_ONCE: u32 = 4;
