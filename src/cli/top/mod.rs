//! `hotline top`: who lives in which slot, what they do each second, and where work waits.
//!
//! Two samples of the admin socket and the metrics page make one picture (`figures`), which is laid out
//! without a terminal (`page`); `screen` keeps it fresh until somebody types q. Into a pipe goes one picture.
mod figures;
mod page;
mod sample;
mod screen;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal};
use std::process::ExitCode as Code;
use std::thread;
use std::time::Duration;

use anyhow::ensure;
use clap::{Args, value_parser};
use hotline::config::Config;

use super::output::print;
use figures::Figures;
use page::Page;
use sample::Sample;

#[derive(Args)]
pub(super) struct TopArguments {
    /// Milliseconds between two looks; rates and latencies are of this time.
    #[arg(long, default_value_t = 1_000, value_name = "MS", value_parser = value_parser!(u64).range(250..=60_000))]
    interval_ms: u64,
    /// Print one picture and leave; so it is also when nobody is at a terminal.
    #[arg(long)]
    once: bool,
}

pub(super) fn run(config: &Config, arguments: &TopArguments, json: bool) -> anyhow::Result<Code> {
    ensure!(!json, "top is for people; programs ask `hotline status --json` and the metrics page");
    let interval = Duration::from_millis(arguments.interval_ms);
    let first = Sample::take(&config.paths.run_dir)?;
    if arguments.once || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        // A rate needs two looks.
        thread::sleep(interval);
        let second = Sample::take(&config.paths.run_dir)?;
        let figures = Figures::between(Some(&first), &second);
        print(&Page { figures: &figures, trouble: None }.text())?;
    } else {
        screen::show(config.paths.run_dir.clone(), interval, first)?;
    }
    Ok(Code::SUCCESS)
}
