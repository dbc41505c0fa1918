//! What must be true of the server, the role and the connection before anything is planned.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, FromRow, PgConnection, Row};

use super::{
    Objection, OwnTable, QueryContext, QueryError, custody_objection, query_as, query_scalar,
    startup::CHECK_INTERVAL, texts::TABLE,
};
use crate::{api::Reason, migrations::HistoryContract};

/// What was learned about the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// The major version.
    pub major: u32,
    /// Entries of the lock table that one transaction may use: half of what the server has.
    pub lock_budget: u32,
    /// Whether the texts of migrations can be kept.
    pub texts: OwnTable,
}

const OLDEST: i32 = 15;

/// Inspects the server, the role and the history.
pub async fn preflight(
    connection: &mut PgConnection,
    schemas: &[String],
    history_table: &HistoryContract,
) -> Result<Result<ServerFacts, Objection>, QueryError> {
    if is_shared(connection).await? {
        let message = "the session is not the one that was asked for, so the URL leads through a pooler: \
            give the URL of the server itself";
        return Ok(Err(Objection { reason: Reason::DirectConnectionRequired, message: message.to_owned() }));
    }
    let statement = format!(
        "SELECT pg_catalog.current_setting('server_version_num')::int, current_user::text, \
                pg_catalog.current_setting('max_locks_per_transaction')::bigint * \
                (pg_catalog.current_setting('max_connections')::bigint \
                  + pg_catalog.current_setting('max_prepared_transactions')::bigint) / 2, \
                  pg_catalog.pg_is_in_recovery(), \
                texts.is_there, texts.is_own, texts.may_create FROM ({}) AS texts(is_there, is_own, \
                has_schema, may_create)",
        TABLE.may
    );
    let (version, role, lock_budget, recovering, is_there, is_own, may_create): (
        i32,
        String,
        i64,
        bool,
        bool,
        bool,
        bool,
    ) = query_as(AssertSqlSafe(statement))
        .fetch_one(&mut *connection)
        .await
        .context("read the server's version")?;
    let major = version / 10_000;
    let object = |reason, message: String| Ok(Err(Objection { reason, message }));
    if major < OLDEST {
        return object(
            Reason::ServerTooOld,
            format!(
                "the server is PostgreSQL {major}, and Sluice needs {OLDEST} or newer: upgrade the server"
            ),
        );
    }
    if recovering {
        return object(
            Reason::DirectConnectionRequired,
            "the server is a read-only standby: give the URL of the primary".to_owned(),
        );
    }
    if let Some(message) = missing_right(connection, schemas, history_table, &role).await? {
        return object(Reason::PrivilegesMissing, message);
    }
    if let Some(objection) = custody_objection(connection, history_table).await? {
        return Ok(Err(objection));
    }
    let lock_budget = u32::try_from(lock_budget).unwrap_or(3200);
    let texts = OwnTable::found(is_there, is_own, may_create);
    Ok(Ok(ServerFacts { major: u32::try_from(major).unwrap_or_default(), lock_budget, texts }))
}

/// How many ordinary tables the schemas have, those of extensions and the history aside.
pub async fn count_tables(
    connection: &mut PgConnection,
    schemas: &[String],
    history_table: &HistoryContract,
) -> Result<i64, QueryError> {
    query_scalar(
        "SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY($1) AND (n.nspname, c.relname) <> ($2, $3) \
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.classid = \
           'pg_catalog.pg_class'::regclass AND d.deptype = 'e')",
    )
    .bind(schemas)
    .bind(&history_table.schema)
    .bind(history_table.table)
    .fetch_one(connection)
    .await
    .context("count the tables")
}

/// What a migration that runs step by step, or one of a phase, needs besides: a place for what Sluice writes
/// about it.
pub async fn own_schema_objection(
    connection: &mut PgConnection,
    why: &str,
) -> Result<Option<Objection>, QueryError> {
    let missing = missing_create(connection, &["sluice".to_owned()], why).await?;
    Ok(missing.map(|message| Objection { reason: Reason::PrivilegesMissing, message }))
}

/// Whether constraints exist that can be deferred to the end of a transaction.
pub async fn has_deferrable_constraints(connection: &mut PgConnection) -> Result<bool, QueryError> {
    let statement = "SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE condeferrable)";
    query_scalar(statement).fetch_one(connection).await.context("find deferrable constraints")
}

