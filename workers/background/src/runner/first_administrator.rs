//! The account that the first day needs: made once, before the worker is ready.
//!
//! Its password comes from the file the operator named, or is made up and left in
//! `<state_dir>/store/first-administrator.txt`. That file is on disk before the account is, so that neither a
//! full disk nor a kill leaves an account whose password nobody knows. The log of the process never
//! sees it.
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use hotline::audit::{AuditClient, AuditError, Outcome};
use hotline::config::Paths;
use hotline::lifecycle::ExitCode;
use hotline::sys::OfdLock;
use hotline_domain::Domain;
use hotline_domain::people::{FIRST_ADMINISTRATOR, one_time_password};
use hotline_domain::store::StoreError;
use zeroize::Zeroizing;

use super::trail;

/// Why there is no first administrator.
#[derive(Debug, thiserror::Error)]
pub(super) enum FirstError {
    #[error("could not read the administrator's password from {path}: {source}")]
    Password { path: PathBuf, source: io::Error },
    #[error("could not leave the one-time password in {path}: {source}")]
    Note { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Audit(#[from] AuditError),
}

impl FirstError {
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Password { .. } => ExitCode::BadConfig,
            Self::Note { .. } | Self::Store(_) | Self::Audit(_) => ExitCode::TryLater,
        }
    }
}

/// Makes the account if nobody has one. Of several workers one does, the others wait for it.
pub(super) async fn ensure(paths: &Paths, domain: &Domain, audit: &AuditClient) -> Result<(), FirstError> {
    if !domain.people.nobody_is_here().await? {
        return Ok(());
    }
    let folder = paths.store_dir();
    let note = folder.join(NOTE);
    let unwritten = |source| FirstError::Note { path: note.clone(), source };
    let turn = turn(&folder).map_err(unwritten)?;
    let _mine = turn.lock().map_err(unwritten)?;
    if !domain.people.nobody_is_here().await? {
        return Ok(());
    }
    let (password, must_change) = match &paths.admin_password_file {
        Some(path) => (password(path).map_err(|source| FirstError::Password { path: path.clone(), source })?, false),
        None => {
            let password = one_time_password()?;
            leave(&note, &password).map_err(unwritten)?;
            (password, true)
        }
    };
    // What cannot be recorded does not happen, so the record goes first.
    trail::durable(audit, &[trail::first_administrator(Outcome::Allowed)]).await?;
    match domain.people.create_first_administrator(password, must_change).await {
        Ok(true) => {
            match must_change {
                true => {
                    tracing::info!(path = %note.display(), "made the first administrator; the password is in the file")
                }
                false => tracing::info!("made the first administrator with the password that was given"),
            }
            Ok(())
        }
        not_made => {
            trail::durable(audit, &[trail::first_administrator(Outcome::Failed)]).await?;
            // An error may come after the account: then the note is all there is. The next start replaces it.
            if must_change && not_made.is_ok() {
                fs::remove_file(&note).map_err(unwritten)?;
            }
            Ok(not_made.map(drop)?)
        }
    }
}

fn turn(folder: &Path) -> io::Result<OfdLock> {
    let path = folder.join(".first-administrator.lock");
    Ok(OfdLock::new(File::options().create(true).append(true).mode(0o600).open(path)?))
}

/// The line end that editors add is not part of it.
fn password(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(PASSWORD_BYTES_MAX + 2));
    File::open(path)?.take(PASSWORD_BYTES_MAX as u64 + 2).read_to_string(&mut text)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.chars().count() < PASSWORD_CHARS_MIN || line.len() > PASSWORD_BYTES_MAX {
        let reason =
            format!("it must have {PASSWORD_CHARS_MIN} characters or more, and at most {PASSWORD_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// The note is whole or not there, and readable to its owner only.
fn leave(note: &Path, password: &str) -> io::Result<()> {
    let folder = note.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let part = folder.join(NOTE_PART);
    // What a killed start left may have been made with other rights.
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&part)?;
    let text = Zeroizing::new(format!("name: {FIRST_ADMINISTRATOR}\npassword: {password}\n"));
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&part, note)?;
    File::open(folder)?.sync_all()
}

const NOTE: &str = "first-administrator.txt";
const NOTE_PART: &str = ".first-administrator.txt.part";
/// SP 800-63B-4 for a password that is the only factor.
const PASSWORD_CHARS_MIN: usize = 15;
const PASSWORD_BYTES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::runner::testing::Fixture;

    #[test]
    fn a_short_password_is_refused_and_a_line_end_is_not_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        for refused in ["short\n".to_owned(), String::new(), "x".repeat(PASSWORD_BYTES_MAX + 1)] {
            fs::write(&file, refused).unwrap();
            assert!(password(&file).is_err());
        }
        fs::write(&file, "correct horse battery\r\n").unwrap();
        assert_eq!(*password(&file).unwrap(), "correct horse battery");
    }

    #[tokio::test]
    async fn the_password_that_was_made_up_opens_the_account_and_is_for_its_owner_only() {
        let fixture = Fixture::start();
        let (rooms, note) = (&fixture.rooms, fixture.path("store/first-administrator.txt"));
        for _ in 0..2 {
            ensure(&rooms.config.paths, &rooms.domain, &rooms.audit).await.unwrap();
        }
        assert_eq!(fs::metadata(&note).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&note).unwrap();
        let password = text.strip_prefix("name: admin\npassword: ").unwrap().strip_suffix('\n').unwrap();
        let admin = rooms.domain.people.verify("admin", password).await.unwrap().unwrap();
        assert!(admin.must_change_password);
        assert_eq!(fixture.actions(), ["user.first-administrator"]);
    }

    #[tokio::test]
    async fn a_note_that_cannot_be_left_leaves_no_account() {
        let fixture = Fixture::start();
        let rooms = &fixture.rooms;
        fs::create_dir(fixture.path("store").join(NOTE_PART)).unwrap();
        let refused = ensure(&rooms.config.paths, &rooms.domain, &rooms.audit).await;
        assert!(matches!(refused, Err(FirstError::Note { .. })));
        assert!(rooms.domain.people.nobody_is_here().await.unwrap());
    }
    #[tokio::test]
    async fn the_note_is_there_before_the_account() {
        let fixture = Fixture::start();
        let rooms = &fixture.rooms;
        // The log is the last thing before the account.
        fixture.deafen_scribe();
        let refused = ensure(&rooms.config.paths, &rooms.domain, &rooms.audit).await;
        assert!(matches!(refused, Err(FirstError::Audit(_))));
        assert!(rooms.domain.people.nobody_is_here().await.unwrap());
        assert!(fs::read_to_string(fixture.path("store").join(NOTE)).unwrap().starts_with("name: admin\npassword: "));
    }
}
