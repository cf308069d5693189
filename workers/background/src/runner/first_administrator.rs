//! On the very first start somebody must be able to log in.
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use hotline::audit::{AuditClient, AuditError, EventType, Severity};
use hotline::config::Config;
use hotline_domain::Domain;
use hotline_domain::store::StoreError;
use zeroize::Zeroizing;

use super::trail::Act;

/// Why there is no first administrator.
#[derive(Debug, thiserror::Error)]
pub(super) enum FirstAdministratorError {
    #[error("could not read paths.admin_password_file: {0}")]
    Password(io::Error),
    #[error("could not write the one-time password: {0}")]
    Tell(io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// Makes the administrator if there is nobody. A password that was made up is left in a file for its
/// owner, never in a log.
pub(super) async fn ensure(
    config: &Config,
    domain: &Domain,
    audit: &AuditClient,
) -> Result<(), FirstAdministratorError> {
    let chosen = match &config.paths.admin_password_file {
        Some(file) if domain.people.nobody_is_here().await? => {
            Some(read(file).map_err(FirstAdministratorError::Password)?)
        }
        _ => None,
    };
    let Some(made) = domain.people.create_first_administrator(chosen).await? else { return Ok(()) };
    if let Some(password) = made.one_time_password {
        let file = config.paths.state_dir.join("first-administrator.txt");
        write(&file, made.name, &password).map_err(FirstAdministratorError::Tell)?;
        tracing::warn!(file = %file.display(), "the first administrator's one-time password is in a file; delete it");
    }
    let act = Act::new(EventType::SystemChange, "user.first-administrator", made.name).severity(Severity::High);
    audit.durable(audit.record(act.event())?).await?;
    Ok(())
}

fn read(file: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    File::open(file)?.take(PASSWORD_BYTES_MAX).read_to_string(&mut text)?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.chars().count() < PASSWORD_CHARS_MIN {
        let reason = format!("the password must have at least {PASSWORD_CHARS_MIN} characters");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(Zeroizing::new(password.to_owned()))
}

fn write(file: &Path, name: &str, password: &str) -> io::Result<()> {
    // A file of an earlier, unfinished start holds a password that was never stored.
    let _ = fs::remove_file(file);
    let mut out = File::options().write(true).create_new(true).mode(0o600).open(file)?;
    let text = Zeroizing::new(format!("name: {name}\npassword: {password}\n"));
    out.write_all(text.as_bytes())?;
    out.sync_all()
}

const PASSWORD_BYTES_MAX: u64 = 1_024;
/// SP 800-63B-4 for a password that is the only factor.
const PASSWORD_CHARS_MIN: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_password_is_refused_and_a_line_end_is_not_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        fs::write(&file, "short\n").unwrap();
        assert!(read(&file).is_err());
        fs::write(&file, "correct horse battery\r\n").unwrap();
        assert_eq!(*read(&file).unwrap(), "correct horse battery");
    }

    #[test]
    fn the_one_time_password_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("first-administrator.txt");
        write(&file, "admin", "secret").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
