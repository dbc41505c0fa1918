//! What belongs to a table, as the statements that make it of another one: what a copy gets before it has
//! rows, and what it gets when it takes the table's place. PostgreSQL prints the definitions; `LIKE` copies
//! the rest.
//!
//! The same statements tell whether another session changed the table meanwhile, and whether the table that
//! took its place has all of it.

use sqlx::{AssertSqlSafe, FromRow, PgConnection};

use super::{ForeignKey, QueryContext, QueryError, query_as, query_scalar};

/// What a copy gets while it is empty. `$1` is the table, `$2` what the copy is called. Indexes keep their
/// names, because the copy stands in a schema of its own.
const BUILT: &str = "\
    WITH t AS (SELECT c.*, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name FROM \
    pg_catalog.pg_class c \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::int8::oid), \
      indexes AS (SELECT i.*, c.relname, pg_catalog.format('CREATE %sINDEX %I ON ', \
          CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, c.relname) AS begins \
        FROM t JOIN pg_catalog.pg_index i ON i.indrelid = t.oid JOIN pg_catalog.pg_class c ON c.oid = \
        i.indexrelid \
        WHERE NOT i.indisexclusion) \
    SELECT statement FROM ( \
      SELECT 1 AS step, i.relname::text AS part, i.begins || $2 || pg_catalog.substr( \
        pg_catalog.pg_get_indexdef(i.indexrelid), pg_catalog.length(i.begins || t.name) + 1) AS statement \
        FROM t, indexes i \
      UNION ALL SELECT 2, k.conname, pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s%s%s', $2, \
      k.conname, \
        CASE k.contype WHEN 'p' THEN 'PRIMARY KEY USING INDEX ' WHEN 'u' THEN 'UNIQUE USING INDEX ' \
          ELSE pg_catalog.pg_get_constraintdef(k.oid) END, \
        CASE WHEN k.contype <> 'x' THEN pg_catalog.quote_ident(c.relname) END, \
        CASE WHEN k.contype = 'x' OR NOT k.condeferrable THEN '' WHEN k.condeferred \
          THEN ' DEFERRABLE INITIALLY DEFERRED' ELSE ' DEFERRABLE' END) \
        FROM t JOIN pg_catalog.pg_constraint k ON k.conrelid = t.oid AND k.contype IN ('p', 'u', 'x') \
        JOIN pg_catalog.pg_class c ON c.oid = k.conindid \
      UNION ALL SELECT 3, o.option_name, pg_catalog.format('ALTER TABLE %s SET (%s = %L)', $2, \
      o.option_name, \
        o.option_value) FROM t, pg_catalog.pg_options_to_table(t.reloptions) o \
      UNION ALL SELECT 3, 'toast.' || o.option_name, pg_catalog.format('ALTER TABLE %s SET (toast.%s = \
      %L)', $2, \
        o.option_name, o.option_value) FROM t JOIN pg_catalog.pg_class s ON s.oid = t.reltoastrelid, \
        pg_catalog.pg_options_to_table(s.reloptions) o \
      UNION ALL SELECT 4, a.attname::text, pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I SET \
      STATISTICS %s', $2, \
        a.attname, a.attstattarget) FROM t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid \
        WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget >= 0 \
      UNION ALL SELECT 5, a.attname || o.option_name, pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I \
      SET (%s = %L)', \
        $2, a.attname, o.option_name, o.option_value) FROM t \
        JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid, pg_catalog.pg_options_to_table(a.attoptions) o \
        WHERE a.attnum > 0 AND NOT a.attisdropped \
      UNION ALL SELECT 6, i.relname::text, pg_catalog.format('ALTER TABLE %s CLUSTER ON %I', $2, i.relname) \
        FROM indexes i WHERE i.indisclustered \
      UNION ALL SELECT 7, '', pg_catalog.format('ALTER TABLE %s REPLICA IDENTITY %s', $2, CASE \
      t.relreplident \
        WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' ELSE pg_catalog.format('USING INDEX %I', \
          (SELECT i.relname FROM indexes i WHERE i.indisreplident)) END) FROM t WHERE t.relreplident <> 'd' \
    ) AS parts ORDER BY step, part";

