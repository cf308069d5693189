//! A small HTTPS client for asking our own service: one request on one connection, bounded in bytes and time.
//!
//! On a loopback address the service is recognised by the very certificate it is configured with (or
//! made for itself), whatever name that carries; elsewhere the system's authorities decide.
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use hotline::config::Config;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned};

/// Where to ask.
#[derive(Debug)]
pub(super) struct Url {
    host: String,
    port: u16,
    pub(super) path: String,
}

/// Whom to believe to be who they say.
#[derive(Clone, Copy)]
pub(super) enum Trust<'a> {
    /// Our own service, by the certificate it is configured with.
    Service(&'a Config),
    /// Whoever these authorities vouch for; none: the system's.
    Authorities(Option<&'a Path>),
}

/// What to ask.
pub(super) struct Question<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Url {
    /// `https://host[:port][/path]`; the scheme may be left out.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let rest = text.strip_prefix("https://").unwrap_or(text);
        ensure!(!rest.contains("://"), "{text}: only https is spoken here");
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().with_context(|| format!("{text}: {port} is not a port"))?)
            }
            _ => (authority, 443),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        ensure!(!host.is_empty(), "{text}: no host");
        Ok(Self { host, port, path: path.to_owned() })
    }

    pub(super) fn of(address: SocketAddr) -> Self {
        // Listening everywhere includes here.
        let host = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
            IpAddr::V6(ip) if ip.is_unspecified() => "::1".to_owned(),
            ip => ip.to_string(),
        };
        Self { host, port: address.port(), path: String::new() }
    }

    /// Asks, and reads the whole answer; gives up when nothing moves for `patience`.
    pub(super) fn ask(&self, question: &Question<'_>, trust: Trust<'_>, patience: Duration) -> anyhow::Result<Answer> {
        let address = (self.host.as_str(), self.port).to_socket_addrs()?.next();
        let address = address.ok_or_else(|| anyhow!("{} has no address", self.host))?;
        let socket = TcpStream::connect_timeout(&address, patience)
            .with_context(|| format!("could not connect to {address}"))?;
        socket.set_read_timeout(Some(patience))?;
        socket.set_write_timeout(Some(patience))?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(self.host.clone()).with_context(|| format!("{}: not a name", self.host))?;
        let session = ClientConnection::new(client_config(address.ip(), trust)?, name)?;
        let mut stream = StreamOwned::new(session, socket);
        stream.write_all(&self.head(question)).context("could not ask")?;
        stream.write_all(question.body).context("could not send the body")?;
        stream.flush()?;
        let mut text = Vec::new();
        read_to_end(&mut stream, &mut text).context("could not read the answer")?;
        parse_answer(&text)
    }

    fn head(&self, question: &Question<'_>) -> Vec<u8> {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {host}:{}\r\nConnection: close\r\nUser-Agent: hotline-cli\r\nContent-Length: {}\r\n",
            question.method,
            question.path,
            self.port,
            question.body.len()
        );
        for (name, value) in question.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// A peer that closes without saying goodbye still has answered: the length is checked afterwards.
fn read_to_end(stream: &mut impl Read, text: &mut Vec<u8>) -> io::Result<()> {
    match stream.take(ANSWER_BYTES_MAX).read_to_end(text) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        result => result.map(drop),
    }
}

fn parse_answer(text: &[u8]) -> anyhow::Result<Answer> {
    let end = text.windows(4).position(|four| four == b"\r\n\r\n").context("the answer has no head")?;
    let head = std::str::from_utf8(&text[..end]).context("the answer's head is not text")?;
    let body = &text[end + 4..];
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let status = status.context("the answer has no status")?;
    let header = |wanted: &str| {
        let pairs = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        pairs.filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim()).next()
    };
    if header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return Ok(Answer { status, body: unchunk(body)? });
    }
    if let Some(length) = header("content-length") {
        let length: usize = length.parse().context("the answer's length is no number")?;
        let body = body.get(..length).context("the answer broke off")?;
        return Ok(Answer { status, body: body.to_vec() });
    }
    Ok(Answer { status, body: body.to_vec() })
}

