//! Triage on request: of a text, a case or a call.
use std::sync::Arc;

use axum::extract::State;
use hotline::audit::EventType;
use hotline_domain::policy::{Action, Permissions};
use hotline_domain::triage::{Analysis, Input, Recommendations};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{ProblemBody, json};
use crate::app::Shared;
use crate::gate::Caller;
use crate::json::Json;
use crate::problem::{Problem, Reply};
use crate::trail::{self, Act};

/// Exactly one of `text`, `caseId` and `callId`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Question {
    text: Option<String>,
    case_id: Option<String>,
    call_id: Option<String>,
    /// For `recommend`: an analysis that was made before.
    analysis: Option<Analysis>,
    /// ISO 3166-2, for example `US-CA`.
    jurisdiction: Option<String>,
    /// BCP-47.
    language: Option<String>,
}

enum Subject {
    Text(String),
    Made(Box<Analysis>),
}

/// What a text is about, how fast it presses, and which dates run.
#[utoipa::path(post, path = "/api/v1/ai/analyze", tag = "ai", request_body = Question,
    responses((status = 200, body = Analysis), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn analyze(
    State(app): State<Shared>,
    caller: Caller,
    Json { value: question, .. }: Json<Question>,
) -> Reply {
    caller.must(Permissions::AI_USE)?;
    if question.analysis.is_some() {
        return Err(Problem::invalid("/analysis", "Give text, caseId or callId."));
    }
    let (subject, jurisdiction, language) = resolve(&app, &caller, question, "ai.analyze").await?;
    let analysis = match subject {
        Subject::Made(analysis) => *analysis,
        Subject::Text(text) => run(&app, text, language, jurisdiction).await?,
    };
    Ok(json(StatusCode::OK, &analysis))
}

/// Sourced next steps for a person to read: information, not advice, and a draft until somebody releases it.
#[utoipa::path(post, path = "/api/v1/ai/recommend", tag = "ai", request_body = Question,
    responses((status = 200, body = Recommendations), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody)))]
pub(crate) async fn recommend(
    State(app): State<Shared>,
    caller: Caller,
    Json { value: question, .. }: Json<Question>,
) -> Reply {
    caller.must(Permissions::AI_USE)?;
    let (subject, jurisdiction, language) = resolve(&app, &caller, question, "ai.recommend").await?;
    let analysis = match subject {
        Subject::Made(analysis) => *analysis,
        Subject::Text(text) => run(&app, text, language, jurisdiction.clone()).await?,
    };
    let steps = app.triage.recommend(&analysis, &jurisdiction, app.today());
    Ok(json(StatusCode::OK, &steps))
}

/// Finds what the question is about and records that it was asked.
async fn resolve(
    app: &Shared,
    caller: &Caller,
    question: Question,
    action: &'static str,
) -> Reply<(Subject, String, Option<String>)> {
    let Question { text, case_id, call_id, analysis, jurisdiction, language } = question;
    let default = || app.config.triage.jurisdiction.clone();
    let (subject, known_jurisdiction, id) = match (text, case_id, call_id, analysis) {
        (Some(text), None, None, None) => {
            if text.trim().is_empty() {
                return Err(Problem::invalid("/text", "The text is empty."));
            }
            (Subject::Text(text), None, String::new())
        }
        (None, Some(id), None, None) => {
            let (case, _) = app.case_for(caller, Action::AiUse, &id).await?;
            let narrative = case.narrative.clone().unwrap_or_default();
            (Subject::Text(narrative), Some(case.jurisdiction.clone()), case.id.to_string())
        }
        (None, None, Some(id), None) => {
            let call = app.call_for(caller, Action::AiUse, &id).await?;
            let subject = match (call.analysis, call.transcription) {
                (Some(analysis), _) => Subject::Made(Box::new(analysis)),
                (None, Some(transcript)) => Subject::Text(transcript.text),
                (None, None) => {
                    return Err(Problem::new(StatusCode::CONFLICT, "not-transcribed", "Conflict")
                        .detail("The call is not transcribed yet."));
                }
            };
            (subject, Some(call.jurisdiction), call.call_id.to_string())
        }
        (None, None, None, Some(analysis)) => (Subject::Made(Box::new(analysis)), None, String::new()),
        _ => return Err(Problem::invalid("", "Give exactly one of text, caseId, callId and analysis.")),
    };
    let jurisdiction = jurisdiction.or(known_jurisdiction).unwrap_or_else(default);
    let act = Act::new(EventType::DataAccess, action, &id).details(json!({ "jurisdiction": jurisdiction }));
    trail::reading(app, &caller.visit, act).await?;
    Ok((subject, jurisdiction, language))
}

/// Triage is arithmetic without waiting: a long text would hold up everybody else on the request runtime.
async fn run(app: &Shared, text: String, language: Option<String>, jurisdiction: String) -> Reply<Analysis> {
    let _turn = app.analyses.acquire().await.map_err(|_| Problem::internal())?;
    let (triage, called_on) = (Arc::clone(&app.triage), app.today());
    let analyze = move || {
        let input = Input { text: &text, language: language.as_deref(), called_on, jurisdiction: &jurisdiction };
        triage.analyze(&input, None)
    };
    tokio::task::spawn_blocking(analyze).await.map_err(|_| Problem::internal())
}
