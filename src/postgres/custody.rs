//! Whether the tables that Sluice takes for the truth are what they seem. Who may create in a schema can make
//! a history of his own there before Sluice does, and who may create triggers on a table runs code in every
//! session that writes to it, with the rights of its role.

use sqlx::PgConnection;

use super::{HistoryTable, Journal, Objection, QueryContext, QueryError, query_as, query_scalar};
use crate::{
    api::Reason,
    migrations::{HistoryContract, HistoryRow},
};

/// Roles that have nothing to gain: superusers, the role itself, and roles that can become it. Not the roles
/// that it is a member of: a role that tests row-level security is a member of the application's role, which
/// must not become more than it is. `$me` names the roles that count as itself.
macro_rules! trusted {
    ($me:literal) => {
        concat!(
            "WITH version AS (SELECT CASE WHEN pg_catalog.current_setting('server_version_num')::int >= \
                160000 THEN 'SET' ELSE 'MEMBER' END AS becomes), \
             trusted AS (SELECT r.oid FROM pg_catalog.pg_roles r, version v WHERE r.rolsuper OR EXISTS \
             (SELECT FROM pg_catalog.pg_roles me \
               WHERE (",
            $me,
            ") AND (me.oid = r.oid OR pg_catalog.pg_has_role(r.oid, me.oid, v.becomes)))), "
        )
    };
}

/// The relations are the history and whatever is in the schema `sluice`; below each its kind, and what about
/// it runs code or hides rows.
macro_rules! kept {
    () => {
        concat!(
            trusted!("me.rolname IN (SESSION_USER, CURRENT_USER)"),
            "kept AS (SELECT c.*, n.nspname, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name FROM \
                pg_catalog.pg_class c \
              JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE (n.nspname = $1 AND c.relname = \
              $2 AND c.relkind NOT IN ('i', 'I', 'S', 'c')) \
                OR (n.nspname = 'sluice' AND c.relkind IN ('r', 'p', 'v', 'm', 'f'))), "
        )
    };
}

/// Which of the relations `looked` others may hang code on.
macro_rules! granted {
    () => {
        "granted AS (SELECT c.oid, a.privilege_type AS privilege FROM looked JOIN pg_catalog.pg_class c ON \
            c.oid = looked.oid, pg_catalog.aclexplode(c.relacl) a \
            WHERE a.privilege_type IN ('TRIGGER', 'REFERENCES') AND a.grantee NOT IN (SELECT oid FROM \
            trusted) \
          UNION SELECT t.attrelid, a.privilege_type FROM looked JOIN pg_catalog.pg_attribute t ON t.attrelid \
          = looked.oid, pg_catalog.aclexplode(t.attacl) a \
            WHERE a.privilege_type = 'REFERENCES' AND a.grantee NOT IN (SELECT oid FROM trusted)) "
    };
}

