//! Real sockets and real TLS, on loopback.
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Doors, accept_until_drained};
use crate::testing::Fixture;

pub(crate) struct Server {
    pub(crate) fixture: Fixture,
    address: SocketAddr,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
    _listen: tokio::sync::watch::Sender<Vec<u16>>,
    client: Arc<rustls::ClientConfig>,
}

impl Server {
    pub(crate) async fn start(change: impl FnOnce(&mut hotline::config::Config)) -> Self {
        let fixture = Fixture::start(change).await;
        let app = Arc::clone(&fixture.app);
        let keys = hotline::tickets::TicketKeys::random().unwrap();
        let tickets = crate::tls::Tickets::new(&keys, &app.config.tls);
        let tls = Arc::new(crate::tls::Identity::load(&app.config, tickets).unwrap());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (listen, listens_to) = tokio::sync::watch::channel(vec![0]);
        let doors = Doors { listeners: vec![OwnedFd::from(listener)], listens_to, tls };
        let serving = tokio::spawn(accept_until_drained(app, doors, || ()));
        let mut roots = rustls::RootCertStore::empty();
        let certificate = fixture.app.config.paths.state_dir.join("tls/dev-cert.pem");
        roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { fixture, address, serving, _listen: listen, client: Arc::new(client) }
    }

    pub(crate) async fn connect(&self) -> TlsStream<TcpStream> {
        self.connect_behind(&[]).await.unwrap()
    }

    /// With something said before the handshake.
    async fn connect_behind(&self, said: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut socket = TcpStream::connect(self.address).await?;
        socket.write_all(said).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::clone(&self.client)).connect(name, socket).await
    }
}

