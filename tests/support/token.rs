//! A hardware security module in software: SoftHSM with a token of its own in a temporary folder.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A token, its PIN in a file, and what a process needs to find them.
pub struct SoftToken {
    folder: TempDir,
}

impl SoftToken {
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("token-").unwrap();
        fs::create_dir(folder.path().join("tokens")).unwrap();
        let settings =
            format!("directories.tokendir = {}\nobjectstore.backend = file\n", folder.path().join("tokens").display());
        fs::write(folder.path().join("softhsm2.conf"), settings).unwrap();
        let token = Self { folder };
        token.set_pin(PIN);
        token.tool(&["--init-token", "--free", "--label", LABEL, "--pin", PIN, "--so-pin", "87654321"]);
        token
    }

    /// Settings of a service that keeps its key in this token.
    pub fn settings(&self) -> String {
        format!(
            "[keys]\nprovider = \"pkcs11\"\npkcs11_module = {:?}\npkcs11_token_label = {LABEL:?}\npkcs11_pin_file = {:?}\n",
            MODULE,
            self.folder.path().join("pin"),
        )
    }

    /// A command that finds the token.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("SOFTHSM2_CONF", self.configuration());
        command
    }

    pub fn configuration(&self) -> PathBuf {
        self.folder.path().join("softhsm2.conf")
    }

    /// What the service is told is the PIN.
    pub fn set_pin(&self, pin: &str) {
        fs::write(self.folder.path().join("pin"), format!("{pin}\n")).unwrap();
    }

    /// As if the module were unplugged.
    pub fn unplug(&self) {
        fs::rename(self.folder.path().join("tokens"), self.folder.path().join("away")).unwrap();
        fs::create_dir(self.folder.path().join("tokens")).unwrap();
    }

    pub fn plug_in(&self) {
        fs::remove_dir(self.folder.path().join("tokens")).unwrap();
        fs::rename(self.folder.path().join("away"), self.folder.path().join("tokens")).unwrap();
    }

    /// Files of objects in the token.
    pub fn objects(&self) -> Vec<PathBuf> {
        let token = fs::read_dir(self.folder.path().join("tokens")).unwrap().next().unwrap().unwrap().path();
        let files = fs::read_dir(token).unwrap().map(|file| file.unwrap().path());
        let mut objects: Vec<_> = files
            .filter(|file| file.extension().is_some_and(|ext| ext == "object"))
            .filter(|file| file.file_stem().is_some_and(|stem| stem != "token"))
            .collect();
        objects.sort();
        objects
    }

    /// Takes every key out of the token.
    pub fn wipe(&self) {
        self.objects().into_iter().for_each(|object| fs::remove_file(object).unwrap());
    }

    fn tool(&self, arguments: &[&str]) {
        let output = self.command(Path::new("softhsm2-util")).args(arguments).output().expect("package softhsm2");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

pub const PIN: &str = "2486013579";
pub const LABEL: &str = "hotline test";
pub const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
