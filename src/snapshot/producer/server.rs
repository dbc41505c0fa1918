//! What the server must say before, and when, a dump fails. Reads catalogs only; independent of the server's
//! language, because its messages may be in any.

use sqlx::{PgConnection, Row, postgres::PgRow};

use super::super::SnapshotError;
use crate::postgres::{ConnectionUrl, query, said};

/// The server, as the manifest names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// Its version, in full.
    pub(super) version: String,
    /// Its place in the write-ahead log before the dump began: everything up to here is in the dump.
    pub(super) lsn: Option<String>,
}

/// Describes the server, or says why a dump of it would not be complete.
pub(super) async fn describe(
    connection: &mut PgConnection,
    url: &ConnectionUrl,
) -> Result<Server, SnapshotError> {
    let unanswered = |what| move |error: sqlx::Error| unanswered(url, what, &error);
    let row = query(DESCRIBE).fetch_one(&mut *connection).await.map_err(unanswered("its version"))?;
    let hidden = query(HIDDEN).fetch_all(&mut *connection).await.map_err(unanswered("row-level security"))?;
    if !hidden.is_empty() {
        let tables: Vec<String> = hidden.iter().map(|row| row.get(0)).collect();
        let role = row.get("role");
        return Err(SnapshotError::Incomplete {
            database: url.database().to_owned(),
            role,
            tables: list(&tables),
        });
    }
    Ok(Server { version: row.get("version"), lsn: row.get("lsn") })
}

/// Who keeps others from reading a table, as a list for people.
pub(super) async fn lock_holders(connection: &mut PgConnection) -> String {
    let rows = query(HOLDERS).fetch_all(connection).await.unwrap_or_default();
    let holder = |row: &PgRow| {
        let (table, pid, application): (String, i32, String) = (row.get(0), row.get(1), row.get(2));
        let (role, state, seconds): (String, String, i64) = (row.get(3), row.get(4), row.get(5));
        format!(
            "pid {pid} ({application:?}, role {role:?}, {state}) has held {table} exclusively for {seconds} s"
        )
    };
    match rows.iter().map(holder).collect::<Vec<_>>() {
        holders if holders.is_empty() => "the session that held it has released it meanwhile".to_owned(),
        holders => list(&holders),
    }
}

fn unanswered(url: &ConnectionUrl, what: &'static str, error: &sqlx::Error) -> SnapshotError {
    SnapshotError::Unanswered { database: url.database().to_owned(), what, cause: said(error) }
}

/// A bounded list for people.
fn list(items: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = items.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if items.len() > SHOWN { format!("{shown} and {} more", items.len() - SHOWN) } else { shown }
}

const DESCRIBE: &str = "
select current_setting('server_version') as version,
       current_user::text as role,
       case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_insert_lsn() \
       end::text as lsn";

/// Plain tables only: of a partitioned one pg_dump reads the partitions, whose own policies decide. Of an
/// extension's tables it reads those that hold configuration.
const HIDDEN: &str = "
select c.oid::regclass::text
  from pg_catalog.pg_class c
 where c.relkind = 'r' and c.relpersistence <> 't' and c.relrowsecurity and \
 pg_catalog.row_security_active(c.oid)
   and not exists (select from pg_catalog.pg_depend d join pg_catalog.pg_extension e on e.oid = d.refobjid
                    where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
                      and not c.oid = any (coalesce(e.extconfig, '{}')))
 order by 1";

const HOLDERS: &str = "
select l.relation::regclass::text, l.pid, coalesce(a.application_name, ''), coalesce(a.usename::text, ''), \
coalesce(a.state, 'unknown'),
       coalesce(extract(epoch from clock_timestamp() - a.xact_start), 0)::bigint
  from pg_catalog.pg_locks l
  join pg_catalog.pg_class c on c.oid = l.relation and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
  left join pg_catalog.pg_stat_activity a on a.pid = l.pid
 where l.mode = 'AccessExclusiveLock' and l.granted and l.database = (select oid from pg_catalog.pg_database \
 where datname = current_database())
 order by a.xact_start, 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let items: Vec<String> = (1..=7).map(|n| format!("t{n}")).collect();
        assert_eq!(list(&items), "t1, t2, t3, t4, t5 and 2 more");
        assert_eq!(list(&items[..1]), "t1");
    }
}