/// Whether the session is none: it lacks what it began with, or its statements land on different back ends.
/// By the simple protocol: a query is one message and one answer, where a pooler would send the two of a
/// prepared one to two servers.
async fn is_shared(connection: &mut PgConnection) -> Result<bool, QueryError> {
    let mut back_ends = BTreeSet::new();
    for _ in 0..3 {
        let statement =
            format!("SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('{}')", CHECK_INTERVAL.0);
        let answer = sqlx::raw_sql(AssertSqlSafe(statement))
            .fetch_one(&mut *connection)
            .await
            .context("detect a pooler")?;
        let read = |at: usize| answer.try_get_unchecked::<String, _>(at).context("detect a pooler");
        back_ends.insert(read(0)?);
        if read(1)? != CHECK_INTERVAL.1 {
            return Ok(true);
        }
    }
    Ok(back_ends.len() > 1)
}

async fn missing_right(
    connection: &mut PgConnection,
    schemas: &[String],
    history_table: &HistoryContract,
    role: &str,
) -> Result<Option<String>, QueryError> {
    let schemas: Vec<String> =
        schemas.iter().cloned().chain(std::iter::once(history_table.schema.clone())).collect();
    if let Some(missing) = missing_create(connection, &schemas, "the manifest names it").await? {
        return Ok(Some(missing));
    }
    let allowed: Option<bool> = query_scalar(
        "SELECT pg_catalog.bool_and(pg_catalog.has_table_privilege(c.oid, right_)) FROM \
            pg_catalog.unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS right_, \
           pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = \
           $1 AND c.relname = $2",
    )
    .bind(&history_table.schema)
    .bind(history_table.table)
    .fetch_one(connection)
    .await
    .context("read the role's rights on the history")?;
    let grant =
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO \"{role}\"", history_table.qualified());
    Ok((allowed == Some(false))
        .then(|| format!("the role {role:?} may not read and write the history: {grant}")))
}

/// What the role may do in a schema that is needed.
#[derive(FromRow)]
struct Needed {
    name: String,
    exists: bool,
    allowed: bool,
    role: String,
    /// The GRANT that helps where it exists.
    on_schema: String,
    /// And where it does not.
    on_database: String,
}

/// The first schema in which the role cannot create, or which it cannot create, and the GRANT that helps.
async fn missing_create(
    connection: &mut PgConnection,
    schemas: &[String],
    why: &str,
) -> Result<Option<String>, QueryError> {
    let rows: Vec<Needed> = query_as(
        "SELECT s.name, n.oid IS NOT NULL AS exists, \
                CASE WHEN n.oid IS NULL THEN pg_catalog.has_database_privilege(current_user, \
                pg_catalog.current_database(), 'CREATE') \
                     ELSE pg_catalog.has_schema_privilege(current_user, n.oid, 'CREATE') AND \
                     pg_catalog.has_schema_privilege(current_user, n.oid, 'USAGE') END AS allowed, \
                current_user::text AS role, pg_catalog.format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', \
                s.name, \
                current_user) AS on_schema, \
                pg_catalog.format('GRANT CREATE ON DATABASE %I TO %I', pg_catalog.current_database(), \
                current_user) AS on_database \
         FROM pg_catalog.unnest($1) AS s(name) LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = s.name \
         ORDER BY 1",
    )
    .bind(schemas)
    .fetch_all(connection)
    .await
    .context("read the role's rights")?;
    let missing = rows.into_iter().find(|needed| !needed.allowed);
    Ok(missing.map(|Needed { name: schema, exists, role, on_schema, on_database, .. }| {
        if exists {
            format!("the role {role:?} may not create in schema {schema:?} ({why}): {on_schema}")
        } else {
            format!(
                "schema {schema:?} does not exist ({why}) and the role {role:?} may not create it; \
                create it, or let the role do so: {on_database}"
            )
        }
    }))
}

/// The major version of a server.
pub async fn server_major(connection: &mut PgConnection) -> Result<i32, QueryError> {
    query_scalar("SELECT pg_catalog.current_setting('server_version_num')::int / 10000")
        .fetch_one(connection)
        .await
        .context("read the version of the server")
}
