//! A blocking HTTP/1.1 client over TLS 1.3 that also lets a test send what no decent client would.
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::patience;

pub type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Where to send, whom to trust, and as whom.
#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    tls: Arc<ClientConfig>,
    token: Option<String>,
}

/// One request; the client adds `Host`, `Authorization` and `Content-Length`.
#[derive(Clone, Default)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// One whole answer.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Client {
    /// Trusts the certificate in `pem`, whoever signed it.
    pub fn trusting(address: SocketAddr, pem: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(pem).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { address, tls: Arc::new(tls), token: None }
    }

    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same client at another address: the product was started again.
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    /// Whom it trusts, for a client of another protocol.
    pub fn tls(&self) -> ClientConfig {
        ClientConfig::clone(&self.tls)
    }

    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    pub fn connect(&self) -> io::Result<Tls> {
        self.secure(TcpStream::connect_timeout(&self.address, patience())?)
    }

    /// TLS over a connection that is there already.
    pub fn secure(&self, socket: TcpStream) -> io::Result<Tls> {
        socket.set_read_timeout(Some(patience()))?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(connection, socket))
    }

    /// One request on a connection of its own.
    pub fn try_send(&self, request: &Request) -> io::Result<Answer> {
        let mut stream = self.connect()?;
        let mut close = request.clone();
        close.headers.push(("Connection".into(), "close".into()));
        self.send_on(&mut stream, &close)
    }

    #[track_caller]
    pub fn send(&self, request: Request) -> Answer {
        let shown = format!("{} {}", request.method, request.path);
        self.try_send(&request).unwrap_or_else(|error| panic!("{shown}: {error}"))
    }

    /// One request on a connection that stays open. A refusal that arrives while the body is still
    /// being sent is an answer, not an error.
    pub fn send_on<S: Read + Write>(&self, stream: &mut S, request: &Request) -> io::Result<Answer> {
        let sent = stream.write_all(&self.head(request)).and_then(|()| stream.write_all(&request.body));
        let flushed = sent.and_then(|()| stream.flush());
        match Answer::read(stream, request.method == "HEAD") {
            Ok(answer) => Ok(answer),
            Err(error) => Err(flushed.err().unwrap_or(error)),
        }
    }

    /// Sends a request and does not wait for the answer.
    pub fn begin_on<S: Write>(&self, stream: &mut S, request: &Request) -> io::Result<()> {
        stream.write_all(&self.head(request))?;
        stream.write_all(&request.body)?;
        stream.flush()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send(Request::new("GET", path))
    }

    pub fn post_json(&self, path: &str, body: &serde_json::Value) -> Answer {
        self.send(Request::new("POST", path).json(body))
    }

    fn head(&self, request: &Request) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: localhost\r\n", request.method, request.path);
        let has = |name: &str| request.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        if let Some(token) = self.token.as_ref().filter(|_| !has("authorization")) {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        let framed = has("content-length") || has("transfer-encoding");
        if !framed && (!request.body.is_empty() || !matches!(request.method.as_str(), "GET" | "HEAD")) {
            head.push_str(&format!("Content-Length: {}\r\n", request.body.len()));
        }
        for (name, value) in &request.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.into(), path: path.into(), ..Self::default() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("Content-Type", content_type)
    }

    pub fn json(self, body: &serde_json::Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// `multipart/form-data` with text fields and one file.
    pub fn form(self, fields: &[(&str, &str)], file: (&str, &str, &[u8])) -> Self {
        let boundary = "hotline-test-boundary";
        let mut body = Vec::new();
        for (name, value) in fields {
            let part = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            body.extend_from_slice(part.as_bytes());
        }
        let (name, content_type, bytes) = file;
        let part = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"call\"\r\nContent-Type: {content_type}\r\n\r\n"
        );
        body.extend_from_slice(part.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        self.body(&format!("multipart/form-data; boundary={boundary}"), body)
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Fails with the whole answer unless the status is the expected one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "answer was: {}", self.text());
        self
    }

    pub fn read<S: Read>(stream: &mut S, bodyless: bool) -> io::Result<Self> {
        let mut reader = BufReader::with_capacity(1 << 16, stream);
        let status_line = line(&mut reader)?;
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status: u16 = status.ok_or_else(|| io::Error::other(format!("not a status line: {status_line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let text = line(&mut reader)?;
            if text.is_empty() {
                break;
            }
            let (name, value) = text.split_once(':').ok_or_else(|| io::Error::other("header without a colon"))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut answer = Self { status, headers, body: Vec::new() };
        if bodyless || matches!(status, 101 | 204 | 304) {
            return Ok(answer);
        }
        answer.body = match (answer.header("content-length"), answer.header("transfer-encoding")) {
            (Some(length), _) => {
                let mut body = vec![0; length.parse().map_err(io::Error::other)?];
                reader.read_exact(&mut body)?;
                body
            }
            (None, Some("chunked")) => chunked(&mut reader)?,
            (None, _) => {
                let mut body = Vec::new();
                reader.read_to_end(&mut body)?;
                body
            }
        };
        Ok(answer)
    }
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut text = String::new();
    if reader.read_line(&mut text)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn chunked(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = usize::from_str_radix(line(reader)?.trim(), 16).map_err(io::Error::other)?;
        let start = body.len();
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..])?;
        line(reader)?;
        if size == 0 {
            return Ok(body);
        }
    }
}
