//! What a transaction has written to the catalogs that all databases of the server share: roles, memberships,
//! settings, databases, tablespaces and whatever else a version has there. Every role may read the counts of
//! its own session, and they include what was done in functions and subtransactions.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::{QueryContext, QueryError, query_as, query_scalar};

/// How many rows this session has written to each, as far as the server has not taken the count over: it does
/// so between transactions only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedWrites(BTreeMap<String, i64>);

/// Dependencies on shared objects are written for every object that has an owner or grants.
const WRITES: &str = "SELECT c.relname::text, pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) + \
    pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) \
      + pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) \
    FROM pg_catalog.pg_class c WHERE c.relisshared AND c.relkind = 'r' AND c.relname <> 'pg_shdepend'";

impl SharedWrites {
    /// What was written so far. Read it twice within one transaction.
    pub async fn so_far(connection: &mut PgConnection) -> Result<Self, QueryError> {
        let rows: Vec<(String, i64)> = query_as(WRITES)
            .fetch_all(connection)
            .await
            .context("read what was written to shared catalogs")?;
        Ok(Self(rows.into_iter().collect()))
    }

    /// The first catalog that was written to since.
    pub fn since(&self, earlier: &Self) -> Option<&str> {
        self.0.iter().find(|(name, count)| earlier.0.get(*name) != Some(count)).map(|(name, _)| name.as_str())
    }
}

/// Whether the server counts at all (`track_counts`): where it does not, Sluice cannot know.
pub async fn counts_writes(connection: &mut PgConnection) -> Result<bool, QueryError> {
    query_scalar("SELECT pg_catalog.current_setting('track_counts')::bool")
        .fetch_one(connection)
        .await
        .context("read track_counts")
}

/// The bodies of the routines that are no part of PostgreSQL or an extension.
pub async fn bodies(connection: &mut PgConnection) -> Result<Vec<String>, QueryError> {
    let text = "SELECT COALESCE(p.prosrc, '') || ' ' || COALESCE(pg_catalog.pg_get_function_sqlbody(p.oid), \
        '') FROM pg_catalog.pg_proc p WHERE p.oid >= 16384 \
                AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = p.oid AND d.classid = \
                'pg_catalog.pg_proc'::regclass AND d.deptype = 'e')";
    query_scalar(text).fetch_all(connection).await.context("read the bodies of routines")
}
