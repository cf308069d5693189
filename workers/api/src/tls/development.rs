//! A certificate for a machine that has none yet: ECDSA P-256 for localhost, made once.
//!
//! Several workers start at the same moment; an exclusive lock on a file beside it lets one of them
//! make the pair and the others find it. Key first, certificate last: who sees the certificate
//! also finds its key.
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hotline::lifecycle::clock;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256};

use super::TlsError;

/// Paths of the pair, which exists when this returns.
pub(super) fn certificate(state_dir: &Path) -> Result<(PathBuf, PathBuf), TlsError> {
    let folder = state_dir.join("tls");
    let unmade = |error| TlsError::Development(folder.clone(), error);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(unmade)?;
    let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join("lock")).map_err(unmade)?;
    lock.lock().map_err(unmade)?;

    let (certificate, key) = (folder.join("dev-cert.pem"), folder.join("dev-key.pem"));
    if !is_fresh(&certificate) || !key.exists() {
        let (certificate_pem, key_pem) = make().map_err(TlsError::Signing)?;
        replace(&key, key_pem.as_bytes()).map_err(unmade)?;
        replace(&certificate, certificate_pem.as_bytes()).map_err(unmade)?;
        tracing::info!(certificate = %certificate.display(), "made a development certificate");
    }
    Ok((certificate, key))
}

fn make() -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "hotline development");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let today = jiff::Timestamp::from_millisecond(i64::try_from(clock::now_ms()).unwrap_or(0))
        .unwrap_or_default()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let on = |date: jiff::civil::Date| {
        rcgen::date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = on(today.saturating_sub(jiff::Span::new().days(1)));
    params.not_after = on(today.saturating_add(jiff::Span::new().days(VALID_DAYS)));
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn is_fresh(certificate: &Path) -> bool {
    let Ok(modified) = fs::metadata(certificate).and_then(|metadata| metadata.modified()) else { return false };
    // A file dated in the future has no age; it was made a moment ago under another clock.
    modified.elapsed().map_or(true, |age| age.as_secs() < (VALID_DAYS.unsigned_abs() - 7) * 86_400)
}

/// Whole or not at all: a reader never meets half a key.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Browsers refuse certificates that live longer than 398 days.
const VALID_DAYS: i64 = 397;
