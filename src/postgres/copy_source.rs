//! A table that is to be replaced by a copy of itself: what it is, and what about it no copy would have.

use sqlx::{FromRow, PgConnection};

use super::{QueryContext, QueryError, query_as, query_scalar};

/// A table, by names as they are written in SQL.
#[derive(Clone, Debug, FromRow)]
pub struct CopySource {
    /// PostgreSQL's number for it.
    pub id: i64,
    /// Its schema as PostgreSQL stores it.
    pub stored_schema: String,
    /// Its schema.
    pub schema: String,
    /// Its own name.
    pub name: String,
    /// The role that owns it.
    pub owner: String,
    /// That is the role of this session.
    pub is_own: bool,
}

/// A column of a table.
#[derive(Clone, Debug, FromRow)]
pub struct CopyColumn {
    /// As PostgreSQL stores it.
    pub stored: String,
    /// As it is written in SQL.
    pub name: String,
    /// Its type, as it is written in SQL.
    pub type_name: String,
    /// PostgreSQL computes its values.
    pub is_generated: bool,
}

const SOURCE: &str = "\
    SELECT c.oid::int8 AS id, n.nspname::text AS stored_schema, pg_catalog.quote_ident(n.nspname) AS schema, \
      pg_catalog.quote_ident(c.relname) AS name, \
      pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(c.relowner)) AS owner, \
      pg_catalog.pg_get_userbyid(c.relowner) = current_user AS is_own \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.oid = $1::int8::oid";

const COLUMNS: &str = "\
    SELECT a.attname::text AS stored, pg_catalog.quote_ident(a.attname) AS name, \
      pg_catalog.format_type(a.atttypid, a.atttypmod) AS type_name, a.attgenerated <> '' AS is_generated \
    FROM pg_catalog.pg_attribute a \
    WHERE a.attrelid = $1::int8::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// What is known to be about the table and is made of its copy; whatever else depends on the table is told as
