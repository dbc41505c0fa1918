//! Whether the tables that Sluice takes for the truth are what they seem. Who may create in a schema can make a history of his own there before
//! Sluice does, and who may create triggers on a table runs code in every session that writes to it, with the rights of its role.

use sqlx::PgConnection;

use super::{Asked, Ledger, Objection, QueryError, query_as, query_scalar};
use crate::{api::Reason, migrations::LedgerContract};

/// Roles that could do anyway what their objects could make this one do: itself, those it is a member of, superusers, and whoever owns the
/// database. The relations are the history and whatever is in the schema `sluice`; below each its kind, and what about it runs code or hides rows.
macro_rules! kept {
    () => {
        "WITH trusted AS (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolsuper OR r.rolname = 'pg_database_owner' OR pg_catalog.pg_has_role(r.oid, 'MEMBER') \
        OR r.oid = (SELECT d.datdba FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())), \
    kept AS (SELECT c.*, n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
      WHERE (n.nspname = $1 AND c.relname = $2 AND c.relkind NOT IN ('i', 'I', 'S', 'c')) OR (n.nspname = 'sluice' AND c.relkind IN ('r', 'p', 'v', 'm', 'f'))) "
    };
}

const SQL: &str = concat!(
    kept!(),
    "SELECT what, object, who FROM ( \
      SELECT 1, 'schema', pg_catalog.format('%I', n.nspname), pg_catalog.pg_get_userbyid(n.nspowner)::text FROM pg_catalog.pg_namespace n \
      WHERE n.nspname = 'sluice' AND n.nspowner NOT IN (SELECT oid FROM trusted) \
      UNION ALL SELECT 2, 'owner', pg_catalog.format('%I.%I', k.nspname, k.relname), pg_catalog.pg_get_userbyid(k.relowner)::text FROM kept k \
      WHERE k.relowner NOT IN (SELECT oid FROM trusted) \
      UNION ALL SELECT 3, 'kind', pg_catalog.format('%I.%I', k.nspname, k.relname), k.relkind::text FROM kept k WHERE k.relkind <> 'r' \
      UNION ALL SELECT 4, 'rule', pg_catalog.format('%I.%I', k.nspname, k.relname), w.rulename::text FROM kept k \
      JOIN pg_catalog.pg_rewrite w ON w.ev_class = k.oid WHERE k.relkind = 'r' \
      UNION ALL SELECT 5, 'trigger', pg_catalog.format('%I.%I', k.nspname, k.relname), t.tgname::text FROM kept k \
      JOIN pg_catalog.pg_trigger t ON t.tgrelid = k.oid AND NOT t.tgisinternal JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid \
      WHERE p.proowner NOT IN (SELECT oid FROM trusted) OR EXISTS (SELECT FROM pg_catalog.aclexplode(k.relacl) a \
        WHERE a.privilege_type = 'TRIGGER' AND a.grantee NOT IN (SELECT oid FROM trusted)) \
      UNION ALL SELECT 6, 'policy', pg_catalog.format('%I.%I', k.nspname, k.relname), '' FROM kept k \
      WHERE k.relkind = 'r' AND k.relrowsecurity AND pg_catalog.row_security_active(k.oid) \
      UNION ALL SELECT 7, 'child', pg_catalog.format('%I.%I', k.nspname, k.relname), i.inhrelid::pg_catalog.regclass::text FROM kept k \
      JOIN pg_catalog.pg_inherits i ON i.inhparent = k.oid \
    ) AS found(rank, what, object, who) ORDER BY rank, object, who LIMIT 1"
);

/// The ordinary tables among them on which others may create triggers.
const EXPOSED: &str = concat!(
    kept!(),
    "SELECT pg_catalog.format('%I.%I', k.nspname, k.relname) FROM kept k WHERE k.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.aclexplode(k.relacl) a \
      WHERE a.privilege_type = 'TRIGGER' AND a.grantee NOT IN (SELECT oid FROM trusted)) ORDER BY 1"
);

/// The first thing about the history or the schema `sluice` that could forge what it says, or make this role do what others want.
pub async fn custody_objection(connection: &mut PgConnection, ledger: &LedgerContract) -> Result<Option<Objection>, QueryError> {
    let found: Option<(String, String, String)> =
        query_as(SQL).bind(&ledger.schema).bind(ledger.table).fetch_optional(connection).await.asked("see who could forge the history")?;
    Ok(found.map(|(what, object, who)| Objection { reason: Reason::HistoryUntrusted, message: message(&what, &object, &who) }))
}

