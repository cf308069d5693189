//! How long a killed worker's slot is away: until somebody accepts on its listener again, and until it serves.
//!
//! The service manager holds a duplicate of every listener, and the kernel tells how many connections wait in its
//! queue. So a few are put there, and when the queue becomes shorter somebody has accepted: the successor, or a sibling
//! that stands in. Nothing of the service takes part in the measurement.
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::fs::fstat;
use serde_json::Value;

use crate::support::{Hotline, ServiceManager, patience, until};

/// A worker or a supervisor that was killed, and the one that came after it.
#[derive(Clone, Debug)]
pub struct Return {
    pub role: String,
    /// From the signal to the first connection taken from the slot's listener, where there is one and somebody waited.
    pub accept: Option<Duration>,
    /// From the signal to the successor serving.
    pub serving: Duration,
}

/// Waits until another than `former` serves in the slot.
pub(super) fn until_back(
    hotline: &Hotline,
    manager: &ServiceManager,
    role: &str,
    slot: &str,
    former: i32,
    killed: Instant,
) -> Return {
    let listener = (role == "api").then(|| listener_of(manager, slot)).flatten();
    let name = format!("{role}-{slot}");
    let (mut probes, mut waiting) = (Vec::new(), 0);
    let (mut accept, mut serving) = (None, None);
    until(&format!("{name} serves again"), || {
        // In short steps: what is measured is shorter than the step of `until`.
        for _ in 0..STEPS {
            if let Some(listener) = listener.filter(|_| accept.is_none()) {
                let now_waiting = waiting_at(listener);
                if now_waiting < waiting {
                    accept = Some(killed.elapsed());
                }
                waiting = now_waiting;
                if waiting == 0 && serving.is_none() && probes.len() < PROBES_MAX {
                    probes.extend(TcpStream::connect(hotline.address));
                }
            }
            if serving.is_none() && workers(hotline).iter().any(|worker| is_successor(worker, &name, former)) {
                serving = Some(killed.elapsed());
            }
            if serving.is_some() && (accept.is_some() || waiting == 0) {
                return true;
            }
            std::thread::park_timeout(STEP);
        }
        false
    });
    Return { role: role.to_owned(), accept, serving: serving.expect("waited for") }
}

/// The rows of `hotline status`, asked for without a process.
pub(super) fn workers(hotline: &Hotline) -> Vec<Value> {
    ask(hotline).and_then(|told| Some(told["workers"].as_array()?.clone())).unwrap_or_default()
}

pub(super) fn is_serving(worker: &Value) -> bool {
    worker["phase"] == "serving"
}

pub(super) fn api_slots(hotline: &Hotline) -> usize {
    workers(hotline).iter().filter(|worker| worker["role"] == "api").count()
}

/// Runs, or is not yet done closing its descriptors.
pub(super) fn is_running(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

fn is_successor(worker: &Value, slot: &str, former: i32) -> bool {
    worker["slot"] == slot && is_serving(worker) && worker["pid"].as_i64() != Some(i64::from(former))
}

fn ask(hotline: &Hotline) -> Option<Value> {
    let mut stream = UnixStream::connect(hotline.state_dir().join("run/admin.sock")).ok()?;
    stream.set_read_timeout(Some(patience())).ok()?;
    stream.write_all(b"{\"command\":\"status\"}\n").ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

/// The listener's number in the kernel's table.
fn listener_of(manager: &ServiceManager, slot: &str) -> Option<u64> {
    let name = format!("slot-{slot}");
    manager.stored(|stored| Some(fstat(&stored.iter().find(|stored| stored.name == name)?.fd).ok()?.st_ino))
}

/// Connections in the queue of a listener. The table begins with the listeners, so little of it is read.
fn waiting_at(listener: u64) -> u64 {
    let table = BufReader::with_capacity(4 << 10, File::open("/proc/net/tcp").unwrap());
    let queue = table.lines().map_while(Result::ok).take(LISTENERS_MAX).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let is_it = columns.get(9)?.parse() == Ok(listener);
        is_it.then(|| u64::from_str_radix(columns[4].split(':').nth(1)?, 16).ok())?
    });
    queue.unwrap_or(0)
}

const STEP: Duration = Duration::from_millis(1);
/// Steps between two looks at the patience.
const STEPS: usize = 100;
/// Connections to all slots together, of which at least one then waits at the slot in question but in one of 2^32 cases.
const PROBES_MAX: usize = 32;
/// More than one machine has.
const LISTENERS_MAX: usize = 1_000;