const SQL: &str = concat!(
    kept!(),
    "looked AS (SELECT k.oid FROM kept k UNION SELECT c.conrelid FROM pg_catalog.pg_constraint c WHERE \
        c.confrelid IN (SELECT oid FROM kept)), ",
    granted!(),
    ", code AS (SELECT p.oid, 'pg_catalog.pg_proc'::regclass AS class, p.proowner AS owner FROM \
        pg_catalog.pg_proc p \
      UNION ALL SELECT o.oid, 'pg_catalog.pg_operator'::regclass, o.oprowner FROM pg_catalog.pg_operator o \
      UNION ALL SELECT t.oid, 'pg_catalog.pg_type'::regclass, t.typowner FROM pg_catalog.pg_type t), \
    parts AS (SELECT k.oid, k.name, 'pg_catalog.pg_class'::regclass AS class, k.oid AS part FROM kept k \
      UNION ALL SELECT k.oid, k.name, 'pg_catalog.pg_attrdef'::regclass, d.oid FROM kept k JOIN \
      pg_catalog.pg_attrdef d ON d.adrelid = k.oid \
      UNION ALL SELECT k.oid, k.name, 'pg_catalog.pg_constraint'::regclass, c.oid FROM kept k JOIN \
      pg_catalog.pg_constraint c ON c.conrelid = k.oid \
      UNION ALL SELECT k.oid, k.name, 'pg_catalog.pg_class'::regclass, i.indexrelid FROM kept k JOIN \
      pg_catalog.pg_index i ON i.indrelid = k.oid) \
    SELECT what, object, who FROM ( \
      SELECT 1, 'schema', pg_catalog.format('%I', n.nspname), pg_catalog.pg_get_userbyid(n.nspowner)::text \
      FROM pg_catalog.pg_namespace n \
      WHERE n.nspname = 'sluice' AND n.nspowner NOT IN (SELECT oid FROM trusted) \
      UNION ALL SELECT 2, 'owner', k.name, pg_catalog.pg_get_userbyid(k.relowner)::text FROM kept k WHERE \
      k.relowner NOT IN (SELECT oid FROM trusted) \
      UNION ALL SELECT 3, 'kind', k.name, k.relkind::text FROM kept k WHERE k.relkind <> 'r' \
      UNION ALL SELECT 4, 'rule', k.name, w.rulename::text FROM kept k JOIN pg_catalog.pg_rewrite w ON \
      w.ev_class = k.oid WHERE k.relkind = 'r' \
      UNION ALL SELECT 5, 'trigger', k.name, t.tgname::text FROM kept k \
      JOIN pg_catalog.pg_trigger t ON t.tgrelid = k.oid AND NOT t.tgisinternal JOIN pg_catalog.pg_proc p ON \
      p.oid = t.tgfoid \
      WHERE p.proowner NOT IN (SELECT oid FROM trusted) OR EXISTS (SELECT FROM granted g WHERE g.oid = k.oid \
      AND g.privilege = 'TRIGGER') \
      UNION ALL SELECT 6, 'policy', k.name, '' FROM kept k WHERE k.relkind = 'r' AND k.relrowsecurity AND \
      pg_catalog.row_security_active(k.oid) \
      UNION ALL SELECT 7, 'child', k.name, i.inhrelid::pg_catalog.regclass::text FROM kept k JOIN \
      pg_catalog.pg_inherits i ON i.inhparent = k.oid \
      UNION ALL SELECT 8, 'key', pg_catalog.format('%s refers to %s by %I', c.conrelid::pg_catalog.regclass, \
      k.name, c.conname), \
        pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', c.conrelid::pg_catalog.regclass, c.conname) \
        FROM kept k \
      JOIN pg_catalog.pg_constraint c ON c.confrelid = k.oid AND c.contype = 'f' JOIN pg_catalog.pg_class r \
      ON r.oid = c.conrelid \
      WHERE r.relowner NOT IN (SELECT oid FROM trusted) OR EXISTS (SELECT FROM granted g WHERE g.oid = r.oid \
      AND g.privilege = 'TRIGGER') \
        OR EXISTS (SELECT FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid WHERE \
        t.tgrelid = r.oid AND NOT t.tgisinternal \
          AND p.proowner NOT IN (SELECT oid FROM trusted)) \
      UNION ALL SELECT 9, 'code', p.name, pg_catalog.pg_describe_object(d.refclassid, d.refobjid, 0) FROM \
      parts p \
      JOIN pg_catalog.pg_depend d ON d.classid = p.class AND d.objid = p.part JOIN code c ON c.class = \
      d.refclassid AND c.oid = d.refobjid \
      WHERE c.owner NOT IN (SELECT oid FROM trusted) \
    ) AS found(rank, what, object, who) ORDER BY rank, object, who LIMIT 1"
);

/// The ordinary tables among them on which others may create triggers, or to which they may make foreign keys
/// refer.
const EXPOSED: &str = concat!(
    kept!(),
    "looked AS (SELECT oid FROM kept), ",
    granted!(),
    "SELECT k.name FROM kept k WHERE k.relkind = 'r' AND k.oid IN (SELECT oid FROM granted) ORDER BY 1"
);

