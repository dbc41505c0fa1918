//! What must be true of the server, the role and the connection before anything is planned.

use sqlx::PgConnection;

use super::{Asked, QueryError};
use crate::api::Reason;

/// What was learned about the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// The major version.
    pub major: u32,
    /// Entries of the lock table that one transaction may use: half of what the server has.
    pub lock_budget: u32,
    /// Ordinary tables in the schemas, those of extensions aside.
    pub tables: i64,
}

/// Why nothing can be done here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// The reason of the condition.
    pub reason: Reason,
    /// What is wrong, and what to do.
    pub message: String,
}

const OLDEST: i32 = 15;

/// Looks. `ledger_schema` is where the ledger is or will be.
pub async fn preflight(
    connection: &mut PgConnection,
    schemas: &[String],
    ledger_schema: &str,
) -> Result<Result<ServerFacts, Objection>, QueryError> {
    if let Some(objection) = through_a_pooler(connection).await? {
        return Ok(Err(objection));
    }
    let (version, role, lock_budget, recovering): (i32, String, i64, bool) = sqlx::query_as(
        "SELECT pg_catalog.current_setting('server_version_num')::int, current_user::text, \
                pg_catalog.current_setting('max_locks_per_transaction')::bigint * (pg_catalog.current_setting('max_connections')::bigint \
                  + pg_catalog.current_setting('max_prepared_transactions')::bigint) / 2, pg_catalog.pg_is_in_recovery()",
    )
    .fetch_one(&mut *connection)
    .await
    .asked("read the server's version")?;
    let major = version / 10_000;
    if major < OLDEST {
        let message = format!("the server is PostgreSQL {major}, and Sluice needs {OLDEST} or newer: upgrade the server");
        return Ok(Err(Objection { reason: Reason::ServerTooOld, message }));
    }
    if recovering {
        let message = "the server is a read-only standby: give the URL of the primary".to_owned();
        return Ok(Err(Objection { reason: Reason::DirectConnectionRequired, message }));
    }
    if let Some(message) = missing_right(connection, schemas, ledger_schema, &role).await? {
        return Ok(Err(Objection { reason: Reason::PrivilegesMissing, message }));
    }
    let tables = sqlx::query_scalar(
        "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY($1) \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'e')",
    )
    .bind(schemas)
    .fetch_one(connection)
    .await
    .asked("count the tables")?;
    let lock_budget = u32::try_from(lock_budget).unwrap_or(3200);
    Ok(Ok(ServerFacts { major: u32::try_from(major).unwrap_or_default(), lock_budget, tables }))
}

/// A session whose statements land on different back ends is no session.
async fn through_a_pooler(connection: &mut PgConnection) -> Result<Option<Objection>, QueryError> {
    let mut seen = None;
    for _ in 0..3 {
        let pid: i32 =
            sqlx::query_scalar("SELECT pg_catalog.pg_backend_pid()").fetch_one(&mut *connection).await.asked("read the process id")?;
        if seen.is_some_and(|first| first != pid) {
            let message =
                "the connection changes its back end between statements, so it leads through a pooler: give the URL of the server itself";
            return Ok(Some(Objection { reason: Reason::DirectConnectionRequired, message: message.to_owned() }));
        }
        seen = Some(pid);
    }
    Ok(None)
}

async fn missing_right(
    connection: &mut PgConnection,
    schemas: &[String],
    ledger_schema: &str,
    role: &str,
) -> Result<Option<String>, QueryError> {
    let rows: Vec<(String, bool, bool)> = sqlx::query_as(
        "SELECT s.name, n.oid IS NOT NULL, \
                CASE WHEN n.oid IS NULL THEN pg_catalog.has_database_privilege(current_user, pg_catalog.current_database(), 'CREATE') \
                     ELSE pg_catalog.has_schema_privilege(current_user, n.oid, 'CREATE') AND pg_catalog.has_schema_privilege(current_user, n.oid, 'USAGE') END \
         FROM pg_catalog.unnest($1) AS s(name) LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = s.name ORDER BY 1",
    )
    .bind(schemas.iter().cloned().chain(std::iter::once(ledger_schema.to_owned())).collect::<Vec<_>>())
    .fetch_all(connection)
    .await
    .asked("read the role's rights")?;
    let missing = rows.into_iter().find(|(_, _, allowed)| !allowed);
    Ok(missing.map(|(schema, exists, _)| {
        if exists {
            format!("the role {role:?} may not create in schema {schema:?}: GRANT USAGE, CREATE ON SCHEMA \"{schema}\" TO \"{role}\"")
        } else {
            format!("schema {schema:?} does not exist and the role {role:?} may not create it: create it, or GRANT CREATE ON DATABASE … TO \"{role}\"")
        }
    }))
}
