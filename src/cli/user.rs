//! `hotline user`: lets people in and out over the admin socket, for the day on which nobody can log in.
use std::process::ExitCode as Code;

use anyhow::bail;
use hotline::config::Config;
use hotline::wire::{PeopleAct, PersonLine};

use super::admin;
use super::output::{print, table};
use crate::supervisor::protocol::{Ask, Told};

#[derive(clap::Subcommand)]
pub(super) enum UserCommand {
    /// Make an account; its one-time password is printed.
    Add {
        name: String,
        /// admin, attorney, auditor, custodian, intake, paralegal, security, service, supervisor, caller; may be given again.
        #[arg(long = "role", required = true, value_name = "ROLE")]
        roles: Vec<String>,
    },
    /// Show who has an account.
    List,
    /// Give a new one-time password, and end all sessions.
    Reset {
        name: String,
        /// Take the second factor away, too.
        #[arg(long)]
        factor: bool,
        /// Leave the password as it is; with --factor.
        #[arg(long, requires = "factor")]
        keep_password: bool,
    },
    /// Close an account: its sessions end at once.
    Disable { name: String },
    /// Open a closed account again.
    Enable { name: String },
}

pub(super) fn run(config: &Config, command: UserCommand, json: bool) -> anyhow::Result<Code> {
    let act = match command {
        UserCommand::Add { name, roles } => PeopleAct::Add { name, roles },
        UserCommand::List => PeopleAct::List,
        UserCommand::Reset { name, factor, keep_password } => {
            PeopleAct::Reset { name, password: !keep_password, factor }
        }
        UserCommand::Disable { name } => PeopleAct::Disable { name },
        UserCommand::Enable { name } => PeopleAct::Enable { name },
    };
    let told = admin::ask(&config.paths.run_dir, &Ask::User { act })?;
    if json {
        print(&serde_json::to_string(&told)?)?;
        return Ok(Code::SUCCESS);
    }
    match told {
        Told::Users { users } => {
            let mut rows = vec![HEADING.map(str::to_owned).to_vec()];
            rows.extend(users.iter().map(row));
            print(&table(&rows))?;
        }
        Told::User { name, one_time_password: Some(password) } => {
            print(&format!("name: {name}\none-time password: {password}"))?;
        }
        Told::User { name, one_time_password: None } => print(&format!("name: {name}"))?,
        _ => bail!("the supervisor answered something else"),
    }
    Ok(Code::SUCCESS)
}

fn row(user: &PersonLine) -> Vec<String> {
    let account = match (user.disabled, user.must_change_password) {
        (true, _) => "closed",
        (false, true) => "new",
        (false, false) => "open",
    };
    let factor = if user.mfa { "yes" } else { "no" };
    vec![user.name.clone(), account.to_owned(), factor.to_owned(), user.roles.join(", ")]
}

const HEADING: [&str; 4] = ["name", "account", "second factor", "roles"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_accounts_and_new_ones_are_told_apart() {
        let account = |disabled, must_change_password| {
            let roles = vec!["admin".to_owned(), "attorney".to_owned()];
            row(&PersonLine { name: "ana".to_owned(), roles, disabled, mfa: true, must_change_password })
        };
        assert_eq!(account(false, false), ["ana", "open", "yes", "admin, attorney"]);
        assert_eq!(account(false, true)[1], "new");
        assert_eq!(account(true, true)[1], "closed");
    }
}
