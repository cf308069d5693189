//! One look at the running service: its status and its metrics page, at one moment.
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hotline::telemetry::Snapshot;

use crate::cli::admin;
use crate::supervisor::protocol::Status;

pub(super) struct Sample {
    pub(super) taken: Instant,
    pub(super) status: Status,
    pub(super) metrics: Snapshot,
}

impl Sample {
    pub(super) fn take(run_dir: &Path) -> anyhow::Result<Self> {
        let status = admin::status(run_dir)?;
        let address = status.metrics.parse().context("the supervisor named no address for its metrics")?;
        let text = metrics_page(address).with_context(|| format!("could not read http://{address}/metrics"))?;
        Ok(Self { taken: Instant::now(), status, metrics: Snapshot::parse(&text) })
    }
}

fn metrics_page(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(PAGE_BYTES_MAX).read_to_string(&mut answer)?;
    let (head, page) = answer.split_once("\r\n\r\n").context("the answer has no end of its head")?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "the answer was {:?}", head.lines().next().unwrap_or_default());
    Ok(page.to_owned())
}

/// Several times what the supervisor itself waits for its workers.
const PATIENCE: Duration = Duration::from_secs(5);
const PAGE_BYTES_MAX: u64 = 16 << 20;