/// What it gets when it takes the place of the table. `$2` is what it is called then.
const PLACED: &str = "\
    WITH t AS (SELECT c.*, pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(c.relowner)) AS owner \
        FROM pg_catalog.pg_class c WHERE c.oid = $1::int8::oid), \
      triggers AS (SELECT g.* FROM t JOIN pg_catalog.pg_trigger g ON g.tgrelid = t.oid AND NOT \
      g.tgisinternal \
        WHERE g.tgfoid NOT IN (SELECT p.oid FROM pg_catalog.pg_proc p \
          JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'sluice_copy')), \
      granted AS ( \
        SELECT 'TABLE ' || $2 AS object, '' AS \"column\", x.* FROM t, \
        pg_catalog.aclexplode(COALESCE(t.relacl, \
          pg_catalog.acldefault('r', t.relowner))) x \
        UNION ALL SELECT 'TABLE ' || $2, ' (' || pg_catalog.quote_ident(a.attname) || ')', x.* FROM t \
          JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND NOT a.attisdropped, \
          pg_catalog.aclexplode(a.attacl) x \
        UNION ALL SELECT 'SEQUENCE ' || pg_catalog.format('%s.%I', $3, s.relname), '', x.* FROM t \
          JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = \
          t.oid \
            AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'i' \
          JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S', \
          pg_catalog.aclexplode(s.relacl) x), \
      described AS ( \
        SELECT d.description, CASE WHEN d.objsubid = 0 THEN 'TABLE ' || $2 \
            ELSE 'COLUMN ' || $2 || '.' || pg_catalog.quote_ident(a.attname) END AS object \
          FROM t JOIN pg_catalog.pg_description d \
            ON d.classoid = 'pg_catalog.pg_class'::regclass AND d.objoid = t.oid \
          LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.objsubid \
        UNION ALL SELECT d.description, 'INDEX ' || pg_catalog.format('%s.%I', $3, c.relname) FROM t \
          JOIN pg_catalog.pg_index i ON i.indrelid = t.oid JOIN pg_catalog.pg_class c ON c.oid = \
          i.indexrelid \
          JOIN pg_catalog.pg_description d \
            ON d.classoid = 'pg_catalog.pg_class'::regclass AND d.objoid = i.indexrelid \
        UNION ALL SELECT d.description, pg_catalog.format('CONSTRAINT %I ON %s', k.conname, $2) FROM t \
          JOIN pg_catalog.pg_constraint k ON k.conrelid = t.oid JOIN pg_catalog.pg_description d \
            ON d.classoid = 'pg_catalog.pg_constraint'::regclass AND d.objoid = k.oid \
        UNION ALL SELECT d.description, pg_catalog.format('TRIGGER %I ON %s', g.tgname, $2) FROM triggers g \
          JOIN pg_catalog.pg_description d ON d.classoid = 'pg_catalog.pg_trigger'::regclass AND d.objoid \
          = g.oid \
        UNION ALL SELECT d.description, pg_catalog.format('POLICY %I ON %s', p.polname, $2) FROM t \
          JOIN pg_catalog.pg_policy p ON p.polrelid = t.oid JOIN pg_catalog.pg_description d \
            ON d.classoid = 'pg_catalog.pg_policy'::regclass AND d.objoid = p.oid) \
    SELECT statement FROM ( \
      SELECT 1 AS step, '' AS part, pg_catalog.format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', $2) AS \
      statement \
        FROM t WHERE t.relrowsecurity \
      UNION ALL SELECT 2, '', pg_catalog.format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', $2) \
        FROM t WHERE t.relforcerowsecurity \
      UNION ALL SELECT 3, p.polname::text, pg_catalog.format('CREATE POLICY %I ON %s AS %s FOR %s TO \
      %s%s%s', \
        p.polname, $2, CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END, \
        CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN \
        'DELETE' \
          ELSE 'ALL' END, \
        (SELECT pg_catalog.string_agg(CASE WHEN r = 0 THEN 'PUBLIC' \
          ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(r)) END, ', ' ORDER BY r) \
          FROM pg_catalog.unnest(p.polroles) r), \
        ' USING (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')', \
        ' WITH CHECK (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')') \
        FROM t JOIN pg_catalog.pg_policy p ON p.polrelid = t.oid \
      UNION ALL SELECT 4, g.tgname::text, pg_catalog.pg_get_triggerdef(g.oid) FROM triggers g \
      UNION ALL SELECT 5, g.tgname::text, pg_catalog.format('ALTER TABLE %s %s TRIGGER %I', $2, CASE \
      g.tgenabled \
        WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, g.tgname) \
        FROM triggers g WHERE g.tgenabled <> 'O' \
      UNION ALL SELECT 6, '', pg_catalog.format('REVOKE ALL ON TABLE %s FROM %s', $2, t.owner) FROM t \
      UNION ALL SELECT 7, g.object || g.\"column\" || g.grantee || g.privilege_type, \
        pg_catalog.format('GRANT %s%s ON %s TO %s%s', g.privilege_type, g.\"column\", g.object, \
        CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE \
        pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END, \
        CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) FROM granted g \
      UNION ALL SELECT 8, d.object, pg_catalog.format('COMMENT ON %s IS %L', d.object, d.description) \
        FROM described d \
    ) AS parts ORDER BY step, part";