/// The same for whoever only reads the history: what is in a row of a table that somebody else owns, or in a view, was not written by Sluice. Nothing of
/// the table runs for a reader. $1 and $2 schema and table of the history, $3 the table of the phases, $4 a role that is trusted besides.
const OF_A_READER: &str = "\
    WITH trusted AS (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolsuper OR r.rolname = $4 OR r.rolname = 'pg_database_owner' \
        OR pg_catalog.pg_has_role(r.oid, 'MEMBER') \
        OR r.oid = (SELECT d.datdba FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())), \
    kept AS (SELECT c.*, n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
      WHERE ((n.nspname = $1 AND c.relname = $2) OR (n.nspname = 'sluice' AND c.relname = $3)) AND c.relkind NOT IN ('i', 'I', 'S', 'c')) \
    SELECT what, object, who FROM ( \
      SELECT 1, 'reader', pg_catalog.format('%I.%I', k.nspname, k.relname), pg_catalog.pg_get_userbyid(k.relowner)::text FROM kept k \
      WHERE k.relowner NOT IN (SELECT oid FROM trusted) \
      UNION ALL SELECT 2, 'kind', pg_catalog.format('%I.%I', k.nspname, k.relname), k.relkind::text FROM kept k WHERE k.relkind <> 'r' \
      UNION ALL SELECT 3, 'child', pg_catalog.format('%I.%I', k.nspname, k.relname), i.inhrelid::pg_catalog.regclass::text FROM kept k \
      JOIN pg_catalog.pg_inherits i ON i.inhparent = k.oid \
    ) AS found(rank, what, object, who) ORDER BY rank, object, who LIMIT 1";

/// The newest applied migration and whether this one is applied, for a reader who may be connected as any role: it believes superusers, the owner of
/// the database, the roles that it is a member of, and `owner`.
pub async fn believed(
    connection: &mut PgConnection,
    ledger: &Ledger,
    owner: Option<&str>,
    name: &str,
) -> Result<Result<(Option<String>, bool), Objection>, QueryError> {
    // Before anything of it is read, because reading a view runs its code; and after a yes, because it may have been planted in between.
    if let Some(objection) = reader_objection(&mut *connection, &ledger.contract, owner).await? {
        return Ok(Err(objection));
    }
    let found = ledger.applied(&mut *connection, name).await?;
    let objection = if found.1 { reader_objection(connection, &ledger.contract, owner).await? } else { None };
    Ok(objection.map_or(Ok(found), Err))
}

async fn reader_objection(
    connection: &mut PgConnection,
    ledger: &LedgerContract,
    owner: Option<&str>,
) -> Result<Option<Objection>, QueryError> {
    let question = query_as(OF_A_READER).bind(&ledger.schema).bind(ledger.table).bind(&ledger.phases).bind(owner);
    let found: Option<(String, String, String)> = question.fetch_optional(connection).await.asked("see who could forge the history")?;
    Ok(found.map(|(what, object, who)| Objection { reason: Reason::HistoryUntrusted, message: message(&what, &object, &who) }))
}

/// The tables of the history and of the schema `sluice` on which others may create triggers, as they are written. Whoever writes to them locks them
/// first and looks then: a trigger that is made in between waits.
pub async fn exposed_tables(connection: &mut PgConnection, ledger: &LedgerContract) -> Result<Vec<String>, QueryError> {
    query_scalar(EXPOSED)
        .bind(&ledger.schema)
        .bind(ledger.table)
        .fetch_all(connection)
        .await
        .asked("see who may create triggers on the history")
}

/// What is wrong, and what to do. PURE.
fn message(what: &str, object: &str, who: &str) -> String {
    let owner = "the migration role, a role that it is a member of, the owner of the database or a superuser";
    match what {
        "schema" => format!(
            "the schema {object} belongs to {who:?}, who could change what Sluice keeps there; it must belong to {owner}: ALTER SCHEMA {object} OWNER TO …, after a look at what is in it"
        ),
        "owner" => format!(
            "{object} belongs to {who:?}, who could change what it says and run code in every session that writes to it; it must belong to {owner}: ALTER TABLE {object} OWNER TO …, after a look at its rows and triggers"
        ),
        "reader" => format!(
            "{object} belongs to {who:?}, whom this session has no reason to trust: neither a superuser, nor the owner of the database, nor a role that the \
             connected one is a member of. If {who:?} is the role that migrates, say so with --history-owner {who}; otherwise somebody planted it"
        ),
        "kind" => format!(
            "{object} is no ordinary table (its relkind is {who:?}), so what it says is not what Sluice wrote: put the table of the history back"
        ),
        "rule" => format!("{object} has the rule {who:?}, which rewrites what is written to it: DROP RULE {who:?} ON {object}"),
        "trigger" => format!(
            "{object} has the trigger {who:?}, by which somebody else's code would run as the migration role: DROP TRIGGER {who:?} ON {object}, and REVOKE TRIGGER ON {object} from whoever has it"
        ),
        "policy" => format!(
            "row-level security applies to the migration role on {object}, so it does not see every row: ALTER TABLE {object} DISABLE ROW LEVEL SECURITY"
        ),
        _ => format!("{who} inherits from {object}, so its rows look like rows of the history: ALTER TABLE {who} NO INHERIT {object}"),
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
            ("child", "ALTER TABLE eve NO INHERIT sluice"),
        ] {
            let said = message(what, "sluice", "eve");
            assert!(said.contains(remedy), "{said}");
        }
    }
}
