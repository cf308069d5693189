//! What a caller said is nowhere in clear: not in the data folder, not in a log, not in `ps`.
use std::fs;
use std::path::{Path, PathBuf};

use crate::calls::place_call;
use crate::cases::new_case;
use crate::support::Hotline;

pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn contains(file: &Path, needle: &str) -> bool {
    let bytes = fs::read(file).unwrap_or_default().to_ascii_lowercase();
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn no_name_and_no_word_of_a_transcript_lies_in_clear() {
    let hotline = Hotline::start("");
    let lawyer = hotline.admin();
    place_call(&lawyer, "secret-1");
    let mut case = new_case("Zenobia Quackenbush");
    case["narrative"] = "The xylophone was impounded.".into();
    let path = lawyer.post_json("/api/v1/cases", &case).expect(201).header("Location").unwrap().to_owned();
    // Twice, so that the response cache holds it as well.
    (0..2).for_each(|_| drop(lawyer.get(&path).expect(200)));
    let token = String::from_utf8(hotline.command(&["token", "--user", "admin", "--ttl", "1h"]).stdout).unwrap();

    let state = hotline.state_dir();
    let secrets =
        ["zenobia", "quackenbush", "xylophone", "maria", "lopez", "peterson", "landlord", "2,400", "battery staple"];
    for file in files(&state).into_iter().chain([hotline.folder().join("log")]) {
        for secret in secrets {
            assert!(!contains(&file, secret), "{secret:?} lies in clear in {}", file.display());
        }
        assert!(!contains(&file, &token.trim().to_ascii_lowercase()), "a token lies in {}", file.display());
    }
}

#[test]
fn keys_and_state_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let hotline = Hotline::start("");
    for file in files(&hotline.state_dir()) {
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} is {mode:o}", file.display());
    }
}

#[test]
fn processes_show_no_secret_in_arguments_or_environment() {
    let hotline = Hotline::start("");
    let status = hotline.status();
    let key_files: Vec<Vec<u8>> =
        files(&hotline.state_dir().join("keys")).iter().map(|file| fs::read(file).unwrap()).collect();
    for worker in status["workers"].as_array().unwrap() {
        let pid = worker["pid"].as_i64().unwrap();
        for part in ["cmdline", "environ"] {
            let Ok(text) = fs::read(format!("/proc/{pid}/{part}")) else { continue };
            let shown = String::from_utf8_lossy(&text);
            assert!(!shown.contains("battery staple"), "{part} of {pid}");
            for key in key_files.iter().filter(|key| key.len() == 32) {
                assert!(!text.windows(32).any(|window| window == &key[..]));
            }
        }
    }
}
