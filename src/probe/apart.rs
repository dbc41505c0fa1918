//! Schemas of the application's own, such as a job queue's, that the manifest says no function of the team's
//! reads.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::code::Node;
use crate::{
    api::RowLevelSecurity,
    inspect::{CheckError, QueryContext},
    postgres::query_as,
};

/// What is in those schemas: functions, relations, types. A schema counts for nothing when an unqualified
/// name may lead to it, by the search path under which attempts are made or that of a function, or when a
/// function that the application does not own has its name in its text. What a function makes of data when it
/// runs is not in its text: for that the manifest stands. $1 is the application's role, $2 are the schemas.
const APART: &str = "\
    WITH named AS (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY ($2::text[]) \
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_settings s WHERE s.name = 'search_path' \
          AND (pg_catalog.strpos(pg_catalog.lower(s.reset_val), pg_catalog.lower(n.nspname::text)) > 0 \
            OR pg_catalog.strpos(s.reset_val, '$user') > 0 AND EXISTS (SELECT FROM pg_catalog.pg_roles u \
            WHERE u.rolname = n.nspname))) \
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE p.oid >= 16384 \
          AND pg_catalog.strpos(pg_catalog.lower(pg_catalog.concat(p.prosrc, ' ', p.proconfig::text)), \
          pg_catalog.lower(n.nspname::text)) > 0 \
          AND NOT pg_catalog.pg_has_role((SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = $1), \
          p.proowner, 'MEMBER'))) \
    SELECT 'pg_catalog.pg_proc'::regclass::oid::int8, p.oid::int8 FROM pg_catalog.pg_proc p WHERE \
    p.pronamespace IN (SELECT oid FROM named) \
    UNION ALL SELECT 'pg_catalog.pg_class'::regclass::oid::int8, c.oid::int8 FROM pg_catalog.pg_class c \
    WHERE c.relnamespace IN (SELECT oid FROM named) \
    UNION ALL SELECT 'pg_catalog.pg_type'::regclass::oid::int8, t.oid::int8 FROM pg_catalog.pg_type t WHERE \
    t.typnamespace IN (SELECT oid FROM named)";

/// Everything to which no name leads.
pub(super) async fn nodes(
    connection: &mut PgConnection,
    security: &RowLevelSecurity,
) -> Result<BTreeSet<Node>, CheckError> {
    if security.application_schemas.is_empty() {
        return Ok(BTreeSet::new());
    }
    let nodes = query_as(APART)
        .bind(&security.app_role)
        .bind(&security.application_schemas)
        .fetch_all(connection)
        .await;
    let nodes: Vec<Node> = nodes.context("read what is in the application's own schemas")?;
    Ok(nodes.into_iter().collect())
}
