//! The product as a package manager installs it: four executables in a folder, exchanged by rename while it runs.
//!
//! Another build is the same build under another name: a part of its build id is exchanged for as many letters.
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::binaries;

/// A folder with executables of some build.
pub struct Installation {
    folder: PathBuf,
    _ours: Option<TempDir>,
}

const PROGRAMS: [&str; 4] = ["hotline", "hotline-api", "hotline-background", "hotline-scribe"];

impl Installation {
    /// Of the build under test.
    pub fn new() -> Self {
        let ours = TempDir::with_prefix("installed-").unwrap();
        let installation = Self { folder: ours.path().to_owned(), _ours: Some(ours) };
        for name in PROGRAMS {
            let (from, to) = (binaries().join(name), installation.path(name));
            // Another file system needs a copy.
            fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(|_| ())).unwrap();
        }
        installation
    }

    /// Somebody else has installed it.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder, _ours: None }
    }

    pub fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    /// `0.1.0+…` of the build under test.
    pub fn build_id() -> String {
        let output = Command::new(binaries().join("hotline")).args(["version", "--json"]).output().unwrap();
        let version: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        version["build"].as_str().unwrap().to_owned()
    }

    /// Puts another build in place of these programs; `letter` names it. Tells its build id.
    pub fn install(&self, letter: char, programs: &[&str]) -> String {
        let own = Self::build_id();
        let (version, commit) = own.split_once('+').unwrap();
        // Optimised code keeps the end of a short text in its instructions, and what comes before in one piece.
        let (first, rest) = commit.split_at(4);
        let other = String::from_iter([letter; 4]);
        for name in programs {
            self.put(name, binaries().join(name).to_str().unwrap());
            self.patch(name, &format!("s/{version}+{first}/{version}+{other}/g"));
        }
        format!("{version}+{other}{rest}")
    }

    pub fn install_all(&self, letter: char) -> String {
        self.install(letter, &PROGRAMS)
    }

    /// Changes bytes of a program, which stay as many, by a script for `sed`.
    pub fn patch(&self, name: &str, script: &str) {
        let new = self.path(&format!("{name}.new"));
        fs::copy(self.path(name), &new).unwrap();
        let sed = Command::new("sed").env("LC_ALL", "C").args(["-i", script]).arg(&new).status().unwrap();
        assert!(sed.success());
        fs::rename(&new, self.path(name)).unwrap();
    }

    /// Puts any executable in place of a program.
    pub fn put(&self, name: &str, executable: &str) {
        let new = self.path(&format!("{name}.new"));
        fs::copy(executable, &new).unwrap();
        fs::rename(&new, self.path(name)).unwrap();
    }
}
