//! Where exported lines go: standard output, or a syslog server over TLS 1.3 (RFC 5425).
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::super::super::https::authorities;
use super::ExportArguments;

/// Where the lines go.
pub(super) enum Exit {
    Out,
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// The receiver could not be reached.
    Away,
}

impl Exit {
    pub(super) fn open(arguments: &ExportArguments) -> anyhow::Result<Self> {
        let Some(to) = &arguments.to else { return Ok(Self::Out) };
        let (host, _) =
            to.rsplit_once(':').with_context(|| format!("--to {to}: a host and a port, as logs.example.org:6514"))?;
        let address = to.to_socket_addrs()?.next().with_context(|| format!("{to} has no address"))?;
        let socket =
            TcpStream::connect_timeout(&address, PATIENCE).with_context(|| format!("could not connect to {to}"))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
        let mut session = ClientConnection::new(Arc::new(trusting(arguments.ca.as_deref())?), name)?;
        let mut socket = socket;
        while session.is_handshaking() {
            session
                .complete_io(&mut socket)
                .with_context(|| format!("{to} is not who it should be, or not TLS 1.3"))?;
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(session, socket))))
    }

    pub(super) fn again(self, arguments: &ExportArguments) -> Self {
        drop(self);
        thread::sleep(RETRY_AFTER);
        Self::open(arguments).unwrap_or(Self::Away)
    }

    /// Whether the receiver has not hung up.
    pub(super) fn must_be_there(&mut self) -> io::Result<()> {
        let stream = match self {
            Self::Out => return Ok(()),
            Self::Away => return Err(io::Error::from(io::ErrorKind::NotConnected)),
            Self::Tls(stream) => stream,
        };
        stream.sock.set_nonblocking(true)?;
        let read = stream.read(&mut [0; 64]);
        stream.sock.set_nonblocking(false)?;
        match read {
            Ok(0) => Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Says goodbye; who answers has read all before it.
    pub(super) fn close(&mut self) -> io::Result<()> {
        let Self::Tls(stream) = self else { return Ok(()) };
        stream.conn.send_close_notify();
        stream.flush()?;
        stream.sock.shutdown(Shutdown::Write)?;
        match io::copy(stream, &mut io::sink()) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) fn write(&mut self, lines: impl Iterator<Item = String>) -> io::Result<()> {
        match self {
            Self::Away => Err(io::Error::from(io::ErrorKind::NotConnected)),
            Self::Out => {
                let mut out = io::stdout().lock();
                lines.into_iter().try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush())
            }
            Self::Tls(stream) => {
                // RFC 5425: each message behind its length.
                let framed: String = lines.map(|line| format!("{} {line}", line.len())).collect();
                stream.write_all(framed.as_bytes())?;
                stream.flush()
            }
        }
    }
}

fn trusting(ca: Option<&Path>) -> anyhow::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13])?;
    Ok(builder.with_root_certificates(authorities(ca)?).with_no_client_auth())
}

const RETRY_AFTER: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);
