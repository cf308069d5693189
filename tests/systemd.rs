//! The unit files, as systemd's own tools judge them.
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::{binaries, repository};

/// What `make install` makes, below a folder: the tools look for units and programs there.
struct Installed {
    folder: TempDir,
}

impl Installed {
    fn new() -> Self {
        let folder = TempDir::with_prefix_in("installed-", env!("CARGO_TARGET_TMPDIR")).unwrap();
        let made = Command::new("make")
            .current_dir(repository())
            .env_remove("MAKEFLAGS")
            .args(["--silent", "install-service", "INSTALL_PROGRAM=ln -f"])
            .arg(format!("BUILD={}", binaries().display()))
            .arg(format!("DESTDIR={}", folder.path().display()))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", told(&made));
        Self { folder }
    }

    fn unit(&self, name: &str) -> PathBuf {
        self.folder.path().join("usr/lib/systemd/system").join(name)
    }

    /// The service as an operator would run it with these drop-ins, in a folder of its own.
    fn with_drop_ins(&self, names: &[&str]) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let unit = folder.path().join("hotline.service");
        std::fs::copy(self.unit("hotline.service"), &unit).unwrap();
        let drop_ins = folder.path().join("hotline.service.d");
        std::fs::create_dir(&drop_ins).unwrap();
        for name in names {
            let file = self.folder.path().join("usr/share/doc/hotline/drop-ins").join(name);
            std::fs::copy(&file, drop_ins.join(name)).unwrap();
        }
        (folder, unit)
    }
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn drop_ins() -> Vec<String> {
    let folder = std::fs::read_dir(repository().join("systemd/drop-ins")).unwrap();
    folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// `systemd-analyze security` ends with failure when the exposure is above the threshold, in tenths.
fn security(unit: &Path, tenths_max: u32) -> Output {
    Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", &format!("--threshold={tenths_max}")])
        .arg(unit)
        .output()
        .expect("systemd-analyze; `make test` installs it")
}

/// Anything systemd would ignore or wonder about is a mistake, but that our programs are not at home here.
fn complaints(unit: &Path) -> Vec<String> {
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(unit).output().unwrap();
    let expected = |line: &str| line.contains("Command /usr/bin/hotline is not executable");
    told(&output).lines().filter(|line| !expected(line)).map(str::to_owned).collect()
}

#[test]
fn systemd_has_no_complaint_about_any_unit() {
    let installed = Installed::new();
    for name in ["hotline.service", "hotline-alerts.service"] {
        assert_eq!(complaints(&installed.unit(name)), [""; 0]);
    }
    let socket = installed.unit("hotline@0.socket");
    std::fs::copy(installed.unit("hotline@.socket"), &socket).unwrap();
    assert_eq!(complaints(&socket), [""; 0]);
    for name in drop_ins() {
        let (_folder, unit) = installed.with_drop_ins(&[&name]);
        assert_eq!(complaints(&unit), [""; 0], "{name}");
    }
}

#[test]
fn a_misspelt_directive_would_be_found() {
    let installed = Installed::new();
    let (_folder, unit) = installed.with_drop_ins(&[]);
    let text = std::fs::read_to_string(&unit).unwrap().replace("NoNewPrivileges=", "NoNewPrivilege=");
    std::fs::write(&unit, text).unwrap();
    assert!(complaints(&unit).iter().any(|line| line.contains("NoNewPrivilege")));
    assert!(!security(&unit, 10).status.success(), "and counted");
}

#[test]
fn the_service_is_exposed_by_1_0_at_most_and_each_drop_in_costs_what_it_must() {
    let installed = Installed::new();
    let exposed = |names: &[&str], tenths_max: u32| {
        let (_folder, unit) = installed.with_drop_ins(names);
        let output = security(&unit, tenths_max);
        assert!(output.status.success(), "{names:?} above {tenths_max} tenths:\n{}", told(&output));
    };
    exposed(&[], 10);
    exposed(&["admin-password.conf"], 10);
    exposed(&["public.conf"], 11);
    exposed(&["operators.conf"], 12);
    exposed(&["public.conf", "port-443.conf"], 15);
    exposed(&["separate-account.conf"], 21);
    // It must reach receivers wherever they are.
    let output = security(&installed.unit("hotline-alerts.service"), 12);
    assert!(output.status.success(), "{}", told(&output));
}

#[test]
fn account_and_folders_are_made_by_the_standard_tools() {
    let installed = Installed::new();
    let root = format!("--root={}", installed.folder.path().display());
    let dry = Command::new("systemd-sysusers").args([&root, "--dry-run"]).output().unwrap();
    assert!(dry.status.success(), "{}", told(&dry));
    assert!(told(&dry).contains("hotline"), "would make the account: {}", told(&dry));
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root may give files to the account");
        return;
    }
    let made = Command::new("systemd-sysusers").arg(&root).output().unwrap();
    assert!(made.status.success(), "{}", told(&made));
    let made = Command::new("systemd-tmpfiles").args([&root, "--create", "hotline.conf"]).output().unwrap();
    assert!(made.status.success(), "{}", told(&made));
    let mode = |path: &str| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(installed.folder.path().join(path)).unwrap().mode() & 0o777
    };
    assert_eq!(mode("etc/hotline"), 0o750);
    assert_eq!(mode("etc/hotline/tls"), 0o750);
    assert_eq!(mode("etc/hotline/hotline.toml"), 0o640);
    assert_eq!(mode("etc/credstore"), 0o700);
}

/// Nobody can check a directive whose reason is not told.
#[test]
fn every_block_of_directives_opens_with_its_reason() {
    for name in ["hotline.service", "hotline-alerts.service", "hotline@.socket"] {
        let text = std::fs::read_to_string(repository().join("systemd").join(name)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2) {
            let is_directive = |line: &str| line.contains('=') && !line.starts_with(['#', '[']);
            let is_known = pair[1].starts_with("Description=") || pair[1].starts_with("WantedBy=");
            let has_reason = pair[0].starts_with('#') || is_directive(pair[0]) || is_known;
            assert!(!is_directive(pair[1]) || has_reason, "{name}: no reason for {}", pair[1]);
        }
    }
}
