//! `hotline call FILE`: places a recording as a client would, waits for its result and shows the case.
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode as Code;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hotline::config::Config;
use serde_json::Value;

use super::admin;
use super::https::{Answer, Question, Trust, Url};
use super::output::print;

#[derive(clap::Args)]
pub(super) struct CallArguments {
    /// A recording: Opus, MP3, WAV, FLAC, AAC, Vorbis.
    file: PathBuf,
    /// In whose name; the token is made over the admin socket and lasts minutes.
    #[arg(long, default_value = "admin", value_name = "NAME")]
    user: String,
    /// The same key a second time shows the first call instead of placing another.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Whose law applies, for example US-CA; else what the settings say.
    #[arg(long, value_name = "CODE")]
    jurisdiction: Option<String>,
}

pub(super) fn place(config: &Config, arguments: &CallArguments, json: bool) -> anyhow::Result<Code> {
    let recording =
        fs::read(&arguments.file).with_context(|| format!("could not read {}", arguments.file.display()))?;
    let status = admin::status(&config.paths.run_dir)?;
    let (token, _) = admin::token(&config.paths.run_dir, &arguments.user, TOKEN_TTL)?;
    let service = Service { url: Url::of(status.address.parse()?), config, bearer: format!("Bearer {token}") };

    let first = service.upload(arguments, &recording)?;
    let call = match first["callId"].as_str() {
        Some(id) if first["transcription"].is_null() => service.wait_for(id)?,
        _ => first,
    };
    print(&if json { call.to_string() } else { story(&call) })?;
    Ok(Code::SUCCESS)
}

struct Service<'a> {
    url: Url,
    config: &'a Config,
    bearer: String,
}

impl Service<'_> {
    fn upload(&self, arguments: &CallArguments, recording: &[u8]) -> anyhow::Result<Value> {
        let mut body = Vec::with_capacity(recording.len() + 1_024);
        let mut field = |name: &str, value: &str| {
            body.extend_from_slice(
                format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                    .as_bytes(),
            );
        };
        field("consent", "true");
        if let Some(jurisdiction) = &arguments.jurisdiction {
            field("jurisdiction", jurisdiction);
        }
        let head = "Content-Disposition: form-data; name=\"audio\"; filename=\"recording\"\r\n\
                    Content-Type: application/octet-stream";
        body.extend_from_slice(format!("--{BOUNDARY}\r\n{head}\r\n\r\n").as_bytes());
        body.extend_from_slice(recording);
        body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());

        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        let mut headers = vec![("Content-Type", content_type.as_str()), ("Authorization", self.bearer.as_str())];
        headers.extend(arguments.idempotency_key.as_deref().map(|key| ("Idempotency-Key", key)));
        let question = Question { method: "POST", path: "/api/v1/voice/process", headers: &headers, body: &body };
        // The service itself decides how long it waits before it answers 202.
        let patience = Duration::from_millis(self.config.speech.synchronous_wait_ms) + PATIENCE;
        json_of(&self.url.ask(&question, Trust::Service(self.config), patience)?)
    }

    fn wait_for(&self, call_id: &str) -> anyhow::Result<Value> {
        let path = format!("/api/v1/voice/status/{call_id}");
        let headers = [("Authorization", self.bearer.as_str())];
        let until = Instant::now() + RESULT_WITHIN;
        loop {
            let question = Question { method: "GET", path: &path, headers: &headers, body: &[] };
            let call = json_of(&self.url.ask(&question, Trust::Service(self.config), PATIENCE)?)?;
            match call["status"].as_str() {
                Some("ready") => return Ok(call),
                Some(end @ ("failed" | "declined")) => {
                    bail!("the call has {end}: {}", call["error"].as_str().unwrap_or("no reason was given"))
                }
                state => ensure!(
                    Instant::now() < until,
                    "call {call_id} is still {}; it is kept and goes on, see GET {path}",
                    state.unwrap_or("waiting")
                ),
            }
            thread::sleep(POLL_EVERY);
        }
    }
}

fn json_of(answer: &Answer) -> anyhow::Result<Value> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    if matches!(answer.status, 200..=202) {
        return Ok(body);
    }
    let reason = body["detail"].as_str().or(body["title"].as_str()).unwrap_or("no reason was given");
    bail!("the service refused: {} {reason}", answer.status)
}

/// The call as somebody would tell it to a colleague.
fn story(call: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let analysis = &call["analysis"];
    let mut lines = vec![
        format!("call       {}", text(&call["callId"])),
        format!("case       {}", text(&call["caseNumber"])),
        format!("urgency    {}", text(&analysis["urgency"]["level"])),
    ];
    for issue in each(&analysis["issues"]) {
        let probability = issue["probability"].as_f64().unwrap_or(0.0) * 100.0;
        lines.push(format!("issue      {} {} ({probability:.0} %)", text(&issue["code"]), text(&issue["label"])));
    }
    for deadline in each(&analysis["deadlines"]) {
        lines.push(format!("deadline   {} {}", text(&deadline["safeDate"]), text(&deadline["label"])));
    }
    lines.push(format!("words      {}", text(&call["transcription"]["text"]).trim()));
    for step in each(&call["recommendations"]["steps"]) {
        let source = step["source"]["url"].as_str().map(|url| format!(" <{url}>")).unwrap_or_default();
        lines.push(format!("next step  {}{source}", text(&step["text"])));
    }
    lines.extend(call["recommendations"]["notice"].as_str().map(|notice| format!("\n{notice}")));
    lines.join("\n")
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// Long enough for the slowest machine to hear a short call.
const TOKEN_TTL: Duration = Duration::from_secs(15 * 60);
const RESULT_WITHIN: Duration = Duration::from_secs(10 * 60);
const POLL_EVERY: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(15);
/// 128 random bits, made once: no recording contains it.
const BOUNDARY: &str = "hotline-b7d1c0f25e8a4c4f9a3f6d2e91c84a57";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_story_names_the_case_the_issues_and_the_steps() {
        let call = json!({
            "callId": "c-1", "caseNumber": "482-109-375-614",
            "transcription": { "text": " They changed the locks. " },
            "analysis": {
                "urgency": { "level": "emergency" },
                "issues": [{ "code": "HO-02", "label": "Lock-out by landlord", "probability": 0.914 }],
                "deadlines": [{ "label": "Hearing", "safeDate": "2026-12-03" }],
            },
            "recommendations": { "notice": "This is information, not legal advice.", "steps": [{ "text": "Call the court." }] },
        });
        let told = story(&call);
        for part in ["482-109-375-614", "HO-02 Lock-out by landlord (91 %)", "2026-12-03 Hearing", "Call the court."] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert!(told.ends_with("not legal advice."));
        assert!(story(&Value::Null).contains("case       -"), "an empty answer is shown, not a crash");
    }

    #[test]
    fn a_refusal_shows_its_reason_only() {
        let answer = Answer { status: 413, body: br#"{"title":"Too long","detail":"At most 50 MiB."}"#.to_vec() };
        assert_eq!(json_of(&answer).unwrap_err().to_string(), "the service refused: 413 At most 50 MiB.");
    }
}
