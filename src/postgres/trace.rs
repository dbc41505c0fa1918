//! What a transaction holds and what it has written anew, read in its own session between two of its
//! statements. These queries lock nothing of the team's for longer than they take.

use sqlx::{FromRow, PgConnection};

use super::{QueryContext, QueryError, query_as};

/// A relation that is there.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct KnownRelation {
    /// Its number in the catalog.
    pub oid: i64,
    /// `schema.name`.
    pub name: String,
    /// PostgreSQL's letter for what it is: `r` for a table, `i` for an index.
    pub kind: String,
    /// The number of its file; 0 where it has none.
    pub file: i64,
}

/// A lock on a relation that the session holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, FromRow)]
pub struct HeldLock {
    /// The relation, by its number in the catalog.
    pub relation: i64,
    /// As `pg_locks` names it: `AccessExclusiveLock`.
    pub mode: String,
}

/// The file of a relation, and how much is in it.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct FileOfRelation {
    /// The relation, by its number in the catalog.
    pub relation: i64,
    /// The number of its file.
    pub file: i64,
    /// Of a table with its TOAST, in bytes.
    pub bytes: i64,
}

/// TOAST goes with its table, and what is temporary belongs to a session.
const KNOWN: &str = "\
    SELECT c.oid::int8 AS oid, pg_catalog.concat(n.nspname, '.', c.relname) AS name, c.relkind::text AS \
    kind, COALESCE(pg_catalog.pg_relation_filenode(c.oid), 0)::int8 AS file \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)' \
      AND c.relkind IN ('r', 'p', 'i', 'I', 'm', 'v', 'f', 'S')";

const HELD: &str = "\
    SELECT l.relation::int8 AS relation, l.mode FROM pg_catalog.pg_locks l \
    WHERE l.granted AND l.locktype = 'relation' AND l.pid = pg_catalog.pg_backend_pid() \
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d \
        WHERE d.datname = pg_catalog.current_database()) ORDER BY 1, 2";

const FILES: &str = "\
    SELECT c.oid::int8 AS relation, pg_catalog.pg_relation_filenode(c.oid)::int8 AS file, \
    CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_table_size(c.oid) \
      ELSE pg_catalog.pg_relation_size(c.oid) END AS bytes \
    FROM pg_catalog.pg_class c WHERE c.oid = ANY($1::int8[]::pg_catalog.oid[]) \
      AND pg_catalog.pg_relation_filenode(c.oid) IS NOT NULL";

/// Every relation of the team's.
pub async fn known_relations(connection: &mut PgConnection) -> Result<Vec<KnownRelation>, QueryError> {
    query_as(KNOWN).fetch_all(connection).await.context("read which relations there are")
}

/// Every lock on a relation that this session holds.
pub async fn locks_held(connection: &mut PgConnection) -> Result<Vec<HeldLock>, QueryError> {
    query_as(HELD).fetch_all(connection).await.context("read which locks are held")
}

/// The files of these relations, as far as they are still there.
pub async fn files(
    connection: &mut PgConnection,
    relations: &[i64],
) -> Result<Vec<FileOfRelation>, QueryError> {
    query_as(FILES).bind(relations).fetch_all(connection).await.context("read which files relations have")
}
