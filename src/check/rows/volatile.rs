//! A query of the manifest as a temporary view, and the functions that PostgreSQL calls when it is read.
//!
//! A view is a query whose names have been looked up: PostgreSQL keeps its tree, with the number of each
//! function in it, whether an operator, an aggregate or a cast stands for it. Reading the view runs that very
//! tree, so no session can put another function under a name in between.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::{
    inspect::{
        CheckError, QueryContext,
        trial::{self, Refusal},
    },
    postgres::{query, query_scalar},
};

/// The view. `pg_temp` is this session's own schema.
pub(super) const VIEW: &str = "pg_temp.sluice_query";

/// Functions of PostgreSQL's own that are VOLATILE because their answer changes, and do nothing: times,
/// chance, sizes, positions, locks.
const ONLY_ANSWER: [&str; 43] = [
    "clock_timestamp",
    "current_query",
    "currval",
    "gen_random_uuid",
    "lastval",
    "lo_get",
    "pg_blocking_pids",
    "pg_collation_actual_version",
    "pg_current_wal_flush_lsn",
    "pg_current_wal_insert_lsn",
    "pg_current_wal_lsn",
    "pg_database_collation_actual_version",
    "pg_database_size",
    "pg_get_multixact_members",
    "pg_indexes_size",
    "pg_is_in_recovery",
    "pg_is_wal_replay_paused",
    "pg_jit_available",
    "pg_last_committed_xact",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp",
    "pg_lock_status",
    "pg_notification_queue_usage",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_prepared_xact",
    "pg_relation_size",
    "pg_sequence_last_value",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "pg_xact_commit_timestamp",
    "pg_xact_status",
    "random",
    "random_normal",
    "timeofday",
    "txid_status",
    "uuidv4",
    "uuidv7",
];

/// From the view over the views and the domains that it uses to every function in their trees, and from an
/// aggregate to what it is made of. What PostgreSQL itself brings has lower numbers than 16384: its views are
/// believed. A function that is not VOLATILE is believed, too, and its body is not read. $1 are the functions
/// above.
const CALLED: &str = "\
    WITH RECURSIVE k AS (SELECT 'pg_catalog.pg_class'::regclass::oid AS class, \
    'pg_catalog.pg_rewrite'::regclass::oid AS rule, \
      'pg_catalog.pg_type'::regclass::oid AS type, 'pg_catalog.pg_constraint'::regclass::oid AS con), \
    met(class, id) AS ( \
      SELECT k.class, 'pg_temp.sluice_query'::regclass::oid FROM k \
      UNION SELECT n.class, n.id FROM met m, k, LATERAL ( \
        SELECT k.rule, w.oid FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_class c ON c.oid = w.ev_class \
          WHERE m.class = k.class AND c.oid = m.id AND c.relkind = 'v' AND c.oid >= 16384 \
        UNION ALL SELECT k.con, o.oid FROM pg_catalog.pg_constraint o WHERE m.class = k.type AND o.contypid \
        = m.id \
        UNION ALL SELECT d.refclassid, d.refobjid FROM pg_catalog.pg_depend d \
          WHERE d.classid = m.class AND d.objid = m.id AND m.class IN (k.rule, k.con, k.type) AND \
          d.refclassid IN (k.class, k.type)) AS n(class, id)), \
    trees AS ( \
      SELECT w.ev_action::text AS tree FROM met m JOIN k ON m.class = k.rule JOIN pg_catalog.pg_rewrite w ON \
      w.oid = m.id \
      UNION ALL SELECT o.conbin::text FROM met m JOIN k ON m.class = k.con JOIN pg_catalog.pg_constraint o \
      ON o.oid = m.id), \
    called AS (SELECT found[1]::oid AS id FROM trees t, \
      LATERAL pg_catalog.regexp_matches(t.tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) ([0-9]+)', 'g') AS \
      found), \
    parts AS (SELECT c.id FROM called c UNION SELECT f.id FROM called c JOIN pg_catalog.pg_aggregate a ON \
    a.aggfnoid = c.id, \
      LATERAL (VALUES (a.aggtransfn), (a.aggfinalfn), (a.aggcombinefn), (a.aggserialfn), (a.aggdeserialfn), \
      (a.aggmtransfn), (a.aggminvtransfn), \
        (a.aggmfinalfn)) AS f(id)) \
    SELECT DISTINCT p.oid::regprocedure::text FROM parts JOIN pg_catalog.pg_proc p ON p.oid = parts.id \
    WHERE p.provolatile = 'v' AND NOT (p.oid < 16384 AND p.proname = ANY ($1::text[])) ORDER BY 1";

/// Makes the view of a query, whose names are looked up in these schemas, and answers which functions it
/// calls that may do more than answer. Both stay until the try ends.
pub(super) async fn define(
    connection: &mut PgConnection,
    sql: &str,
    schemas: &[String],
) -> Result<Result<Vec<String>, Refusal>, CheckError> {
    trial::look_in(connection, schemas).await?;
    // Prepared, so that it is one statement whatever the text says.
    let made = query(AssertSqlSafe(format!("CREATE TEMPORARY VIEW {VIEW} AS {sql}")))
        .execute(&mut *connection)
        .await;
    if let Err(refusal) = trial::answer(made, "make a view of a query")? {
        return Ok(Err(refusal));
    }
    trial::look_in_catalog(connection).await?;
    let called = query_scalar(CALLED).bind(ONLY_ANSWER.as_slice()).fetch_all(connection).await;
    Ok(Ok(called.context("read which functions a query calls")?))
}
