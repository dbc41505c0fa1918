//! A table of Sluice's own in the schema `sluice`, on which nothing depends: where the role may not have it, a
//! run goes on without.

use sqlx::PgConnection;

use super::{QueryContext, QueryError, made::made_just_now, query_as};

/// Whether there is a table, or may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnTable {
    /// It is there, and the role's own.
    There,
    /// The role may make it.
    New,
    /// Neither: what would be kept in it is not.
    Nowhere,
}

/// Whether the table is there, and the role may read and write it as its owner; whether the schema is there,
/// and the role may create in it, or it. A table of another role's may have triggers, which would run as the
/// migration role.
macro_rules! may {
    ($table:literal) => {
        concat!(
            "SELECT c.oid IS NOT NULL, COALESCE(pg_catalog.pg_has_role(c.relowner, 'USAGE'), false), n.oid \
                IS NOT NULL, \
             CASE WHEN n.oid IS NULL THEN pg_catalog.has_database_privilege(pg_catalog.current_database(), \
             'CREATE') \
             ELSE pg_catalog.has_schema_privilege(n.oid, 'CREATE') AND \
             pg_catalog.has_schema_privilege(n.oid, 'USAGE') END \
             FROM (VALUES (1)) AS one(row) \
             LEFT JOIN pg_catalog.pg_namespace n ON n.nspname OPERATOR(pg_catalog.=) 'sluice' \
             LEFT JOIN pg_catalog.pg_class c ON c.relnamespace OPERATOR(pg_catalog.=) n.oid AND c.relname \
             OPERATOR(pg_catalog.=) '",
            $table,
            "'"
        )
    };
}
pub(super) use may;

/// How a table is found and made.
pub(super) struct Definition {
    /// With its schema.
    pub(super) name: &'static str,
    /// [`may`] of it.
    pub(super) may: &'static str,
    /// Makes it in the schema.
    pub(super) create: &'static str,
}

impl OwnTable {
    /// By what [`may`] answers.
    pub(super) const fn found(is_there: bool, is_own: bool, may_create: bool) -> Self {
        match (is_there, is_own, may_create) {
            (true, true, _) => Self::There,
            (false, _, true) => Self::New,
            _ => Self::Nowhere,
        }
    }

    /// How it stands, and whether the schema is there.
    pub(super) async fn of(
        connection: &mut PgConnection,
        table: &Definition,
    ) -> Result<(Self, bool), QueryError> {
        let (is_there, is_own, has_schema, may_create): (bool, bool, bool, bool) = query_as(table.may)
            .fetch_one(connection)
            .await
            .context("see whether Sluice may keep a table of its own")?;
        Ok((Self::found(is_there, is_own, may_create), has_schema))
    }

    /// Makes it where it is missing and may be made; whether it is there then. Inside a transaction, so that
    /// one that is rolled back leaves nothing.
    pub(super) async fn prepare(
        connection: &mut PgConnection,
        table: &Definition,
    ) -> Result<bool, QueryError> {
        let has_schema = match Self::of(&mut *connection, table).await? {
            (Self::There, _) => return Ok(true),
            (Self::Nowhere, _) => return Ok(false),
            (Self::New, has_schema) => has_schema,
        };
        if !has_schema {
            let made = sqlx::raw_sql("CREATE SCHEMA IF NOT EXISTS sluice").execute(&mut *connection).await;
            made.context("create the schema sluice")?;
        }
        let made = sqlx::raw_sql(table.create).execute(&mut *connection).await;
        made.context("create a table of Sluice's own")?;
        made_just_now(connection, table.name).await?;
        Ok(true)
    }
}