/// A foreign key of the table, or one that references it.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct CopiedKey {
    /// The table that has it.
    pub table: String,
    /// Its name.
    pub name: String,
    /// The table that it references.
    pub references: String,
    /// What it says, `NOT VALID` aside.
    pub definition: String,
    /// Its rows are known to keep it.
    pub is_valid: bool,
    /// It references the table, and is another table's.
    pub is_incoming: bool,
    /// What its comment says.
    pub comment: Option<String>,
}

const KEYS: &str = "\
    SELECT k.conrelid::regclass::text AS table, pg_catalog.quote_ident(k.conname) AS name, \
      k.confrelid::regclass::text AS references, \
      pg_catalog.regexp_replace(pg_catalog.pg_get_constraintdef(k.oid), ' NOT VALID$', '') AS definition, \
      k.convalidated AS is_valid, k.conrelid <> $1::int8::oid AS is_incoming, \
      pg_catalog.quote_literal(pg_catalog.obj_description(k.oid, 'pg_constraint')) AS comment \
    FROM pg_catalog.pg_constraint k \
    WHERE k.contype = 'f' AND $1::int8::oid IN (k.conrelid, k.confrelid) ORDER BY 1, 2";

/// A sequence that a column of the table owns.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct OwnedSequence {
    /// Its own name, as it is written in SQL.
    pub name: String,
    /// Its schema.
    pub schema: String,
    /// The column.
    pub column: String,
    /// It makes an identity, so the copy has one of its own.
    pub is_identity: bool,
    /// The type of its numbers, which `LIKE` leaves to PostgreSQL.
    pub type_name: String,
}

const SEQUENCES: &str = "\
    SELECT pg_catalog.quote_ident(s.relname) AS name, pg_catalog.quote_ident(n.nspname) AS schema, \
      pg_catalog.quote_ident(a.attname) AS column, d.deptype = 'i' AS is_identity, \
      pg_catalog.format_type(q.seqtypid, NULL) AS type_name \
    FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S' \
    JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid \
    JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid \
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass \
      AND d.refobjid = $1::int8::oid AND d.deptype IN ('a', 'i') ORDER BY a.attnum, 1";

