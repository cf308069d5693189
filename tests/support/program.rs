//! Small programs made on the spot, to stand where a worker should be.
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// An executable made of a few lines of C, by the compiler that links Rust's executables, too.
pub struct Program {
    folder: TempDir,
}

impl Program {
    /// `body` is what `main` does.
    pub fn new(body: &str) -> Self {
        let folder = TempDir::with_prefix("program-").unwrap();
        let source = folder.path().join("program.c");
        let head = "#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n";
        fs::write(&source, format!("{head}int main(void) {{\n{body}\n}}\n")).unwrap();
        let made = Command::new("cc").arg("-o").arg(folder.path().join("program")).arg(&source).status().unwrap();
        assert!(made.success());
        Self { folder }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("program")
    }
}