/// PostgreSQL describes it, also kinds of objects that no version knows yet. `$2` are columns that get a
/// type: what PostgreSQL does not let them have where something uses them, it would not let a plain ALTER
/// TABLE do.
const UNCOPIED: &str = "\
    WITH t AS (SELECT c.*, r.typarray FROM pg_catalog.pg_class c \
        LEFT JOIN pg_catalog.pg_type r ON r.oid = c.reltype WHERE c.oid = $1::int8::oid), \
      depends AS (SELECT DISTINCT d.classid, d.objid, d.refobjsubid FROM t, pg_catalog.pg_depend d \
        WHERE (d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = t.oid) \
          OR (d.refclassid = 'pg_catalog.pg_type'::regclass AND d.refobjid IN (t.reltype, t.typarray))) \
    SELECT what FROM ( \
      SELECT 'it is no ordinary table' AS what FROM t WHERE t.relkind <> 'r' \
      UNION ALL SELECT 'it is a partition' FROM t WHERE t.relispartition \
      UNION ALL SELECT 'it inherits from another table' FROM t \
        WHERE EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = t.oid) \
      UNION ALL SELECT 'other tables inherit from it' FROM t \
        WHERE EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = t.oid) \
      UNION ALL SELECT 'it is a table of a type' FROM t WHERE t.reloftype <> 0 \
      UNION ALL SELECT 'it is unlogged or temporary' FROM t WHERE t.relpersistence <> 'p' \
      UNION ALL SELECT 'it stands in a tablespace of its own' FROM t WHERE t.reltablespace <> 0 \
      UNION ALL SELECT 'its access method is ' || m.amname FROM t \
        JOIN pg_catalog.pg_am m ON m.oid = t.relam WHERE m.amname <> 'heap' \
      UNION ALL SELECT 'an extension owns it' FROM t JOIN pg_catalog.pg_depend d \
        ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = t.oid AND d.deptype = 'e' \
      UNION ALL SELECT 'it has a security label' FROM t JOIN pg_catalog.pg_seclabel l \
        ON l.classoid = 'pg_catalog.pg_class'::regclass AND l.objoid = t.oid \
      UNION ALL SELECT 'the publication ' || pg_catalog.quote_ident(p.pubname) || ' is of all tables, also \
      of the copy' \
        FROM pg_catalog.pg_publication p WHERE p.puballtables \
      UNION ALL SELECT 'the index ' || pg_catalog.quote_ident(x.relname) || ' is not valid' FROM t \
        JOIN pg_catalog.pg_index i ON i.indrelid = t.oid AND NOT (i.indisvalid AND i.indisready AND \
        i.indislive) \
        JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid \
      UNION ALL SELECT 'the index ' || pg_catalog.quote_ident(x.relname) || ' has statistics targets' FROM t \
        JOIN pg_catalog.pg_index i ON i.indrelid = t.oid JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid \
        WHERE EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = x.oid AND a.attstattarget \
        >= 0) \
      UNION ALL SELECT 'the trigger ' || pg_catalog.quote_ident(g.tgname) || ' of a foreign key is \
      switched off' \
        FROM t JOIN pg_catalog.pg_constraint k ON t.oid IN (k.conrelid, k.confrelid) AND k.contype = 'f' \
        JOIN pg_catalog.pg_trigger g ON g.tgconstraint = k.oid AND g.tgisinternal AND g.tgenabled <> 'O' \
      UNION ALL SELECT 'the foreign key ' || pg_catalog.quote_ident(k.conname) || ' is of the partitioned \
      table ' \
        || o.oid::regclass::text FROM t JOIN pg_catalog.pg_constraint k ON k.confrelid = t.oid AND \
        k.contype = 'f' \
        JOIN pg_catalog.pg_class o ON o.oid = k.conrelid WHERE o.relkind = 'p' OR o.relispartition \
      UNION ALL SELECT 'the constraint ' || pg_catalog.quote_ident(k.conname) || ' is not validated' FROM t \
        JOIN pg_catalog.pg_constraint k ON k.conrelid = t.oid AND k.contype <> 'f' AND NOT k.convalidated \
      UNION ALL SELECT 'a privilege on it was granted by ' || \
      pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g)) \
        || ', who does not own it' FROM (SELECT DISTINCT x.grantor AS g FROM t, \
        pg_catalog.aclexplode(t.relacl) x \
          WHERE x.grantor <> t.relowner) AS granted \
      UNION ALL SELECT pg_catalog.pg_describe_object(d.classid, d.objid, 0) || ' depends on it' FROM t, \
        (SELECT DISTINCT classid, objid FROM depends) AS d WHERE NOT CASE d.classid \
          WHEN 'pg_catalog.pg_class'::regclass THEN EXISTS (SELECT FROM pg_catalog.pg_class c \
            WHERE c.oid = d.objid AND c.relkind IN ('i', 't', 'S')) \
          WHEN 'pg_catalog.pg_type'::regclass THEN d.objid IN (t.reltype, t.typarray) \
          WHEN 'pg_catalog.pg_attrdef'::regclass THEN EXISTS (SELECT FROM pg_catalog.pg_attrdef a \
            WHERE a.oid = d.objid AND a.adrelid = t.oid) \
          WHEN 'pg_catalog.pg_constraint'::regclass THEN EXISTS (SELECT FROM pg_catalog.pg_constraint k \
            WHERE k.oid = d.objid AND (k.conrelid = t.oid OR (k.contype = 'f' AND k.confrelid = t.oid))) \
          WHEN 'pg_catalog.pg_trigger'::regclass THEN EXISTS (SELECT FROM pg_catalog.pg_trigger g \
            WHERE g.oid = d.objid AND (g.tgrelid = t.oid OR g.tgisinternal)) \
          WHEN 'pg_catalog.pg_policy'::regclass THEN EXISTS (SELECT FROM pg_catalog.pg_policy p \
            WHERE p.oid = d.objid AND p.polrelid = t.oid) \
          WHEN 'pg_catalog.pg_rewrite'::regclass THEN EXISTS (SELECT FROM pg_catalog.pg_rewrite w \
            JOIN pg_catalog.pg_class v ON v.oid = w.ev_class \
            WHERE w.oid = d.objid AND v.relkind = 'v' AND w.rulename = '_RETURN') \
          ELSE false END \
      UNION ALL SELECT pg_catalog.pg_describe_object(d.classid, d.objid, 0) || ' uses the column ' \
        || pg_catalog.quote_ident(a.attname) || ', and PostgreSQL does not change its type then' FROM t \
        JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attname::text = ANY ($2::text[]) \
        JOIN depends d ON d.refobjsubid = a.attnum WHERE d.classid IN ('pg_catalog.pg_trigger'::regclass, \
          'pg_catalog.pg_policy'::regclass, 'pg_catalog.pg_rewrite'::regclass, \
          'pg_catalog.pg_proc'::regclass) \
    ) AS found ORDER BY what";

impl CopySource {
    /// Reads what a table is; none where there is none of this number.
    pub async fn find(connection: &mut PgConnection, table: i64) -> Result<Option<Self>, QueryError> {
        query_as(SOURCE).bind(table).fetch_optional(connection).await.context("read a table that is copied")
    }

    /// As it is written in SQL, with its schema.
    pub fn qualified(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// What a copy would not have, in words, if these columns get another type.
    pub async fn uncopied(
        &self,
        connection: &mut PgConnection,
        columns: &[String],
    ) -> Result<Vec<String>, QueryError> {
        let found = query_scalar(UNCOPIED).bind(self.id).bind(columns).fetch_all(connection).await;
        found.context("read what depends on a table that is copied")
    }
}

/// The columns of a table, in its order.
pub async fn copy_columns(connection: &mut PgConnection, table: i64) -> Result<Vec<CopyColumn>, QueryError> {
    query_as(COLUMNS).bind(table).fetch_all(connection).await.context("read the columns of a table")
}
