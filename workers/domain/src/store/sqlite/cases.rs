//! Cases and every version they ever had.
use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, params_from_iter};
use uuid::Uuid;

use super::{Id, Sqlite, guards, once, subjects};
use crate::store::{
    CaseFilter, CaseKey, CaseOrder, CasePosition, CaseRow, Cases, Inserted, OnceRow, StoreError, SubjectRow, Updated,
};

/// The columns of a case, in the order of `case_at` and `values_of`.
macro_rules! case_columns {
    () => {
        "id, number, version, state, urgency, issues, classification, assigned_to, created_by, call,
         created_at_ms, updated_at_ms, updated_by, document_sealed, subject, erased_at_ms,
         (SELECT case_key_sealed FROM subject_keys WHERE subject_keys.id = subject)"
    };
}

/// What is kept of a case, in the order of `with_values`.
macro_rules! case_values {
    () => {
        "(id, number, version, state, urgency, issues, classification, assigned_to, created_by, call,
          created_at_ms, updated_at_ms, updated_by, document_sealed, subject)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)"
    };
}

#[async_trait]
impl Cases for Sqlite {
    async fn insert_case(
        &self,
        case: CaseRow,
        subject: Option<SubjectRow>,
        once: Option<OnceRow>,
    ) -> Result<Inserted, StoreError> {
        self.writer
            .write(move |db| {
                if let Some(earlier) = once::earlier(db, once.as_ref())? {
                    return Ok(earlier);
                }
                if !insert(db, &case)? {
                    return Ok(Inserted::NumberTaken);
                }
                subjects::insert(db, subject.as_ref())?;
                once::keep(db, once.as_ref(), case.id)?;
                Ok(Inserted::Done)
            })
            .await
    }

    async fn case(&self, key: CaseKey) -> Result<Option<CaseRow>, StoreError> {
        self.readers
            .read(move |db| {
                let found = match key {
                    CaseKey::Id(id) => {
                        let sql = concat!("SELECT ", case_columns!(), " FROM cases WHERE id = ?1");
                        db.prepare_cached(sql)?.query_row([id.as_bytes()], case_at)
                    }
                    CaseKey::Number(number) => {
                        let sql = concat!("SELECT ", case_columns!(), " FROM cases WHERE number = ?1");
                        db.prepare_cached(sql)?.query_row([number], case_at)
                    }
                };
                let Some(mut row) = found.optional()? else { return Ok(None) };
                row.guards = guards::standing(db, row.id)?;
                Ok(Some(row))
            })
            .await
    }

    async fn case_version(&self, id: Uuid, version: u32) -> Result<Option<CaseRow>, StoreError> {
        let sql = concat!("SELECT ", case_columns!(), " FROM case_versions WHERE id = ?1 AND version = ?2");
        self.readers
            .read(move |db| {
                Ok(db.prepare_cached(sql)?.query_row(params![id.as_bytes(), version], case_at).optional()?)
            })
            .await
    }

