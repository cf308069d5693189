//! The service and its service manager on the one side, what is done to them on the other.
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::outcome::{Kill, Outcomes, Worker};
use super::plan::{Fault, Plan};
use super::watch::{self, Return};
use crate::support::{Client, Hotline, Installation, ServiceManager, until};

/// The running service, through all the lives of its supervisor.
pub(super) struct Scene {
    manager: ServiceManager,
    /// Gone only while one supervisor follows another.
    hotline: Option<Hotline>,
    client: Client,
    installation: Installation,
    backoff_max_ms: u64,
    reloads: u32,
    upgrades: usize,
    returns: Vec<Return>,
    /// Changes that the service refused or took back, in its words.
    refused: Vec<String>,
}

impl Scene {
    pub(super) fn set(plan: &Plan) -> Self {
        // Room for the listeners of every CPU, the scribe's, and the board.
        let manager = ServiceManager::new(256);
        let installation = Installation::new();
        let hotline = start(
            &manager,
            &installation,
            TempDir::with_prefix("hotline-").unwrap(),
            &overrides(0, plan.backoff_max_ms),
        );
        let client = hotline.admin();
        let listeners = watch::api_slots(&hotline);
        until("everything is entrusted to the service manager", || manager.stored_names().len() == listeners + 2);
        Self {
            manager,
            hotline: Some(hotline),
            client,
            installation,
            backoff_max_ms: plan.backoff_max_ms,
            reloads: 0,
            upgrades: 0,
            returns: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Somebody who may read and write cases.
    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(super) fn hotline(&self) -> &Hotline {
        self.hotline.as_ref().expect("one supervisor follows the other within `inflict`")
    }

    pub(super) fn returns(&self) -> Vec<Return> {
        self.returns.clone()
    }

    pub(super) fn refused(&self) -> Vec<String> {
        self.refused.clone()
    }

    /// Does it, and waits until everybody serves again.
    pub(super) fn inflict(&mut self, fault: &Fault, outcomes: &Outcomes) {
        match fault {
            Fault::Kill { chosen } => self.kill_worker(*chosen, outcomes),
            Fault::Reload => {
                self.reloads += 1;
                self.hotline().configure(&overrides(self.reloads, self.backoff_max_ms));
                self.change("reload");
            }
            Fault::Upgrade => {
                // To the same build under another name.
                let letter = char::from(b"abcdef"[self.upgrades % 6]);
                self.upgrades += 1;
                self.installation.install_all(letter);
                self.change("upgrade");
            }
            Fault::KillSupervisor => self.kill_supervisor(),
        }
        until("every slot serves", || watch::workers(self.hotline()).iter().all(watch::is_serving));
    }

    fn kill_worker(&mut self, chosen: usize, outcomes: &Outcomes) {
        let mut serving = watch::workers(self.hotline());
        serving.retain(watch::is_serving);
        serving.sort_by_key(|worker| worker["slot"].as_str().map(str::to_owned));
        let victim = &serving[chosen % serving.len()];
        let pid = i32::try_from(victim["pid"].as_i64().unwrap()).unwrap();
        let (role, slot) = victim["slot"].as_str().unwrap().rsplit_once('-').unwrap();

        let killed = Instant::now();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        until("the killed worker is gone", || !watch::is_running(pid));
        let gone = Instant::now();
        if role == "api" {
            let generation = u32::try_from(victim["generation"].as_u64().unwrap()).unwrap();
            let worker = Worker { slot: slot.parse().unwrap(), generation };
            outcomes.note_kill(Kill { worker, killed, gone });
        }
        let came_back = watch::until_back(self.hotline(), &self.manager, role, slot, pid, killed);
        self.returns.push(came_back);
    }

    fn change(&mut self, command: &str) {
        let output = self.hotline().command(&[command]);
        if !output.status.success() {
            self.refused.push(format!("{command}: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
    }

    fn kill_supervisor(&mut self) {
        let hotline = self.hotline.take().expect("one supervisor follows the other within `inflict`");
        let killed = Instant::now();
        let folder = hotline.kill_only_supervisor();
        let next = start(&self.manager, &self.installation, folder, &overrides(self.reloads, self.backoff_max_ms));
        assert_eq!(next.address, self.client.address, "the next supervisor was not given the listeners");
        self.hotline = Some(next);
        self.returns.push(Return { role: "supervisor".to_owned(), accept: None, serving: killed.elapsed() });
    }
}

fn start(manager: &ServiceManager, installation: &Installation, folder: TempDir, overrides: &str) -> Hotline {
    manager.start(&installation.path("hotline"), None, |command| Hotline::start_by(folder, overrides, command))
}

/// The defaults, but for budgets that one caller's load would spend, a back-off that many kills would spend waiting,
/// and one setting that is another after each reload.
fn overrides(reloads: u32, backoff_max_ms: u64) -> String {
    let backoff_first_ms = backoff_max_ms.min(100);
    format!(
        "[workers]\nbackoff_first_ms = {backoff_first_ms}\nbackoff_max_ms = {backoff_max_ms}\nupgrade_grace_ms = 200\n\
         [rate]\nauthenticated = {{ requests = 1000000000, window_seconds = 60 }}\n\
         [limits]\njson_bytes_max = {}\n",
        1_000_000 + reloads
    )
}
