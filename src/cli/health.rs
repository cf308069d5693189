//! `hotline health`: asks the service over TLS, as a caller would, whether it can do its work.
use std::process::ExitCode as Code;
use std::time::Duration;

use anyhow::ensure;
use hotline::config::Config;

use super::admin;
use super::https::{Question, Trust, Url};
use super::output::print;

/// Exit code 0 and the answer when the service is ready; 1 when it is not or cannot be asked.
pub(super) fn ask(config: &Config, url: Option<&str>, json: bool) -> anyhow::Result<Code> {
    let url = match url {
        Some(text) => Url::parse(text)?,
        None => running(config)?,
    };
    let path = if url.path.is_empty() { "/health/ready" } else { url.path.as_str() };
    let question = Question { method: "GET", path, headers: &[("Accept", "application/json")], body: &[] };
    let answer = url.ask(&question, Trust::Service(config), PATIENCE)?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    if json {
        let body = serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text));
        let shown = serde_json::json!({ "healthy": answer.status == 200, "status": answer.status, "body": body });
        print(&shown.to_string())?;
    } else {
        print(&text)?;
    }
    Ok(if answer.status == 200 { Code::SUCCESS } else { Code::FAILURE })
}

/// Port 0 in the settings means that only the supervisor knows.
fn running(config: &Config) -> anyhow::Result<Url> {
    match admin::status(&config.paths.run_dir) {
        Ok(status) => Ok(Url::of(status.address.parse()?)),
        Err(error) => {
            ensure!(config.server.bind.port() != 0, "{error:#}");
            Ok(Url::of(config.server.bind))
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