fn unchunk(mut rest: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").context("the answer broke off")?;
        let size = std::str::from_utf8(&rest[..end])?.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).context("a chunk's size is no number")?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(rest.get(..size).context("the answer broke off")?);
        rest = rest.get(size..).and_then(|rest| rest.strip_prefix(b"\r\n")).context("the answer broke off")?;
    }
}

fn client_config(ip: IpAddr, trust: Trust<'_>) -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let builder = match trust {
        Trust::Service(config) if ip.is_loopback() => {
            let known = read_certificates(&own_certificate(config))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Pinned { known, provider }))
        }
        Trust::Service(_) => builder.with_root_certificates(authorities(None)?),
        Trust::Authorities(file) => builder.with_root_certificates(authorities(file)?),
    };
    Ok(Arc::new(builder.with_no_client_auth()))
}

/// Those of the file, every one of which must be good; else as many of the system's as are.
pub(super) fn authorities(file: Option<&Path>) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(file) => {
            for certificate in read_certificates(file)? {
                roots.add(certificate).with_context(|| format!("{} holds no authority", file.display()))?;
            }
        }
        None => drop(roots.add_parsable_certificates(read_certificates(&system_authorities())?)),
    }
    Ok(roots)
}

fn own_certificate(config: &Config) -> PathBuf {
    let made = || config.paths.state_dir.join("tls/dev-cert.pem");
    config.tls.certificate.clone().unwrap_or_else(made)
}

pub(super) fn system_authorities() -> PathBuf {
    std::env::var_os("SSL_CERT_FILE").map_or_else(|| PathBuf::from(SYSTEM_BUNDLE), PathBuf::from)
}

pub(super) fn read_certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || -> anyhow::Result<Vec<_>> { Ok(CertificateDer::pem_file_iter(file)?.collect::<Result<_, _>>()?) };
    let certificates = read().with_context(|| format!("could not read certificates from {}", file.display()))?;
    if certificates.is_empty() {
        bail!("no certificate in {}", file.display());
    }
    Ok(certificates)
}

/// Believes exactly the certificates it knows. The handshake's signature is checked as always, so only
/// the holder of the key gets through.
#[derive(Debug)]
struct Pinned {
    known: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.known.iter().any(|known| known.as_ref() == end_entity.as_ref()) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General("the service shows a certificate that is not in its settings".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

const ANSWER_BYTES_MAX: u64 = 16 << 20;
const SYSTEM_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_every_form() {
        let parts = |text| Url::parse(text).map(|url| (url.host, url.port, url.path)).unwrap();
        assert_eq!(parts("https://127.0.0.1:7000"), ("127.0.0.1".to_owned(), 7_000, String::new()));
        assert_eq!(parts("https://[::1]:7000/health"), ("::1".to_owned(), 7_000, "/health".to_owned()));
        assert_eq!(parts("hotline.example"), ("hotline.example".to_owned(), 443, String::new()));
        assert_eq!(parts("[::1]"), ("::1".to_owned(), 443, String::new()));
        for bad in ["http://127.0.0.1", "https://:7000", "https://host:seventy", ""] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn answers_are_read_whole_or_refused() {
        let whole = parse_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        assert_eq!((whole.status, whole.body.as_slice()), (200, b"ok".as_slice()));
        let chunked = b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n3;x=y\r\nway\r\n0\r\n\r\n";
        let chunked = parse_answer(chunked).unwrap();
        assert_eq!((chunked.status, chunked.body.as_slice()), (503, b"noway".as_slice()));
        assert!(parse_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok").is_err());
        assert!(parse_answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nno").is_err());
        assert!(parse_answer(b"garbage").is_err());
    }

    #[test]
    fn listening_everywhere_is_reached_here() {
        assert_eq!(Url::of("0.0.0.0:7000".parse().unwrap()).host, "127.0.0.1");
        assert_eq!(Url::of("[::]:7000".parse().unwrap()).host, "::1");
    }
}