/// The first thing about the history or the schema `sluice` that could forge what it says, or make this role
/// do what others want.
pub async fn custody_objection(
    connection: &mut PgConnection,
    history_table: &HistoryContract,
) -> Result<Option<Objection>, QueryError> {
    let found: Option<(String, String, String)> = query_as(SQL)
        .bind(&history_table.schema)
        .bind(history_table.table)
        .fetch_optional(connection)
        .await
        .context("see who could forge the history")?;
    Ok(found.map(|(what, object, who)| Objection {
        reason: Reason::HistoryUntrusted,
        message: message(&what, &object, &who),
    }))
}

/// The same for a session that only reads the history: what is in a row of a table that another role owns, or
/// in a view, was not written by Sluice. Nothing of the table runs for a reader. $1 and $2 schema and table
/// of the history, $3 the tables of the schema `sluice` that are read, $4 the role that migrates; where the caller does not name it,
/// it is taken to be the reader or the owner of the database.
const OF_A_READER: &str = concat!(
    trusted!(
        "me.rolname = $4 OR ($4 IS NULL AND (me.rolname IN (SESSION_USER, CURRENT_USER) OR me.oid = (SELECT \
            d.datdba \
         FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())))"
    ),
    "kept AS (SELECT c.*, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name FROM pg_catalog.pg_class \
        c \
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
      WHERE ((n.nspname = $1 AND c.relname = $2) OR (n.nspname = 'sluice' AND c.relname = ANY($3))) AND c.relkind \
      NOT IN ('i', 'I', 'S', 'c')) \
    SELECT what, object, who FROM ( \
      SELECT 1, 'reader', k.name, pg_catalog.pg_get_userbyid(k.relowner)::text FROM kept k WHERE k.relowner \
      NOT IN (SELECT oid FROM trusted) \
      UNION ALL SELECT 2, 'kind', k.name, k.relkind::text FROM kept k WHERE k.relkind <> 'r' \
      UNION ALL SELECT 3, 'child', k.name, i.inhrelid::pg_catalog.regclass::text FROM kept k JOIN \
      pg_catalog.pg_inherits i ON i.inhparent = k.oid \
    ) AS found(rank, what, object, who) ORDER BY rank, object, who LIMIT 1"
);

/// The newest applied migration and whether this one is applied, for a reader who may be connected as any
/// role: it believes superusers, `owner`, without one its own role and the owner of the database, and roles
/// that can become these.
pub async fn believed(
    connection: &mut PgConnection,
    history_table: &HistoryTable,
    owner: Option<&str>,
    name: &str,
) -> Result<Result<(Option<String>, bool), Objection>, QueryError> {
    // Before anything of it is read, because reading a view runs its code; and after a yes, because it may
    // have been planted in between.
    let (contract, read) = (&history_table.contract, [history_table.contract.phases.as_str()]);
    if let Some(objection) = reader_objection(&mut *connection, contract, &read, owner).await? {
        return Ok(Err(objection));
    }
    let found = history_table.applied(&mut *connection, name).await?;
    let objection = if found.1 { reader_objection(connection, contract, &read, owner).await? } else { None };
    Ok(objection.map_or(Ok(found), Err))
}

/// Every row of the history, for a reader who may be connected as any role. It believes the roles that
/// [`believed`] does.
pub async fn believed_rows(
    connection: &mut PgConnection,
    history_table: &HistoryTable,
    owner: Option<&str>,
) -> Result<Result<Vec<HistoryRow>, Objection>, QueryError> {
    let (contract, read) =
        (&history_table.contract, [history_table.contract.phases.as_str(), Journal::TABLE]);
    if let Some(objection) = reader_objection(&mut *connection, contract, &read, owner).await? {
        return Ok(Err(objection));
    }
    let rows = history_table.rows(&mut *connection).await?;
    let objection = reader_objection(connection, contract, &read, owner).await?;
    Ok(objection.map_or(Ok(rows), Err))
}

