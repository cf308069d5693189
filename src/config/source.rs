//! Where settings come from: the defaults, then a file, then the environment.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::mistake::Mistake;

/// A file, if any, and the variables that may override it.
#[derive(Clone, Debug, Default)]
pub struct LoadFrom {
    file: Option<PathBuf>,
    text: Option<String>,
    variables: Vec<(String, String)>,
}

impl LoadFrom {
    /// A file or the built-in defaults, and this process's environment.
    pub fn file_or_defaults(file: Option<PathBuf>) -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { file, text: None, variables }
    }

    /// Text instead of a file, and no environment.
    pub fn text(text: &str) -> Self {
        Self { file: None, text: Some(text.to_owned()), variables: Vec::new() }
    }

    /// With these variables instead of the process's.
    pub fn with_variables(mut self, variables: &[(&str, &str)]) -> Self {
        self.variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self
    }

    pub(super) fn place(&self) -> String {
        match (&self.file, &self.text) {
            (Some(file), _) => file.display().to_string(),
            (None, Some(_)) => "the given text".to_owned(),
            (None, None) => "built-in defaults".to_owned(),
        }
    }

    /// The merged table, and the variables that values came from.
    pub(super) fn merged(&self) -> Result<(Table, BTreeMap<String, String>), Mistake> {
        let mut table = self.file_table()?;
        let mut places = BTreeMap::new();
        // The system gives variables in any order; what they mean together must not depend on it.
        // Our own names come last and so win over the seed's.
        let mut variables: Vec<_> = self.variables.iter().collect();
        variables.sort_by_key(|(name, _)| (name.starts_with("HOTLINE_"), name.as_str()));
        for (name, value) in variables {
            for (key, value) in meaning(name, value, &table) {
                put(&mut table, &key, value);
                places.insert(key, name.clone());
            }
        }
        Ok((table, places))
    }

    fn file_table(&self) -> Result<Table, Mistake> {
        let whole = |remedy: String| Mistake { place: self.place(), key: String::new(), value: String::new(), remedy };
        let text = match (&self.file, &self.text) {
            (Some(file), _) => read(file).map_err(whole)?,
            (None, Some(text)) => text.clone(),
            (None, None) => String::new(),
        };
        text.parse().map_err(|error: toml::de::Error| whole(format!("is not TOML: {error}")))
    }
}

fn read(file: &Path) -> Result<String, String> {
    let bytes = fs::metadata(file).map_err(|error| format!("could not be read: {error}"))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(format!("has {bytes} bytes; a configuration has at most {FILE_BYTES_MAX}"));
    }
    fs::read_to_string(file).map_err(|error| format!("could not be read: {error}"))
}

/// What a variable sets. Others than ours set nothing; `HOSTNAME` is never read: containers set it.
fn meaning(name: &str, value: &str, table: &Table) -> Vec<(String, Value)> {
    let text = |key: &str| vec![(key.to_owned(), Value::from(value))];
    match name {
        "HOTLINE_STATE_DIR" => text("paths.state_dir"),
        "HOTLINE_MODELS_DIR" => text("paths.models_dir"),
        "HOTLINE_ADMIN_PASSWORD_FILE" => text("paths.admin_password_file"),
        "HOTLINE_BIND" => text("server.bind"),
        "HOTLINE_METRICS_BIND" => text("telemetry.metrics_bind"),
        "HOTLINE_WORKERS" => vec![("workers.api".to_owned(), value_of(value))],
        "NODE_ENV" => text("server.environment"),
        "TLS_CERT_PATH" => text("tls.certificate"),
        "TLS_KEY_PATH" => text("tls.key"),
        "ALLOWED_ORIGINS" => {
            let origins = value.split(',').map(|origin| Value::from(origin.trim())).collect();
            vec![("server.allowed_origins".to_owned(), Value::Array(origins))]
        }
        "PORT" => vec![("server.bind".to_owned(), Value::from(with_port(table, value)))],
        _ => by_section(name, value),
    }
}

/// `HOTLINE_<SECTION>_<KEY>` for every key of every section.
fn by_section(name: &str, value: &str) -> Vec<(String, Value)> {
    let Some(rest) = name.strip_prefix("HOTLINE_") else { return Vec::new() };
    let rest = rest.to_lowercase();
    let section = SECTIONS.iter().find_map(|section| Some((*section, rest.strip_prefix(section)?.strip_prefix('_')?)));
    section.map(|(section, key)| vec![(format!("{section}.{key}"), value_of(value))]).unwrap_or_default()
}

/// A TOML value if it is one, else the text itself.
fn value_of(text: &str) -> Value {
    let table: Option<Table> = format!("value = {text}").parse().ok();
    table.and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::from(text))
}

fn with_port(table: &Table, port: &str) -> String {
    let bind = table.get("server").and_then(|server| server.get("bind")).and_then(Value::as_str);
    let host = bind.and_then(|bind| bind.rsplit_once(':')).map_or("[::]", |(host, _)| host);
    format!("{host}:{port}")
}

fn put(table: &mut Table, key: &str, value: Value) {
    let Some((section, name)) = key.split_once('.') else { return };
    let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    if let Some(keys) = section.as_table_mut() {
        keys.insert(name.to_owned(), value);
    }
}

pub(super) const SECTIONS: [&str; 19] = [
    "alerts",
    "server",
    "paths",
    "tls",
    "workers",
    "limits",
    "admission",
    "rate",
    "sessions",
    "people",
    "cases",
    "passwords",
    "audit",
    "keys",
    "store",
    "cache",
    "speech",
    "triage",
    "telemetry",
];
const FILE_BYTES_MAX: u64 = 1 << 20;
