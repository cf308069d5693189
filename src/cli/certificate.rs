//! Whether a certificate and its key could serve: readable, fitting each other, valid today.
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, RootCertStore};

/// What is wrong, fit to be shown.
pub(super) fn check(chain_file: &Path, key_file: &Path) -> Result<(), String> {
    let in_chain = |error: &dyn std::fmt::Display| format!("tls.certificate {}: {error}", chain_file.display());
    let chain = CertificateDer::pem_file_iter(chain_file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| in_chain(&error))?;
    let key =
        PrivateKeyDer::from_pem_file(key_file).map_err(|error| format!("tls.key {}: {error}", key_file.display()))?;
    let Some((leaf, rest)) = chain.split_first() else { return Err(in_chain(&"holds no certificate")) };
    is_valid_now(leaf, rest).map_err(|error| in_chain(&error))?;
    CertifiedKey::from_der(chain.clone(), key, &default_provider()).map_err(|error| match error {
        Error::InconsistentKeys(_) => {
            format!("tls.key {} does not belong to tls.certificate {}", key_file.display(), chain_file.display())
        }
        error => in_chain(&error),
    })?;
    Ok(())
}

/// Dates only: who signed it is for callers to judge.
fn is_valid_now(leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add(rest.last().unwrap_or(leaf).clone().into_owned()).map_err(|error| error.to_string())?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider())).build();
    let verifier = verifier.map_err(|error| error.to_string())?;
    let anybody = ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into());
    match verifier.verify_server_cert(leaf, rest, &anybody, &[], UnixTime::now()) {
        Err(Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
            Err("has expired".to_owned())
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. })) => {
            Err("is not valid yet".to_owned())
        }
        Err(Error::InvalidCertificate(CertificateError::BadEncoding)) => Err("is not a certificate".to_owned()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    fn files(folder: &Path, name: &str, first_year: i32, last_year: i32) -> (PathBuf, PathBuf) {
        let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(first_year, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(last_year, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let paths = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.pem")));
        fs::write(&paths.0, certificate.pem()).unwrap();
        fs::write(&paths.1, key.serialize_pem()).unwrap();
        paths
    }

    #[test]
    fn what_could_not_serve_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let good = files(folder.path(), "good", 2020, 3000);
        let other = files(folder.path(), "other", 2020, 3000);
        let old = files(folder.path(), "old", 2000, 2001);
        let young = files(folder.path(), "young", 2999, 3000);
        assert_eq!(check(&good.0, &good.1), Ok(()));
        assert!(check(&good.0, &other.1).unwrap_err().contains("does not belong to"));
        assert!(check(&old.0, &old.1).unwrap_err().ends_with("has expired"));
        assert!(check(&young.0, &young.1).unwrap_err().ends_with("is not valid yet"));
        assert!(check(&good.1, &good.1).unwrap_err().contains("tls.certificate"));
        assert!(check(&good.0, &good.0).unwrap_err().contains("tls.key"));
        assert!(check(&folder.path().join("nowhere"), &good.1).is_err());
    }
}
