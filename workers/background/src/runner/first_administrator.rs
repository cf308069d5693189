//! The account that the first day needs: made once, before the worker is ready.
//!
//! Its password comes from the file the operator named, or is made up and left in
//! `<state_dir>/first-administrator.txt`. That file is made before the account, so that a full disk
//! does not leave an account whose password nobody knows. The log of the process never sees it.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use hotline::audit::{AuditClient, AuditError, Outcome};
use hotline::config::Paths;
use hotline::lifecycle::ExitCode;
use hotline_domain::Domain;
use hotline_domain::people::FirstAdministrator;
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

/// Makes the account if nobody has one. `slot` keeps several workers from sharing a file.
pub(super) async fn ensure(paths: &Paths, domain: &Domain, audit: &AuditClient, slot: &str) -> Result<(), FirstError> {
    if !domain.people.nobody_is_here().await? {
        return Ok(());
    }
    let chosen = match &paths.admin_password_file {
        Some(path) => Some(password(path).map_err(|source| FirstError::Password { path: path.clone(), source })?),
        None => None,
    };
    let note_path = paths.state_dir.join(NOTE);
    let unwritten = |source| FirstError::Note { path: note_path.clone(), source };
    let note = match chosen {
        Some(_) => None,
        None => Some(Note::begin(&paths.state_dir, slot).map_err(unwritten)?),
    };
    // What cannot be recorded does not happen, so the record goes first.
    trail::durable(audit, &[trail::first_administrator(Outcome::Allowed)]).await?;
    let made = domain.people.create_first_administrator(chosen).await;
    if !matches!(made, Ok(Some(_))) {
        trail::durable(audit, &[trail::first_administrator(Outcome::Failed)]).await?;
    }
    let Some(FirstAdministrator { name, one_time_password }) = made? else { return Ok(()) };
    match (note, one_time_password) {
        (Some(note), Some(password)) => {
            note.finish(name, &password, &note_path).map_err(unwritten)?;
            tracing::info!(name, path = %note_path.display(), "made the first administrator; the password is in the file");
        }
        _ => tracing::info!(name, "made the first administrator with the password that was given"),
    }
    Ok(())
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

/// The file of the one-time password, under another name until it is whole.
struct Note {
    path: PathBuf,
    file: File,
    is_finished: bool,
}

impl Note {
    fn begin(state_dir: &Path, slot: &str) -> io::Result<Self> {
        let path = state_dir.join(format!(".{NOTE}.{slot}"));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        // Takes its place on the disk now, when failing harms nobody.
        file.write_all(&[b' '; NOTE_BYTES])?;
        file.sync_all()?;
        Ok(Self { path, file, is_finished: false })
    }

    fn finish(mut self, name: &str, password: &str, to: &Path) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        let text = Zeroizing::new(format!("name: {name}\npassword: {password}\n"));
        self.file.write_all_at(text.as_bytes(), 0)?;
        self.file.set_len(text.len() as u64)?;
        self.file.sync_all()?;
        fs::rename(&self.path, to)?;
        self.is_finished = true;
        File::open(to.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = fs::remove_file(&self.path);
        }
    }
}

const NOTE: &str = "first-administrator.txt";
const NOTE_BYTES: usize = 512;
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
        let (rooms, note) = (&fixture.rooms, fixture.path("first-administrator.txt"));
        for _ in 0..2 {
            ensure(&rooms.config.paths, &rooms.domain, &rooms.audit, "background-0").await.unwrap();
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
        fs::create_dir(fixture.path(".first-administrator.txt.background-0")).unwrap();
        let refused = ensure(&rooms.config.paths, &rooms.domain, &rooms.audit, "background-0").await;
        assert!(matches!(refused, Err(FirstError::Note { .. })));
        assert!(rooms.domain.people.nobody_is_here().await.unwrap());
    }
}
