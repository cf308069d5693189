//! Evidence: rows that are never changed but for their state, and chains that only grow.
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{Id, Sqlite, once, subjects};
use crate::evidence::link;
use crate::store::{CustodyRow, CustodyStep, EvidenceItems, EvidenceRow, Inserted, OnceRow, StoreError};

/// In the order of `evidence_at`.
macro_rules! evidence_columns {
    () => {
        "id, \"case\", subject, kind, state, bytes, sha256, sha512, created_by, created_at_ms, document_sealed,
         erased_at_ms, (SELECT case_key_sealed FROM subject_keys WHERE subject_keys.id = subject)"
    };
}

/// In the order of `custody_at`.
macro_rules! custody_columns {
    () => {
        "id, evidence, subject, seq, kind, actor, at_ms, request_id, note_sealed, digest, previous, hash"
    };
}

#[async_trait]
impl EvidenceItems for Sqlite {
    async fn insert_evidence(
        &self,
        row: EvidenceRow,
        received: CustodyRow,
        once: Option<OnceRow>,
        items_max: u32,
    ) -> Result<Inserted, StoreError> {
        self.writer
            .write(move |db| {
                if let Some(earlier) = once::earlier(db, once.as_ref())? {
                    return Ok(earlier);
                }
                subjects::must_live(db, row.subject)?;
                let count = "SELECT count(*) FROM evidence WHERE \"case\" = ?1";
                let items: u32 = db.prepare_cached(count)?.query_row([row.case.as_bytes()], |row| row.get(0))?;
                if items >= items_max {
                    return Ok(Inserted::QueueFull);
                }
                insert(db, &row)?;
                append(db, received)?;
                once::keep(db, once.as_ref(), row.id)?;
                Ok(Inserted::Done)
            })
            .await
    }

    async fn evidence(&self, id: Uuid) -> Result<Option<EvidenceRow>, StoreError> {
        let sql = concat!("SELECT ", evidence_columns!(), " FROM evidence WHERE id = ?1");
        self.readers
            .read(move |db| Ok(db.prepare_cached(sql)?.query_row([id.as_bytes()], evidence_at).optional()?))
            .await
    }

