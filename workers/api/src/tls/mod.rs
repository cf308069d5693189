//! TLS 1.3 and nothing older: three suites, post-quantum key exchange first, no early data.
//!
//! The certificate comes from files, or is made for development; either way a worker that cannot
//! read it does not start.
mod development;
mod tickets;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hotline::config::Config;
use parking_lot::RwLock;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub(crate) use tickets::Tickets;

/// Why no TLS could be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("could not read the certificate chain in {0}")]
    Certificate(PathBuf, #[source] rustls::pki_types::pem::Error),
    #[error("could not read the private key in {0}")]
    Key(PathBuf, #[source] rustls::pki_types::pem::Error),
    #[error("could not use the certificate with its key")]
    Unusable(#[source] rustls::Error),
    #[error("could not make a development certificate in {0}")]
    Development(PathBuf, #[source] std::io::Error),
    #[error("could not sign a development certificate")]
    Signing(#[source] rcgen::Error),
}

/// What the acceptor offers now. A reload changes it for the handshakes that follow.
pub(crate) struct Identity {
    config: Config,
    tickets: Tickets,
    current: RwLock<Arc<rustls::ServerConfig>>,
}

impl Identity {
    pub(crate) fn load(config: &Config, tickets: Tickets) -> Result<Self, TlsError> {
        let current = RwLock::new(Arc::new(server_config(config, tickets.clone())?));
        Ok(Self { config: config.clone(), tickets, current })
    }

    pub(crate) fn current(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.current.read())
    }

    /// Reads certificate and key again. Whatever is wrong with them, the old ones stay.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let new = Arc::new(server_config(&self.config, self.tickets.clone())?);
        *self.current.write() = new;
        Ok(())
    }
}

/// What the acceptor offers. HTTP/2 first, HTTP/1.1 for everybody else.
fn server_config(config: &Config, tickets: Tickets) -> Result<rustls::ServerConfig, TlsError> {
    let (certificate, key) = match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        _ => development::certificate(&config.paths.state_dir)?,
    };
    let (chain, key) = load(&certificate, &key)?;
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Unusable)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Our order is the order: a client that lists AES-128 first still gets AES-256.
    tls.ignore_client_order = true;
    tls.max_early_data_size = 0;
    tls.ticketer = Arc::new(tickets);
    // A second ticket costs every handshake 250 bytes and one more encryption, and few clients use it.
    tls.send_tls13_tickets = 1;
    Ok(tls)
}

fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
        ],
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1],
        ..aws_lc_rs::default_provider()
    }
}

fn load(certificate: &Path, key: &Path) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let unreadable = |error| TlsError::Certificate(certificate.to_owned(), error);
    let chain = CertificateDer::pem_file_iter(certificate)
        .map_err(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::Key(key.to_owned(), error))?;
    Ok((chain, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls13_suites_in_our_order() {
        let suites: Vec<_> = provider().cipher_suites.iter().map(|suite| suite.suite()).collect();
        assert_eq!(
            suites,
            [
                rustls::CipherSuite::TLS13_AES_256_GCM_SHA384,
                rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
                rustls::CipherSuite::TLS13_AES_128_GCM_SHA256
            ]
        );
        assert_eq!(provider().kx_groups[0].name(), rustls::NamedGroup::X25519MLKEM768);
    }

    #[test]
    fn a_development_certificate_is_made_once_and_then_used() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = development::certificate(folder.path()).unwrap();
        let first = std::fs::read(&certificate).unwrap();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let folder = folder.path().to_owned();
                std::thread::spawn(move || development::certificate(&folder).unwrap())
            })
            .collect();
        threads.into_iter().for_each(|thread| drop(thread.join().unwrap()));
        assert_eq!(std::fs::read(&certificate).unwrap(), first);
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        load(&certificate, &key).unwrap();
    }
}