async fn reader_objection(
    connection: &mut PgConnection,
    history_table: &HistoryContract,
    read: &[&str],
    owner: Option<&str>,
) -> Result<Option<Objection>, QueryError> {
    let statement =
        query_as(OF_A_READER).bind(&history_table.schema).bind(history_table.table).bind(read).bind(owner);
    let found: Option<(String, String, String)> =
        statement.fetch_optional(connection).await.context("see who could forge the history")?;
    Ok(found.map(|(what, object, who)| Objection {
        reason: Reason::HistoryUntrusted,
        message: message(&what, &object, &who),
    }))
}

/// The tables of the history and of the schema `sluice` on which others may create triggers or to which they
/// may make foreign keys refer, as they are written. A session that writes to them locks them first and
/// checks then: a trigger or a key that is made in between waits.
pub async fn exposed_tables(
    connection: &mut PgConnection,
    history_table: &HistoryContract,
) -> Result<Vec<String>, QueryError> {
    query_scalar(EXPOSED)
        .bind(&history_table.schema)
        .bind(history_table.table)
        .fetch_all(connection)
        .await
        .context("see who may hang code on the history")
}

/// What is wrong, and what to do. PURE.
fn message(what: &str, object: &str, who: &str) -> String {
    let owner = "the migration role, a role that can become it, or a superuser";
    match what {
        "schema" => format!(
            "the schema {object} belongs to {who:?}, who could change what Sluice keeps there; it must \
                belong to {owner}: ALTER SCHEMA {object} OWNER TO …, after an inspection of what is in it"
        ),
        "owner" => format!(
            "{object} belongs to {who:?}, who could change what it says and run code in every session that \
                writes to it; it must belong to {owner}: ALTER TABLE {object} OWNER TO …, after an \
                inspection of its rows and triggers"
        ),
        "reader" => format!(
            "{object} belongs to {who:?}, whom this session has no reason to trust: neither a superuser, nor \
                the role that \
             migrates, nor one that can become it. If {who:?} is the role that migrates, say so with \
             --history-owner {who}; otherwise another role planted it"
        ),
        "kind" => format!(
            "{object} is no ordinary table (its relkind is {who:?}), so what it says is not what Sluice \
                wrote: put the table of the history back"
        ),
        "rule" => format!(
            "{object} has the rule {who:?}, which rewrites what is written to it: DROP RULE {who:?} ON \
                {object}"
        ),
        "trigger" => format!(
            "{object} has the trigger {who:?}, by which another role's code would run as the migration \
                role: DROP TRIGGER {who:?} ON {object}, and REVOKE TRIGGER ON {object} from each role that \
                has it"
        ),
        "policy" => format!(
            "row-level security applies to the migration role on {object}, so it does not see every row: \
                ALTER TABLE {object} DISABLE ROW LEVEL SECURITY"
        ),
        "key" => format!(
            "{object}, and a row of the history that Sluice removes would run another role's code as the \
                migration role: {who}, and REVOKE REFERENCES from each role that has it"
        ),
        "code" => format!(
            "{object} uses {who}, which neither the migration role, nor a role that can become it, nor a \
                superuser owns, and which runs in every session that writes to {object}: take it away"
        ),
        _ => format!(
            "{who} inherits from {object}, so its rows look like rows of the history: ALTER TABLE {who} NO \
                INHERIT {object}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_objection_names_the_object_and_the_remedy() {
        for (what, remedy) in [
            ("schema", "ALTER SCHEMA sluice OWNER TO"),
            ("owner", "ALTER TABLE sluice OWNER TO"),
            ("reader", "--history-owner eve"),
            ("kind", "put the table of the history back"),
            ("rule", "DROP RULE \"eve\" ON sluice"),
            ("trigger", "DROP TRIGGER \"eve\" ON sluice"),
            ("policy", "DISABLE ROW LEVEL SECURITY"),
            ("key", "eve, and REVOKE REFERENCES"),
            ("code", "sluice uses eve"),
            ("child", "ALTER TABLE eve NO INHERIT sluice"),
        ] {
            let said = message(what, "sluice", "eve");
            assert!(said.contains(remedy), "{said}");
        }
    }
}
