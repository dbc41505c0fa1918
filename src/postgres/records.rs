//! What runs found and did, whole, in `sluice.records`: each under the SHA-256 of its text. The verdict of a
//! run has the same digest, so a record proves itself to a reader who has the verdict, wherever it was kept.
//!
//! Where the role may not create the table, no record is kept: nothing depends on one.

use sqlx::PgConnection;

use super::{
    QueryContext, QueryError,
    own_table::{Definition, OwnTable, may},
    query, query_as, query_scalar,
};

/// Of each DatabaseMigration so many records stay, the newest.
pub const RECORDS_KEPT: i64 = 100;
/// And none for longer than this, in days.
pub const RECORD_DAYS: i32 = 365;
/// A longer text was not written by Sluice.
const LONGEST: i32 = 16 << 20;

const TABLE: Definition = Definition {
    name: "sluice.records",
    may: may!("records"),
    create: "CREATE TABLE IF NOT EXISTS sluice.records (digest varchar(64) PRIMARY KEY NOT NULL, object \
        text NOT NULL, attempt text NOT NULL, reason text NOT NULL, text text NOT NULL, \
        kept_at timestamptz NOT NULL DEFAULT pg_catalog.now())",
};

/// A record to keep.
#[derive(Debug)]
pub struct NewRecord<'a> {
    /// The SHA-256 of the text, in hexadecimal digits.
    pub digest: &'a str,
    /// `NAMESPACE/NAME`.
    pub object: &'a str,
    /// Which attempt at what; empty outside of a cluster.
    pub attempt: &'a str,
    /// How the run ended.
    pub reason: &'a str,
    /// All of it, in JSON.
    pub text: &'a str,
}

/// A record in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRecord {
    /// The digest under which it is kept.
    pub digest: String,
    /// `NAMESPACE/NAME`.
    pub object: String,
    /// Which attempt at what; empty outside of a cluster.
    pub attempt: String,
    /// How the run ended.
    pub reason: String,
    /// When it was kept, by the server's clock, as RFC 3339.
    pub kept_at: String,
}

/// Keeps a record, and lets go of those that are too old or too many. False where the table is not there and
/// `create` is false, or the role may not have it. Inside a transaction.
pub async fn keep_record(
    connection: &mut PgConnection,
    create: bool,
    record: &NewRecord<'_>,
) -> Result<bool, QueryError> {
    let is_there = if create {
        OwnTable::prepare(&mut *connection, &TABLE).await?
    } else {
        OwnTable::of(&mut *connection, &TABLE).await?.0 == OwnTable::There
    };
    if !is_there {
        return Ok(false);
    }
    query(
        "INSERT INTO sluice.records (digest, object, attempt, reason, text) VALUES ($1, $2, $3, $4, $5) ON \
            CONFLICT DO NOTHING",
    )
    .bind(record.digest)
    .bind(record.object)
    .bind(record.attempt)
    .bind(record.reason)
    .bind(record.text)
    .execute(&mut *connection)
    .await
    .context("keep the record of a run")?;
    let rest = "DELETE FROM sluice.records WHERE object OPERATOR(pg_catalog.=) $1 AND digest::text \
        OPERATOR(pg_catalog.<>) $2 AND (kept_at OPERATOR(pg_catalog.<) (pg_catalog.now() \
        OPERATOR(pg_catalog.-) pg_catalog.make_interval(days => $3)) \
        OR digest::text IN (SELECT r.digest::text FROM sluice.records r WHERE r.object \
        OPERATOR(pg_catalog.=) $1 ORDER BY r.kept_at DESC, r.digest OFFSET $4))";
    query(rest)
        .bind(record.object)
        .bind(record.digest)
        .bind(RECORD_DAYS)
        .bind(RECORDS_KEPT)
        .execute(connection)
        .await
        .context("let go of old records of runs")?;
    Ok(true)
}

/// The table is there, is a table, and may be read: reading a view would run its code.
const READABLE: &str = "SELECT COALESCE((SELECT pg_catalog.has_table_privilege(c.oid, 'SELECT') AND \
    pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
    WHERE n.nspname OPERATOR(pg_catalog.=) 'sluice' AND c.relname OPERATOR(pg_catalog.=) 'records' \
    AND c.relkind OPERATOR(pg_catalog.=) 'r'), false)";

/// The records that are kept, newest first. A role that can write the table decides what it says: the verdict
/// of a run tells which record is its own.
pub async fn records(connection: &mut PgConnection) -> Result<Vec<KeptRecord>, QueryError> {
    let what = "read the records of runs";
    if !query_scalar(READABLE).fetch_one(&mut *connection).await.context(what)? {
        return Ok(Vec::new());
    }
    let rows: Vec<(String, String, String, String, String)> = query_as(
        "SELECT digest::text, object, attempt, reason, pg_catalog.to_char(kept_at AT TIME ZONE 'UTC', \
            'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM sluice.records ORDER BY kept_at DESC, digest LIMIT 1000",
    )
    .fetch_all(connection)
    .await
    .context(what)?;
    let record =
        |(digest, object, attempt, reason, kept_at)| KeptRecord { digest, object, attempt, reason, kept_at };
    Ok(rows.into_iter().map(record).collect())
}

/// The text that is kept under a digest, as it stands there: the reader compares the two.
pub async fn record_text(connection: &mut PgConnection, digest: &str) -> Result<Option<String>, QueryError> {
    let what = "read the record of a run";
    if !query_scalar(READABLE).fetch_one(&mut *connection).await.context(what)? {
        return Ok(None);
    }
    query_scalar(
        "SELECT text FROM sluice.records WHERE digest::text OPERATOR(pg_catalog.=) $1 AND \
            pg_catalog.octet_length(text) OPERATOR(pg_catalog.<=) $2",
    )
    .bind(digest)
    .bind(LONGEST)
    .fetch_optional(connection)
    .await
    .context(what)
}
