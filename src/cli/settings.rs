//! Where the settings come from, and `check-config`.
use std::path::{Path, PathBuf};
use std::process::ExitCode as Code;

use hotline::config::{Config, ConfigErrors, LoadFrom, Mistake};
use hotline::lifecycle::ExitCode;

use super::output::print;
use super::policy;

/// The settings of the file that was named, or of the first that is found, or the built-in defaults.
pub(super) fn load(named: Option<PathBuf>) -> Result<Config, ConfigErrors> {
    Config::load(LoadFrom::file_or_defaults(find(named)))
}

/// `hotline check-config [FILE]`: exit code 78 and every mistake, or silence and 0.
pub(super) fn check(named: Option<PathBuf>, json: bool) -> anyhow::Result<Code> {
    let file = find(named);
    let place = file.as_ref().map_or_else(|| "built-in defaults".to_owned(), |file| file.display().to_string());
    match usable(file)? {
        Ok(_) => {
            print(&if json {
                serde_json::json!({ "ok": true, "file": place }).to_string()
            } else {
                format!("{place}: no mistakes")
            })?;
            Ok(Code::SUCCESS)
        }
        Err(errors) => {
            if json {
                let mistakes: Vec<_> = errors.0.iter().map(shown).collect();
                print(&serde_json::json!({ "ok": false, "file": place, "mistakes": mistakes }).to_string())?;
            } else {
                eprint!("{errors}");
            }
            Ok(ExitCode::BadConfig.into())
        }
    }
}

/// The settings, if the service can also work by the policies that they name.
pub(super) fn usable(file: Option<PathBuf>) -> anyhow::Result<Result<Config, ConfigErrors>> {
    let loaded = Config::load(LoadFrom::file_or_defaults(file.clone()));
    let Ok(config) = loaded else { return Ok(loaded) };
    Ok(policy::mistakes(&config, file.as_deref())?.map(|()| config))
}

fn shown(mistake: &Mistake) -> serde_json::Value {
    serde_json::json!({
        "place": mistake.place, "key": mistake.key, "value": mistake.value, "remedy": mistake.remedy,
    })
}

pub(super) fn find(named: Option<PathBuf>) -> Option<PathBuf> {
    let usual = || USUAL_PLACES.iter().map(Path::new).find(|file| file.exists()).map(Path::to_owned);
    named.or_else(usual)
}

/// A clone's own settings before the machine's.
const USUAL_PLACES: [&str; 2] = ["config/hotline.toml", "/etc/hotline/hotline.toml"];
