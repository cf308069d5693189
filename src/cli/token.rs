//! `hotline token`: a bearer token for automation, made by a worker at the supervisor's request.
use std::process::ExitCode as Code;
use std::time::Duration;

use anyhow::{Context, ensure};
use hotline::config::Config;

use super::admin;
use super::output::print;

#[derive(clap::Args)]
pub(super) struct TokenArguments {
    /// Whose rights the token has.
    #[arg(long, value_name = "NAME")]
    user: String,
    /// How long it is good for: 90s, 30m, 12h.
    #[arg(long, default_value = "1h", value_name = "TIME", value_parser = ttl)]
    ttl: Duration,
}

/// The token alone on standard output, so that `TOKEN=$(hotline token …)` works.
pub(super) fn mint(config: &Config, arguments: &TokenArguments, json: bool) -> anyhow::Result<Code> {
    let (token, expires_at) = admin::token(&config.paths.run_dir, &arguments.user, arguments.ttl)?;
    print(&if json { serde_json::json!({ "token": token, "expiresAt": expires_at }).to_string() } else { token })?;
    Ok(Code::SUCCESS)
}

fn ttl(text: &str) -> anyhow::Result<Duration> {
    let signed: jiff::SignedDuration =
        text.parse().with_context(|| format!("{text} is no time like 90s, 30m or 12h"))?;
    let ttl = Duration::try_from(signed).context("a token cannot end before it begins")?;
    ensure!(ttl >= Duration::from_secs(1), "a token lives at least a second");
    Ok(ttl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!(ttl("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(ttl("1h").unwrap(), Duration::from_secs(3_600));
        assert_eq!(ttl("1h 30m").unwrap(), Duration::from_secs(5_400));
        for bad in ["", "3600", "-1h", "0s", "soon", "1 fortnight"] {
            assert!(ttl(bad).is_err(), "{bad}");
        }
    }
}
