//! What a database was given before its migrations ran: schemas, extensions, default privileges. A replay
//! begins from the same.

use sqlx::{AssertSqlSafe, PgConnection};

use super::{QueryContext, QueryError, query_as, said};

/// One statement that makes a scratch database like the real one, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prerequisite {
    /// `schema`, `extension` or `default privileges`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The statement.
    pub sql: String,
}

/// Schemas come first, then what may be in them. Grants on schemas travel with them. Default privileges are
/// those of roles that the session may act for; a global entry of functions or types replaces the built-in
/// one, which lets every role use them.
const GIVEN: &str = "
WITH defaults AS (
  SELECT d.oid, d.defaclnamespace = 0 AS global, r.rolname, n.nspname, d.defaclacl, d.defaclobjtype,
    CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' \
    THEN 'TYPES' ELSE 'SCHEMAS' END AS kind,
    pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s', r.rolname, ' IN SCHEMA ' || \
    pg_catalog.quote_ident(n.nspname)) AS head
  FROM pg_catalog.pg_default_acl d JOIN pg_catalog.pg_roles r ON r.oid = d.defaclrole
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
  WHERE d.defaclobjtype IN ('r', 'S', 'f', 'T', 'n') AND pg_catalog.pg_has_role(r.oid, 'MEMBER'))
SELECT kind, name, sql FROM (
  SELECT 1 AS rank, 'schema' AS kind, n.nspname::text AS name, pg_catalog.format('CREATE SCHEMA IF NOT \
  EXISTS %I', n.nspname) AS sql
  FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY($1::text[])
  UNION ALL
  SELECT 2, 'schema', n.nspname::text, pg_catalog.format('GRANT %s ON SCHEMA %I TO %s%s', x.privilege_type, \
  n.nspname,
      COALESCE(pg_catalog.quote_ident(r.rolname), 'PUBLIC'), CASE WHEN x.is_grantable THEN ' WITH GRANT \
      OPTION' ELSE '' END)
  FROM pg_catalog.pg_namespace n CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) AS x LEFT JOIN \
  pg_catalog.pg_roles r ON r.oid = x.grantee
  WHERE n.nspname = ANY($1::text[]) AND x.grantee <> n.nspowner
  UNION ALL
  SELECT 3, 'extension', e.extname::text, pg_catalog.format('CREATE SCHEMA IF NOT EXISTS %I; CREATE \
  EXTENSION IF NOT EXISTS %I SCHEMA %1$I CASCADE', n.nspname, e.extname)
  FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
  WHERE e.extname <> 'plpgsql' AND n.nspname <> 'pg_catalog'
  UNION ALL
  SELECT 4, 'default privileges', d.rolname::text, pg_catalog.format('%s REVOKE ALL ON %s FROM PUBLIC', \
  d.head, d.kind)
  FROM defaults d WHERE d.global AND d.defaclobjtype IN ('f', 'T')
  UNION ALL
  SELECT 5, 'default privileges', d.rolname::text, pg_catalog.format('%s GRANT %s ON %s TO %s%s', d.head, \
  x.privilege_type, d.kind,
      COALESCE(pg_catalog.quote_ident(r.rolname), 'PUBLIC'), CASE WHEN x.is_grantable THEN ' WITH GRANT \
      OPTION' ELSE '' END)
  FROM defaults d CROSS JOIN LATERAL pg_catalog.aclexplode(d.defaclacl) AS x LEFT JOIN pg_catalog.pg_roles r \
  ON r.oid = x.grantee
) AS given ORDER BY rank, name, sql";

/// What the sessions of this role begin with in this database and not in another one: the more special entry
/// counts, as PostgreSQL has it. Without what this role may not set for itself, and without what no other
/// database may know.
const DEFAULTS: &str = "
SELECT d.name, d.value FROM (
  SELECT DISTINCT ON (pg_catalog.lower(c.name)) pg_catalog.lower(c.name) AS name, c.value FROM (
    SELECT pg_catalog.split_part(entry, '=', 1) AS name, pg_catalog.substr(entry, pg_catalog.strpos(entry, \
    '=') + 1) AS value,
      (s.setrole <> 0)::int * 2 + (s.setdatabase <> 0)::int AS rank
    FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS entry
    WHERE s.setdatabase IN (0, (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = \
    pg_catalog.current_database()))
      AND s.setrole IN (0, (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = SESSION_USER))) AS c
  ORDER BY pg_catalog.lower(c.name), c.rank DESC) AS d