pub(crate) async fn send(stream: &mut TlsStream<TcpStream>, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

/// Head and body of one answer with a length.
pub(crate) async fn receive(stream: &mut TlsStream<TcpStream>) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        let mut buffer = [0; 4_096];
        match stream.read(&mut buffer).await.unwrap() {
            0 => return text,
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

async fn ends(stream: &mut TlsStream<TcpStream>) {
    let mut rest = Vec::new();
    // A close without a farewell is an error to TLS and an end to us.
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}

const GET: &str = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test]
async fn answers_over_tls_keeps_the_connection_and_ends_it_when_drained() {
    let server = Server::start(|_| ()).await;
    let (mut stream, mut silent) = (server.connect().await, server.connect().await);
    assert_eq!(stream.get_ref().1.negotiated_key_exchange_group().unwrap().name(), rustls::NamedGroup::X25519MLKEM768);
    for _ in 0..2 {
        send(&mut stream, GET).await;
        assert!(receive(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
    }
    server.fixture.app.drain.order(1_000);
    server.serving.await.unwrap().unwrap();
    server.fixture.app.connections.order_all_to_finish();
    send(&mut stream, GET).await;
    assert!(receive(&mut stream).await.contains("connection: close"), "a drained connection says goodbye");
    ends(&mut stream).await;
    server.fixture.app.connections.sweep(u64::MAX, &server.fixture.app.config.limits, true);
    ends(&mut silent).await;
    while server.fixture.app.connections.count() > 0 {
        server.fixture.app.connections.until_one_leaves().await;
    }
}

#[tokio::test]
async fn a_connection_is_asked_to_leave_after_its_share() {
    let server = Server::start(|config| config.limits.requests_per_connection_max = 2).await;
    let mut stream = server.connect().await;
    send(&mut stream, GET).await;
    assert!(!receive(&mut stream).await.contains("connection: close"));
    send(&mut stream, GET).await;
    assert!(receive(&mut stream).await.contains("connection: close"));
    ends(&mut stream).await;
}

#[tokio::test]
async fn a_refusal_arrives_though_its_body_was_not_read() {
    let server = Server::start(|_| ()).await;
    let mut stream = server.connect().await;
    let megabytes = 8 << 20;
    let head = format!(
        "POST /api/v1/auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {megabytes}\r\n\r\n"
    );
    send(&mut stream, &head).await;
    let (mut reading, mut writing) = tokio::io::split(stream);
    let body = vec![b' '; megabytes];
    let sender = tokio::spawn(async move {
        let _ = writing.write_all(&body).await;
        writing
    });
    let mut answer = Vec::new();
    let _ = reading.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\"bytesMax\":1048576"), "{answer}");
    drop(sender.await);
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let server = Server::start(|config| config.limits.body_idle_deadline_ms = 50).await;
    let mut stream = server.connect().await;
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{";
    send(&mut stream, head).await;
    let answer = receive(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn heads_beyond_everything_are_refused_by_the_protocol_itself() {
    let server = Server::start(|_| ()).await;
    let mut stream = server.connect().await;
    send(&mut stream, "GET /health HTTP/1.1\r\nhost: localhost\r\n").await;
    let line = format!("x-long: {}\r\n", "x".repeat(8_000));
    for _ in 0..12 {
        if stream.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
    let _ = stream.flush().await;
    assert!(receive(&mut stream).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn a_sweep_ends_who_does_not_speak() {
    let server = Server::start(|_| ()).await;
    let mut silent = server.connect().await;
    let mut idle = server.connect().await;
    send(&mut idle, GET).await;
    receive(&mut idle).await;
    let app = &server.fixture.app;
    app.connections.sweep(app.coarse_ms() + app.config.limits.header_read_deadline_ms, &app.config.limits, false);
    ends(&mut silent).await;
    send(&mut idle, GET).await;
    assert!(receive(&mut idle).await.starts_with("HTTP/1.1 200 OK"), "idle connections may rest longer");
    app.connections.sweep(app.coarse_ms() + app.config.limits.keep_alive_ms, &app.config.limits, false);
    ends(&mut idle).await;
}

#[tokio::test]
async fn a_trusted_proxy_says_for_whom_it_speaks_and_does_not_come_without() {
    let by_proxy = |networks: &'static str| {
        move |config: &mut hotline::config::Config| {
            config.server.trusted_proxies = vec![networks.to_owned()];
            config.server.proxy_protocol = true;
        }
    };
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend_from_slice(&[198, 51, 100, 7, 127, 0, 0, 1, 0xc0, 0, 0x1b, 0x58]);
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let wrong = r#"{"username":"admin","password":"not the password at all"}"#;
    let login = format!(
        "POST /api/v1/auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{wrong}",
        wrong.len()
    );
    let server = Server::start(by_proxy("127.0.0.0/8")).await;
    for (said, caller) in [(&header[..], "198.51.100.7"), (local, "127.0.0.1")] {
        let mut stream = server.connect_behind(said).await.unwrap();
        send(&mut stream, &login).await;
        assert!(receive(&mut stream).await.starts_with("HTTP/1.1 401"));
        let recorded = server.fixture.recorded.lock().last().unwrap().details.clone();
        assert!(recorded.contains(&format!("\"address\":\"{caller}\"")), "{recorded}");
    }
    let mut cut = header.clone();
    cut[15] = 0xff;
    for said in [&b""[..], b"PROXY TCP4 198.51.100.7 127.0.0.1 1 2\r\n", &cut[..20]] {
        assert!(server.connect_behind(said).await.is_err(), "{said:?}");
    }
    // Whoever is not trusted speaks for itself, and a header of theirs is no handshake.
    let server = Server::start(by_proxy("10.0.0.0/8")).await;
    assert!(server.connect_behind(&[]).await.is_ok());
    assert!(server.connect_behind(&header).await.is_err());
}

#[tokio::test]
async fn older_versions_of_tls_are_refused() {
    let server = Server::start(|_| ()).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    // A ClientHello of TLS 1.2 with one suite and no supported_versions.
    let mut body = vec![0x03, 0x03];
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(&[0, 0, 2, 0xc0, 0x2f, 1, 0]);
    let mut hello = vec![1, 0, 0, body.len() as u8];
    hello.extend_from_slice(&body);
    let mut record = vec![0x16, 3, 1, 0, hello.len() as u8];
    record.extend_from_slice(&hello);
    socket.write_all(&record).await.unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    assert_eq!(&answer[..2], &[0x15, 3], "an alert: {answer:?}");
    assert_eq!(answer[5], 2, "a fatal one");
}
