//! A file comes in: sealed and hashed as it arrives, part of its case only when all of it is on disk and on record.
use axum::extract::multipart::Field;
use axum::extract::{FromRequest, Multipart, Request, State};
use data_encoding::HEXLOWER_PERMISSIVE;
use hotline::audit::EventType;
use hotline_domain::evidence::{EvidenceType, Kept, NewEvidence, Taken};
use hotline_domain::policy::{Action, Permissions};
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{EvidenceWithCustody, ProblemBody, hand};
use crate::app::Shared;
use crate::gate::Caller;
use crate::problem::{Problem, Reply};
use crate::routes::idempotency;
use crate::trail::{self, Act};
use crate::upload::{broken_form, form_problem, short_field};

#[derive(ToSchema)]
#[schema(as = EvidenceForm)]
#[allow(dead_code)] // only described, see `take`
pub(crate) struct EvidenceForm {
    /// Id or number.
    #[schema(rename = "caseId")]
    case_id: String,
    #[schema(rename = "evidenceType")]
    evidence_type: EvidenceType,
    description: Option<String>,
    /// Of the file, in hex: nothing is kept if it came differently.
    sha256: Option<String>,
    /// The last part, because it is sealed for its case while it arrives.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// What is said about the file, before it comes.
#[derive(Default)]
struct Fields {
    case: Option<String>,
    evidence_type: Option<EvidenceType>,
    description: Option<String>,
    sha256: Option<[u8; 32]>,
}

/// Takes a file for a case. The fields come before the file. With an `Idempotency-Key` a repeated request keeps one file.
#[utoipa::path(post, path = "/api/v1/evidence/upload", tag = "evidence",
    request_body(content = EvidenceForm, content_type = "multipart/form-data"),
    params(("Idempotency-Key" = Option<String>, Header, description = "Up to 255 visible characters; kept for a day")),
    responses((status = 201, body = EvidenceWithCustody), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 409, body = ProblemBody), (status = 413, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(crate) async fn upload(State(app): State<Shared>, caller: Caller, request: Request) -> Reply {
    caller.must(Permissions::CASE_WRITE)?;
    let headers = request.headers().clone();
    let _stream = app.evidence_stream()?;
    let mut form = Multipart::from_request(request, &()).await.map_err(|_| broken_form())?;
    let (bytes_max, mut fields, mut parts) = (app.config.limits.evidence_bytes_max, Fields::default(), 0);
    while let Some(mut part) = form.next_field().await.map_err(|error| form_problem(&error, bytes_max))? {
        parts += 1;
        if parts > PARTS_MAX {
            return Err(Problem::bad_request("too-many-parts", "The form has too many parts."));
        }
        let name = part.name().unwrap_or_default().to_owned();
        if name == "file" {
            return take(&app, &caller, &headers, fields, part).await;
        }
        let text = short_field(&mut part, &name, FIELD_BYTES_MAX, bytes_max).await?;
        fields.set(&name, text.trim())?;
    }
    Err(Problem::invalid("/file", "The form has no part named file."))
}

async fn take(app: &Shared, caller: &Caller, headers: &HeaderMap, fields: Fields, mut file: Field<'_>) -> Reply {
    let before = |name: &'static str| Problem::invalid(name, "The field is missing; it comes before the file.");
    let case = fields.case.ok_or_else(|| before("/caseId"))?;
    let evidence_type = fields.evidence_type.ok_or_else(|| before("/evidenceType"))?;
    let case = app.case_with_evidence(caller, Action::CaseWrite, &case).await?;
    let new = NewEvidence {
        case: case.id,
        evidence_type,
        file_name: file.file_name().unwrap_or_default().to_owned(),
        description: fields.description,
        declared_type: file.content_type().map(str::to_owned),
    };
    let new = new.cleaned().map_err(|invalid| Problem::invalid(invalid.pointer, invalid.reason))?;
    let id = Uuid::now_v7();
    let taken = receive(app, caller, id, case.id, &mut file).await?;
    let wanted = check(&taken, fields.sha256);
    // It may have taken long: whoever was kept away meanwhile is.
    let allowed = app.case_with_evidence(caller, Action::CaseWrite, &case.id.to_string()).await;
    let act = || {
        let details =
            json!({ "case": case.id, "bytes": taken.bytes, "sha256": HEXLOWER_PERMISSIVE.encode(&taken.sha256) });
        Act::new(EventType::SystemChange, "evidence.upload", id).details(details)
    };
    let recorded = async {
        wanted?;
        allowed?;
        let content =
            [&taken.sha256[..], case.id.as_bytes(), new.file_name.as_bytes(), evidence_type.name().as_bytes()];
        let once = idempotency::once(app, headers, caller, &content)?;
        trail::change(app, &caller.visit, act()).await?;
        Ok(once)
    };
    let once = match recorded.await {
        Ok(once) => once,
        Err(problem) => {
            app.domain.evidence.drop_taken(id);
            return Err(problem);
        }
    };
    let kept = app.domain.evidence.keep(id, hand(caller), new, taken.clone(), once).await;
    if !matches!(kept, Ok(Kept::Done(_))) {
        trail::not_done(app, &caller.visit, act());
    }
    let (item, replayed) = match kept.map_err(|error| app.broken(error))? {
        Kept::Done(item) => (item, false),
        Kept::Before(item) => (item, true),
        Kept::OtherRequest => return Err(idempotency::other_request()),
        Kept::TooMany => {
            app.meters.refused("evidence");
            return Err(Problem::new(StatusCode::CONFLICT, "too-much-evidence", "Conflict")
                .detail("The case has as many files as a case may have."));
        }
    };
    if !replayed {
        let added = json!({ "event": "evidence.added", "caseId": case.id, "evidenceId": item.evidence_id });
        app.announce(format!("case:{}", case.id), &added);
    }
    let location = HeaderValue::try_from(format!("/api/v1/evidence/{}", item.evidence_id));
    let mut response = app.told(StatusCode::CREATED, &case, *item).await?;
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    idempotency::mark(&mut response, replayed);
    Ok(response)
}

/// All of it, on disk. If it does not come to its end, nothing of it stays.
async fn receive(app: &Shared, caller: &Caller, id: Uuid, case: Uuid, file: &mut Field<'_>) -> Reply<Taken> {
    let bytes_max = app.config.limits.evidence_bytes_max;
    let intake = app.domain.evidence.begin(id, case).await.map_err(|error| app.broken(error))?;
    let mut bytes = 0;
    while let Some(piece) = file.chunk().await.map_err(|error| form_problem(&error, bytes_max))? {
        bytes += piece.len() as u64;
        if bytes > bytes_max {
            return Err(Problem::too_large(bytes_max));
        }
        // While the disk is behind, others are served.
        let _rest = app.admission.rest(caller.visit.ticket);
        if !intake.push(piece).await {
            break;
        }
    }
    intake.finish().await.map_err(|error| app.broken(error))
}

fn check(taken: &Taken, sha256: Option<[u8; 32]>) -> Reply<()> {
    if taken.bytes == 0 {
        return Err(Problem::invalid("/file", "The file is empty."));
    }
    if sha256.is_some_and(|sha256| sha256 != taken.sha256) {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "digest-mismatch", "Unprocessable content")
            .at("/sha256")
            .detail("What arrived is not what was announced; nothing was kept."));
    }
    Ok(())
}

impl Fields {
    fn set(&mut self, name: &str, text: &str) -> Reply<()> {
        let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        match name {
            "caseId" => self.case = said(text),
            "description" => self.description = said(text),
            "evidenceType" => {
                let known = EvidenceType::parse(&text.to_ascii_lowercase());
                let kinds = EvidenceType::ALL.map(EvidenceType::name).join(", ");
                self.evidence_type =
                    Some(known.ok_or_else(|| Problem::invalid("/evidenceType", format!("one of {kinds}")))?);
            }
            "sha256" => {
                let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
                self.sha256 = Some(bytes.ok_or_else(|| Problem::invalid("/sha256", "64 hexadecimal digits"))?);
            }
            _ => return Err(Problem::invalid(format!("/{name}"), "There is no such field.")),
        }
        Ok(())
    }
}

const PARTS_MAX: usize = 16;
const FIELD_BYTES_MAX: usize = 40_000;
