//! Folder rules (Landlock): a process opens what lies under its folders and nothing else, reaches no TCP
//! address, and signals nobody outside.
//!
//! The kernel may not know them, or not all of them; then what it knows is in force, and the version that
//! is returned says so. They hold for the calling thread and those it makes, so they come before any other.
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope, make_bitflags, path_beneath_rules,
};

/// What a process may still open. A path that is not there is left out: its folder must be made before.
#[derive(Clone, Debug, Default)]
pub struct Folders {
    pub read: Vec<PathBuf>,
    /// Read, written, made and removed under; never executed.
    pub write: Vec<PathBuf>,
}

/// Why the rules are not in force although the kernel has them.
#[derive(Debug, thiserror::Error)]
#[error("could not keep to the folders: {0}")]
pub struct FoldersError(#[from] landlock::RulesetError);

/// Keeps this thread and its descendants to the folders, for good. The kernel's version of the rules; 0: it has none.
pub fn keep_to_folders(folders: &Folders) -> Result<u8, FoldersError> {
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?
        .add_rules(path_beneath_rules(&folders.read, READ))?
        .add_rules(path_beneath_rules(&folders.write, WRITE))?
        .restrict_self()?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => 0,
        (_, LandlockStatus::Available { effective_abi, .. }) => effective_abi as u8,
        _ => 0,
    })
}

/// The rights that were there when this was written: a newer kernel's are not forbidden unseen.
const KNOWN: ABI = ABI::V6;
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir | Refer
});

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn what_is_not_named_is_out_of_reach() {
        let state = tempfile::tempdir().unwrap();
        let at = |name: &str| state.path().join(name);
        for folder in ["keys", "store", "models"] {
            fs::create_dir(at(folder)).unwrap();
            fs::write(at(folder).join("file"), folder).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let confined = || {
            let folders = Folders { read: vec![at("models"), at("missing")], write: vec![at("store")] };
            let abi = keep_to_folders(&folders).unwrap();
            if abi == 0 {
                return println!("this kernel has no folder rules");
            }
            let refused = |result: std::io::Result<()>| result.unwrap_err().kind() == ErrorKind::PermissionDenied;
            assert!(refused(fs::read(at("keys/file")).map(drop)));
            assert!(refused(fs::write(at("keys/other"), "")));
            assert!(refused(fs::write(at("file"), "")));
            assert!(refused(fs::rename(at("keys"), at("store/keys"))));
            assert_eq!(fs::read(at("models/file")).unwrap(), b"models");
            assert!(refused(fs::write(at("models/file"), "")));
            fs::create_dir(at("store/deeper")).unwrap();
            fs::write(at("store/deeper/new"), "new").unwrap();
            fs::rename(at("store/deeper/new"), at("store/new")).unwrap();
            fs::remove_dir(at("store/deeper")).unwrap();
            if abi >= 4 {
                assert!(refused(TcpListener::bind("127.0.0.1:0").map(drop)));
                assert!(refused(TcpStream::connect(address).map(drop)));
            }
        };
        std::thread::scope(|scope| scope.spawn(confined).join()).unwrap();
        TcpStream::connect(address).unwrap(); // only that thread was bound
    }
}