    async fn case_versions(&self, id: Uuid, before: u32, limit: u32) -> Result<Vec<CaseRow>, StoreError> {
        let sql = concat!(
            "SELECT ",
            case_columns!(),
            " FROM case_versions WHERE id = ?1 AND version < ?2 ORDER BY version DESC LIMIT ?3"
        );
        self.readers
            .read(move |db| {
                let mut statement = db.prepare_cached(sql)?;
                let rows = statement.query_map(params![id.as_bytes(), before, limit], case_at)?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn cases(
        &self,
        filter: CaseFilter,
        after: Option<CasePosition>,
        limit: u32,
    ) -> Result<Vec<CaseRow>, StoreError> {
        self.readers
            .read(move |db| {
                let (sql, values) = query(&filter, after, limit);
                let mut statement = db.prepare_cached(&sql)?;
                let rows = statement.query_map(params_from_iter(values), case_at)?;
                let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
                for row in &mut rows {
                    row.guards = guards::standing(db, row.id)?;
                }
                Ok(rows)
            })
            .await
    }

    async fn update_case(&self, case: CaseRow) -> Result<Updated, StoreError> {
        self.writer
            .write(move |db| {
                let sql = "SELECT version FROM cases WHERE id = ?1";
                let current: Option<u32> =
                    db.prepare_cached(sql)?.query_row([case.id.as_bytes()], |row| row.get(0)).optional()?;
                match current {
                    None => return Ok(Updated::NotFound),
                    Some(current) if current + 1 != case.version => {
                        return Ok(Updated::Conflict { current_version: current });
                    }
                    Some(_) => {}
                }
                subjects::must_live(db, case.subject)?;
                let sql = "UPDATE cases SET version = ?3, state = ?4, urgency = ?5, issues = ?6, classification = ?7,
                     assigned_to = ?8, created_by = ?9, call = ?10, created_at_ms = ?11, updated_at_ms = ?12,
                     updated_by = ?13, document_sealed = ?14, subject = ?15 WHERE id = ?1 AND number = ?2";
                with_values(&case, |values| db.prepare_cached(sql)?.execute(values))?;
                insert_version(db, &case)?;
                Ok(Updated::Done)
            })
            .await
    }
}

/// A new case and its first version; false if the number is taken.
pub(super) fn insert(db: &Connection, case: &CaseRow) -> Result<bool, StoreError> {
    subjects::must_live(db, case.subject)?;
    let sql = concat!("INSERT INTO cases ", case_values!(), " ON CONFLICT (number) DO NOTHING");
    let inserted = with_values(case, |values| db.prepare_cached(sql)?.execute(values))?;
    if inserted == 1 {
        insert_version(db, case)?;
    }
    Ok(inserted == 1)
}

fn insert_version(db: &Connection, case: &CaseRow) -> Result<(), StoreError> {
    let sql = concat!("INSERT INTO case_versions ", case_values!());
    with_values(case, |values| db.prepare_cached(sql)?.execute(values))?;
    Ok(())
}

fn with_values<T>(case: &CaseRow, run: impl FnOnce(&[&dyn ToSql]) -> rusqlite::Result<T>) -> Result<T, StoreError> {
    Ok(run(params![
        case.id.as_bytes(),
        case.number,
        case.version,
        case.state,
        case.urgency,
        case.issues,
        case.classification,
        case.assigned_to.as_ref().map(Uuid::as_bytes),
        case.created_by.as_ref().map(Uuid::as_bytes),
        case.call.as_ref().map(Uuid::as_bytes),
        case.created_at_ms,
        case.updated_at_ms,
        case.updated_by.as_ref().map(Uuid::as_bytes),
        case.document_sealed,
        case.subject.as_bytes(),
    ])?)
}

fn case_at(row: &Row<'_>) -> rusqlite::Result<CaseRow> {
    let optional = |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<Id>>(at)?.map(|id| id.0));
    Ok(CaseRow {
        id: row.get::<_, Id>(0)?.0,
        number: row.get(1)?,
        version: row.get(2)?,
        state: row.get(3)?,
        urgency: row.get(4)?,
        issues: row.get(5)?,
        classification: row.get(6)?,
        assigned_to: optional(7)?,
        created_by: optional(8)?,
        call: optional(9)?,
        created_at_ms: row.get(10)?,
        updated_at_ms: row.get(11)?,
        updated_by: optional(12)?,
        document_sealed: row.get(13)?,
        guards: Vec::new(),
        subject: row.get::<_, Id>(14)?.0,
        erased_at_ms: row.get(15)?,
        subject_key: row.get(16)?,
    })
}

/// The conditions that are asked for, each with its parameter. Never a value in the text.
fn query(filter: &CaseFilter, after: Option<CasePosition>, limit: u32) -> (String, Vec<Value>) {
    let (mut conditions, mut values) = (Vec::new(), Vec::new());
    let mut add = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.push(value);
            conditions.push(condition.replace('?', &format!("?{}", values.len())));
        }
    };
    let id = |id: &Option<Uuid>| id.map(|id| Value::Blob(id.as_bytes().to_vec()));
    add("state = ?", filter.state.clone().map(Value::Text));
    add("urgency = ?", filter.urgency.clone().map(Value::Text));
    add("assigned_to = ?", id(&filter.assigned_to));
    add("created_by = ?", id(&filter.created_by));
    add("created_at_ms >= ?", filter.from_ms.map(Value::Integer));
    add("created_at_ms < ?", filter.to_ms.map(Value::Integer));
    add("updated_at_ms >= ?", filter.changed_from_ms.map(Value::Integer));
    add("updated_at_ms < ?", filter.changed_to_ms.map(Value::Integer));
    let (columns, beyond, order) = order(filter.order);
    if let Some(CasePosition { rank, at_ms, id }) = after {
        let position = [Value::Integer(rank.into()), Value::Integer(at_ms), Value::Blob(id.as_bytes().to_vec())];
        let position = position.into_iter().skip(usize::from(filter.order != CaseOrder::MostUrgentFirst));
        let first = values.len() + 1;
        values.extend(position);
        let places: Vec<String> = (first..=values.len()).map(|place| format!("?{place}")).collect();
        conditions.push(format!("({columns}) {beyond} ({})", places.join(", ")));
    }
    values.push(Value::Integer(i64::from(limit)));
    let sql = format!(
        "SELECT {} FROM cases WHERE {} ORDER BY {order} LIMIT ?{}",
        case_columns!(),
        if conditions.is_empty() { "TRUE".to_owned() } else { conditions.join(" AND ") },
        values.len()
    );
    (sql, values)
}

/// What an order looks at, which way it goes on from a position, and how it is asked for; each has an index.
fn order(order: CaseOrder) -> (&'static str, char, &'static str) {
    match order {
        CaseOrder::NewestFirst => ("created_at_ms, id", '<', "created_at_ms DESC, id DESC"),
        CaseOrder::LastChangedFirst => ("updated_at_ms, id", '<', "updated_at_ms DESC, id DESC"),
        CaseOrder::LastChangedLast => ("updated_at_ms, id", '>', "updated_at_ms, id"),
        CaseOrder::MostUrgentFirst => ("urgency_rank, created_at_ms, id", '>', "urgency_rank, created_at_ms, id"),
    }
}
