//! Sealed columns, found by what they are sealed under: the first bytes of a value tell.
use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{Id, Sqlite};
use crate::store::{Head, SealedCell, SealedColumn, SealedColumns, StoreError};

#[async_trait]
impl SealedColumns for Sqlite {
    async fn sealed_heads(&self, column: SealedColumn) -> Result<Vec<(Head, u64)>, StoreError> {
        let SealedColumn { table, column, .. } = column;
        let sql = format!("SELECT substr({column}, 1, 4), count(*) FROM {table} WHERE length({column}) > 0 GROUP BY 1");
        self.readers
            .read(move |db| {
                let mut statement = db.prepare(&sql)?;
                let counted = statement
                    .query_map([], |row| Ok((row.get::<_, Head>(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?;
                Ok(counted.collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn sealed_otherwise(
        &self,
        column: SealedColumn,
        head: Head,
        after: Option<SealedCell>,
        limit: u32,
    ) -> Result<Vec<SealedCell>, StoreError> {
        let SealedColumn { table, id, column, version, subject } = column;
        let subject = subject.unwrap_or("NULL");
        // What was erased is NULL or empty.
        let sql = format!(
            "SELECT {id}, {version}, {column}, {subject} FROM {table}
             WHERE ({id}, {version}) > (?1, ?2) AND length({column}) > 0 AND substr({column}, 1, 4) <> ?3
             ORDER BY {id}, {version} LIMIT ?4"
        );
        let (id, version) = after.map_or((Vec::new(), 0), |cell| (cell.id.as_bytes().to_vec(), cell.version));
        self.readers
            .read(move |db| {
                let mut statement = db.prepare_cached(&sql)?;
                let cells = statement.query_map(params![id, version, head, limit], |row| {
                    let subject = row.get::<_, Option<Id>>(3)?.map(|subject| subject.0);
                    Ok(SealedCell { id: row.get::<_, Id>(0)?.0, version: row.get(1)?, sealed: row.get(2)?, subject })
                })?;
                Ok(cells.collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn reseal(&self, column: SealedColumn, cells: Vec<(SealedCell, Vec<u8>)>) -> Result<u64, StoreError> {
        self.writer.write(move |db| cells.iter().map(|(was, is)| exchange(db, column, was, is)).sum()).await
    }
}

/// Only what is still the value that was read: whoever has written since has sealed it with the newest key.
fn exchange(db: &Connection, column: SealedColumn, was: &SealedCell, is: &[u8]) -> Result<u64, StoreError> {
    let SealedColumn { table, id, column, version, .. } = column;
    let sql = format!("UPDATE {table} SET {column} = ?1 WHERE {id} = ?2 AND {version} = ?3 AND {column} = ?4");
    let changed = db.prepare_cached(&sql)?.execute(params![is, was.id.as_bytes(), was.version, was.sealed])?;
    Ok(changed as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::sealed::COLUMNS;
    use crate::testing::{block_on, domain};

    /// A column that the table does not name would keep its old key in use for ever, unseen.
    #[test]
    fn every_sealed_column_of_the_schema_is_named() {
        let (domain, _folder) = domain();
        let sql = "SELECT m.name || '.' || c.name FROM sqlite_schema m, pragma_table_info(m.name) c
                   WHERE m.type = 'table' AND c.name LIKE '%\\_sealed' ESCAPE '\\'";
        let in_schema: BTreeSet<String> = block_on(
            domain
                .store
                .readers
                .read(move |db| Ok(db.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)),
        )
        .unwrap();
        let named = COLUMNS.iter().map(|one| format!("{}.{}", one.cells.table, one.cells.column)).collect();
        assert_eq!(in_schema, named);
    }
}
