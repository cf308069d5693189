//! `[workers]`: how many, how patient, how they come and go, and as whom.
use super::reader::Reader;
use super::{Sandbox, Workers};
use crate::sys::sandbox::{Account, account_named};

pub(super) fn workers(read: &mut Reader) -> Workers {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let api = read.number("workers.api", u16::try_from(cpus).unwrap_or(128).min(128), 1..=128);
    let background = read.number("workers.background", 1, 1..=64);
    let workers = Workers {
        api,
        background,
        api_min: read.number("workers.api_min", api, 1..=128),
        background_min: read.number("workers.background_min", background, 1..=64),
        busy_high_permille: read.number("workers.busy_high_permille", 700, 2..=1_000),
        busy_low_permille: read.number("workers.busy_low_permille", 350, 1..=999),
        queue_age_high_ms: read.number("workers.queue_age_high_ms", 5_000, 100..=3_600_000),
        scale_up_after_ms: read.number("workers.scale_up_after_ms", 3_000, 100..=3_600_000),
        scale_down_after_ms: read.number("workers.scale_down_after_ms", 60_000, 100..=86_400_000),
        pin: read.flag("workers.pin", true),
        ready_within_ms: read.number("workers.ready_within_ms", 30_000, 1_000..=600_000),
        drain_deadline_ms: read.number("workers.drain_deadline_ms", 20_000, 100..=600_000),
        heartbeat_late_ms: read.number("workers.heartbeat_late_ms", 10_000, 2_000..=600_000),
        backoff_first_ms: read.number("workers.backoff_first_ms", 100, 1..=60_000),
        backoff_max_ms: read.number("workers.backoff_max_ms", 10_000, 1..=600_000),
        backoff_reset_ms: read.number("workers.backoff_reset_ms", 60_000, 1_000..=86_400_000),
        upgrade_grace_ms: read.number("workers.upgrade_grace_ms", 10_000, 1..=600_000),
        sandbox: read.choice("workers.sandbox", Sandbox::On, &[("on", Sandbox::On), ("off", Sandbox::Off)]),
        user: account(read),
    };
    for (key, min, of, max) in [
        ("workers.api_min", workers.api_min, "workers.api", workers.api),
        ("workers.background_min", workers.background_min, "workers.background", workers.background),
    ] {
        if min > max {
            read.mistake(key, format!("must not be more than {of}, which is {max}"));
        }
    }
    if workers.busy_low_permille >= workers.busy_high_permille {
        read.mistake("workers.busy_low_permille", "must be less than workers.busy_high_permille");
    }
    if workers.backoff_max_ms < workers.backoff_first_ms {
        read.mistake("workers.backoff_max_ms", "must not be less than workers.backoff_first_ms");
    }
    workers
}

/// A name of this machine's accounts, or numbers for one that needs no name.
fn account(read: &mut Reader) -> Option<Account> {
    let text = read.text("workers.user", "");
    let account = match text.split_once(':').map(|(uid, gid)| (uid.parse(), gid.parse())) {
        _ if text.is_empty() => return None,
        Some((Ok(uid), Ok(gid))) => Some(Account { uid, gid, groups: Vec::new() }),
        Some(_) => None,
        None => account_named(&text).ok().flatten(),
    };
    match &account {
        None => {
            read.mistake(
                "workers.user",
                "is no account of this machine; name one, or give numbers such as \"995:995\"",
            );
        }
        Some(Account { uid: 0 | u32::MAX, .. } | Account { gid: 0 | u32::MAX, .. }) => {
            read.mistake("workers.user", "must not be root: its purpose is that workers are somebody else");
        }
        Some(_) => {}
    }
    account
}
