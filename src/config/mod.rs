//! One parsed configuration for every process: parsed once, every mistake named at once, and after that
//! no field can be wrong.
mod alerts;
mod explain;
mod keys;
mod mistake;
mod parse;
mod parse_workers;
mod passkeys;
mod policies;
mod reader;
mod sections;
mod source;
#[cfg(test)]
mod tests;

pub use alerts::Alerts;
pub use keys::{Keys, Provider};
pub use mistake::{ConfigErrors, Mistake};
pub use policies::policy_files;
pub use sections::*;
pub use source::LoadFrom;

use reader::Reader;

impl Config {
    /// Defaults, file, environment, in this order; or all mistakes.
    pub fn load(from: LoadFrom) -> Result<Self, ConfigErrors> {
        let (table, places) = from.merged().map_err(|mistake| ConfigErrors(vec![mistake]))?;
        let mut reader = Reader::new(from.place(), table, places);
        let config = parse::config(&mut reader);
        let mistakes = reader.finish();
        if mistakes.is_empty() { Ok(config) } else { Err(ConfigErrors(mistakes)) }
    }
}