    async fn evidence_of_case(&self, case: Uuid) -> Result<Vec<EvidenceRow>, StoreError> {
        let sql = concat!("SELECT ", evidence_columns!(), " FROM evidence WHERE \"case\" = ?1 ORDER BY id");
        self.readers
            .read(move |db| {
                let mut statement = db.prepare_cached(sql)?;
                let rows = statement.query_map([case.as_bytes()], evidence_at)?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn append_custody(&self, link: CustodyRow, step: CustodyStep) -> Result<bool, StoreError> {
        self.writer
            .write(move |db| {
                subjects::must_live(db, link.subject)?;
                let allowed = match step {
                    CustodyStep::Always => true,
                    CustodyStep::WhileKept => {
                        let sql = "SELECT 1 FROM evidence WHERE id = ?1 AND state = 'kept'";
                        db.prepare_cached(sql)?.exists([link.evidence.as_bytes()])?
                    }
                    CustodyStep::Seals => {
                        let sql = "UPDATE evidence SET state = 'sealed' WHERE id = ?1 AND state = 'kept'";
                        db.prepare_cached(sql)?.execute([link.evidence.as_bytes()])? == 1
                    }
                };
                if allowed {
                    append(db, link)?;
                }
                Ok(allowed)
            })
            .await
    }

    async fn custody_of(&self, evidence: Uuid) -> Result<Vec<CustodyRow>, StoreError> {
        let sql = concat!("SELECT ", custody_columns!(), " FROM custody WHERE evidence = ?1 ORDER BY seq");
        self.readers
            .read(move |db| {
                let mut statement = db.prepare_cached(sql)?;
                let rows = statement.query_map([evidence.as_bytes()], custody_at)?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn evidence_among(&self, ids: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
        self.readers
            .read(move |db| {
                let sql = "SELECT 1 FROM evidence WHERE id = ?1 AND erased_at_ms IS NULL";
                let mut statement = db.prepare_cached(sql)?;
                let mut known = Vec::new();
                for id in ids {
                    if statement.exists([id.as_bytes()])? {
                        known.push(id);
                    }
                }
                Ok(known)
            })
            .await
    }

    async fn erased_evidence(&self) -> Result<Vec<Uuid>, StoreError> {
        self.readers
            .read(|db| {
                let mut statement = db.prepare_cached("SELECT id FROM evidence WHERE erased_at_ms IS NOT NULL")?;
                let found = statement.query_map([], |row| Ok(row.get::<_, Id>(0)?.0))?;
                Ok(found.collect::<Result<_, _>>()?)
            })
            .await
    }
}

fn insert(db: &Connection, row: &EvidenceRow) -> Result<(), StoreError> {
    let sql = "INSERT INTO evidence (id, \"case\", subject, kind, state, bytes, sha256, sha512, created_by,
         created_at_ms, document_sealed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    db.prepare_cached(sql)?.execute(params![
        row.id.as_bytes(),
        row.case.as_bytes(),
        row.subject.as_bytes(),
        row.kind,
        row.state,
        row.bytes.cast_signed(),
        row.sha256,
        row.sha512,
        row.created_by.as_bytes(),
        row.created_at_ms,
        row.document_sealed,
    ])?;
    Ok(())
}

/// Behind the last link there is. The caller is inside a transaction.
fn append(db: &Connection, row: CustodyRow) -> Result<(), StoreError> {
    let sql = "SELECT seq, hash FROM custody WHERE evidence = ?1 ORDER BY seq DESC LIMIT 1";
    let last = db
        .prepare_cached(sql)?
        .query_row([row.evidence.as_bytes()], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, [u8; 32]>(1)?)));
    let (seq, previous) = last.optional()?.map_or((0, [0; 32]), |(seq, hash)| (seq + 1, hash));
    let sql = concat!(
        "INSERT INTO custody (",
        custody_columns!(),
        ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
    );
    db.prepare_cached(sql)?.execute(params![
        row.id.as_bytes(),
        row.evidence.as_bytes(),
        row.subject.as_bytes(),
        seq,
        row.kind,
        row.actor.as_bytes(),
        row.at_ms,
        row.request_id,
        row.note_sealed,
        row.digest,
        previous,
        link(previous, seq, row.digest),
    ])?;
    Ok(())
}

fn evidence_at(row: &Row<'_>) -> rusqlite::Result<EvidenceRow> {
    Ok(EvidenceRow {
        id: row.get::<_, Id>(0)?.0,
        case: row.get::<_, Id>(1)?.0,
        subject: row.get::<_, Id>(2)?.0,
        kind: row.get(3)?,
        state: row.get(4)?,
        bytes: row.get::<_, i64>(5)?.cast_unsigned(),
        sha256: row.get(6)?,
        sha512: row.get(7)?,
        created_by: row.get::<_, Id>(8)?.0,
        created_at_ms: row.get(9)?,
        document_sealed: row.get(10)?,
        erased_at_ms: row.get(11)?,
        subject_key: row.get(12)?,
    })
}

fn custody_at(row: &Row<'_>) -> rusqlite::Result<CustodyRow> {
    Ok(CustodyRow {
        id: row.get::<_, Id>(0)?.0,
        evidence: row.get::<_, Id>(1)?.0,
        subject: row.get::<_, Id>(2)?.0,
        seq: row.get(3)?,
        kind: row.get(4)?,
        actor: row.get::<_, Id>(5)?.0,
        at_ms: row.get(6)?,
        request_id: row.get(7)?,
        note_sealed: row.get(8)?,
        digest: row.get(9)?,
        previous: row.get(10)?,
        hash: row.get(11)?,
    })
}
