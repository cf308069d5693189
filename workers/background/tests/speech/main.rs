//! Recordings in, words out: the decoders on real files, and the engine on the real model.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod decoders;
mod listening;

use std::path::{Path, PathBuf};

/// A file under `samples/`.
fn sample(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A model file; `make test` fetches them.
fn model(name: &str) -> PathBuf {
    let folder = std::env::var_os("HOTLINE_MODELS_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models"), PathBuf::from);
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is missing: fetch the models with workers/background/models/fetch-models.py",
        path.display()
    );
    path
}
