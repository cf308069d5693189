//! Whether evidence is what it was: everything that can be looked at again is, and each thing is told by itself.
use std::io::{self, Read};

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::intake::Hashing;
use super::{Document, Evidence, GONE, custody, open};
use crate::blobs::on_thread;
use crate::store::StoreError;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Check {
    /// `seal`, `bytes`, `sha256`, `sha512`, `details` or `custodyChain`.
    pub check: &'static str,
    pub ok: bool,
    pub detail: String,
}

/// What was found.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    pub evidence_id: Uuid,
    /// Every check is.
    pub ok: bool,
    pub checks: Vec<Check>,
}

impl Evidence {
    /// Reads all of it again, in pieces.
    pub async fn verify(&self, id: Uuid) -> Result<Verdict, StoreError> {
        let row = self.store.evidence(id).await?.ok_or(GONE)?;
        let chain = self.store.custody_of(id).await?;
        let opener = self.opener(&row)?;
        let document = open::<Document>(&opener, id, "evidence", "document", &row.document_sealed);
        let fault = custody::fault(&opener, &row, &chain);
        let reader = self.reader(&row);
        let read = on_thread(move || {
            let mut hashing = Hashing::new();
            let mut piece = Zeroizing::new(vec![0; PIECE_BYTES]);
            let mut reader = reader?;
            loop {
                match reader.read(&mut piece) {
                    Ok(0) => return Ok(hashing.finish()),
                    Ok(count) => hashing.update(&piece[..count]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                }
            }
        })
        .await;
        let check = |check, ok, right: &str, wrong: String| Check {
            check,
            ok,
            detail: if ok { right.to_owned() } else { wrong },
        };
        let unread = || "the stored file does not open to its end".to_owned();
        let compared = |name, same: Option<bool>| {
            let wrong = same.map_or_else(unread, |_| "differs from what was received".to_owned());
            check(name, same == Some(true), "as received", wrong)
        };
        let why = read.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let taken = read.as_ref().ok();
        let checks = vec![
            check("seal", read.is_ok(), "every segment opens under its key, in its place", why),
            compared("bytes", taken.map(|taken| taken.bytes == row.bytes)),
            compared("sha256", taken.map(|taken| taken.sha256 == row.sha256)),
            compared("sha512", taken.map(|taken| taken.sha512 == row.sha512)),
            check("details", document.is_ok(), "name, description and kind open", "they do not open".to_owned()),
            check("custodyChain", fault.is_none(), "every link follows the one before it", fault.unwrap_or_default()),
        ];
        Ok(Verdict { evidence_id: id, ok: checks.iter().all(|check| check.ok), checks })
    }
}

const PIECE_BYTES: usize = 64 << 10;
