//! `hotline policy check`: this program has the engine, so it is run for it, without a service and by anybody.
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use hotline::config::policy_files;
use hotline_domain::policy::Policy;

pub(crate) fn run(folder: &Path) -> ExitCode {
    let files = match policy_files(folder) {
        Ok(files) => files,
        Err(error) => return refused(&format!("could not read {}: {error}", folder.display())),
    };
    match Policy::load(&files) {
        Ok(policy) => {
            let told = format!("{}: {} policies, no mistakes\n", folder.display(), policy.count());
            let _ = io::stdout().write_all(told.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => refused(&error.to_string()),
    }
}

fn refused(reason: &str) -> ExitCode {
    let _ = io::stderr().write_all(format!("hotline: {reason}\n").as_bytes());
    hotline::lifecycle::ExitCode::BadConfig.into()
}