LEFT JOIN pg_catalog.pg_settings p ON pg_catalog.lower(p.name) = d.name
WHERE CASE WHEN p.name IS NULL THEN pg_catalog.strpos(d.name, '.') > 0
  ELSE p.context = 'user' OR (p.context = 'superuser' AND (SELECT r.rolsuper FROM pg_catalog.pg_roles r \
  WHERE r.rolname = SESSION_USER)) END
ORDER BY d.name";

/// Extensions, among these, that nothing outside of them uses. What a function's body calls leaves no trace
/// that could be seen.
const UNUSED: &str = "
WITH member AS (SELECT d.classid, d.objid, d.refobjid AS extension FROM pg_catalog.pg_depend d
    WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e')
SELECT pg_catalog.quote_ident(e.extname) FROM pg_catalog.pg_extension e WHERE e.extname = ANY($1::text[]) \
AND NOT EXISTS (
  SELECT FROM member m JOIN pg_catalog.pg_depend d ON d.refclassid = m.classid AND d.refobjid = m.objid AND \
  d.deptype IN ('n', 'a')
  LEFT JOIN pg_catalog.pg_rewrite w ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND w.oid = \
  d.objid
  LEFT JOIN pg_catalog.pg_attrdef f ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND f.oid = \
  d.objid
  LEFT JOIN pg_catalog.pg_constraint k ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND \
  k.oid = d.objid
  WHERE m.extension = e.oid
    AND d.classid::pg_catalog.regclass::text = ANY(ARRAY['pg_class', 'pg_attrdef', 'pg_constraint', \
    'pg_proc', 'pg_type', 'pg_policy', 'pg_trigger', 'pg_rewrite'])
    AND NOT EXISTS (SELECT FROM member x WHERE x.classid = d.classid AND x.objid = d.objid)
    AND NOT EXISTS (SELECT FROM member x WHERE x.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
      AND x.objid IN (w.ev_class, f.adrelid, k.conrelid)))";

/// Reads what the database was given, in the order in which it has to be made.
pub async fn surroundings(
    connection: &mut PgConnection,
    schemas: &[String],
) -> Result<Vec<Prerequisite>, QueryError> {
    let rows: Vec<(String, String, String)> = query_as(GIVEN)
        .bind(schemas)
        .fetch_all(connection)
        .await
        .context("read what the database was given")?;
    Ok(rows.into_iter().map(|(kind, name, sql)| Prerequisite { kind, name, sql }).collect())
}

/// Reads the defaults of a session, names in lower case.
pub async fn defaults_of_sessions(
    connection: &mut PgConnection,
) -> Result<Vec<(String, String)>, QueryError> {
    query_as(DEFAULTS).fetch_all(connection).await.context("read what a session begins with")
}

/// Gives a scratch database the same. What cannot be made is left out: if the migrations need it, they say so
/// when they are replayed.
pub async fn give(connection: &mut PgConnection, prerequisites: &[Prerequisite]) {
    for needed in prerequisites {
        if let Err(error) = sqlx::raw_sql(AssertSqlSafe(needed.sql.as_str())).execute(&mut *connection).await
        {
            tracing::info!(kind = %needed.kind, name = %needed.name, error = said(&error), "the scratch \
                database does without it");
        }
    }
}

/// The extensions, among these, that were given and are not used; quoted.
pub async fn unused_extensions(
    connection: &mut PgConnection,
    names: &[String],
) -> Result<Vec<String>, QueryError> {
    let rows: Vec<(String,)> =
        query_as(UNUSED).bind(names).fetch_all(connection).await.context("see which extensions are used")?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}