/// The views that read the table, each as the statement that makes it read the table that has its name by
/// then.
const VIEWS: &str = "\
    SELECT DISTINCT pg_catalog.format('CREATE OR REPLACE VIEW %I.%I%s AS %s', n.nspname, v.relname, \
      (SELECT ' WITH (' || pg_catalog.string_agg(pg_catalog.format('%s = %L', o.option_name, \
      o.option_value), ', ') \
        || ')' FROM pg_catalog.pg_options_to_table(v.reloptions) o), \
      pg_catalog.rtrim(pg_catalog.pg_get_viewdef(v.oid), ';')) AS statement \
    FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid \
    JOIN pg_catalog.pg_class v ON v.oid = w.ev_class AND v.relkind = 'v' \
    JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace \
    WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass \
      AND d.refobjid = $1::int8::oid ORDER BY 1";

/// All that belongs to a table and is not copied by `LIKE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyParts {
    /// What the copy gets when it takes the table's place.
    pub placed: Vec<String>,
    /// Foreign keys, of the table and to it.
    pub keys: Vec<CopiedKey>,
    /// Sequences.
    pub sequences: Vec<OwnedSequence>,
    /// Views.
    pub views: Vec<String>,
}

impl CopyParts {
    /// Of this table; statements say `called` in `schema`.
    pub async fn read(
        connection: &mut PgConnection,
        table: i64,
        called: &str,
        schema: &str,
    ) -> Result<Self, QueryError> {
        let placed = query_scalar(PLACED).bind(table).bind(called).bind(schema);
        let placed = placed.fetch_all(&mut *connection).await.context("read what belongs to a table")?;
        let keys = query_as(KEYS).bind(table).fetch_all(&mut *connection).await;
        let keys = keys.context("read the foreign keys of a table")?;
        let sequences = owned_sequences(&mut *connection, table).await?;
        let views = query_scalar(VIEWS).bind(table).fetch_all(connection).await;
        let views = views.context("read the views of a table")?;
        Ok(Self { placed, keys, sequences, views })
    }
}

impl CopiedKey {
    /// Makes it, of the tables that have these names by then, without reading their rows.
    pub fn made(&self) -> String {
        let (table, name) = (&self.table, &self.name);
        let made = format!("ALTER TABLE {table} ADD CONSTRAINT {name} {} NOT VALID", self.definition);
        match &self.comment {
            Some(comment) => format!("{made}; COMMENT ON CONSTRAINT {name} ON {table} IS {comment}"),
            None => made,
        }
    }

    /// What is to be validated when it is made, where it was.
    pub fn to_validate(&self) -> Option<ForeignKey> {
        self.is_valid.then(|| ForeignKey { table: self.table.clone(), name: self.name.clone() })
    }
}

/// The statements that make of an empty copy what `LIKE` leaves out.
pub async fn built_parts(
    connection: &mut PgConnection,
    table: i64,
    called: &str,
) -> Result<Vec<String>, QueryError> {
    let built = query_scalar(BUILT).bind(table).bind(called).fetch_all(connection).await;
    built.context("read the indexes of a table")
}

/// The sequences that columns of a table own.
pub async fn owned_sequences(
    connection: &mut PgConnection,
    table: i64,
) -> Result<Vec<OwnedSequence>, QueryError> {
    let found = query_as(SEQUENCES).bind(table).fetch_all(connection).await;
    found.context("read the sequences of a table")
}

/// The roles that have rights on a relation and do not own it: default privileges gave them.
pub async fn grantees(connection: &mut PgConnection, called: &str) -> Result<Vec<String>, QueryError> {
    let text = "SELECT DISTINCT CASE WHEN x.grantee = 0 THEN 'PUBLIC' \
        ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(x.grantee)) END \
        FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) x \
        WHERE c.oid = $1::regclass AND x.grantee <> c.relowner";
    let found = query_scalar(AssertSqlSafe(text)).bind(called).fetch_all(connection).await;
    found.context("read the privileges on a copy")
}
