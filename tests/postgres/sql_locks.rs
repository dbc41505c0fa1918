//! What `sql::table_locks` says, against what a server does: each statement runs in a transaction, and another
//! session reads which locks it holds on the tables that were there.

use std::collections::BTreeMap;

use sluice::sql::{LockMode, table_locks};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::server::Server;

const SETUP: &str = "
    CREATE TABLE t (a int PRIMARY KEY, b text, c int NOT NULL DEFAULT 1); CREATE INDEX i ON t (b); CLUSTER t USING i;
    CREATE TABLE u (a int PRIMARY KEY, t int); CREATE STATISTICS s ON a, t FROM u;
    ALTER TABLE u ADD CONSTRAINT later FOREIGN KEY (t) REFERENCES t (a) NOT VALID;
    ALTER TABLE t ADD CONSTRAINT positive CHECK (c > 0) NOT VALID;
    CREATE TABLE p (a int NOT NULL) PARTITION BY RANGE (a);
    CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
    CREATE TABLE stand_alone (a int NOT NULL); CREATE TABLE unrelated ();
    CREATE MATERIALIZED VIEW m AS SELECT 1 AS a; CREATE UNIQUE INDEX mu ON m (a); CREATE VIEW v AS SELECT 1 AS a;
    CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
    CREATE POLICY y ON t USING (true); CREATE RULE r AS ON INSERT TO u DO ALSO NOTHING;";

const STATEMENTS: &[&str] = &[
    "INSERT INTO t (a) VALUES (1)",
    "UPDATE t SET b = 'x'",
    "UPDATE ONLY t SET b = 'x'",
    "DELETE FROM ONLY t",
    "MERGE INTO stand_alone USING t ON t.a = stand_alone.a WHEN MATCHED THEN DELETE",
    "ALTER TABLE t ADD COLUMN d int",
    "ALTER TABLE t ADD COLUMN d int REFERENCES u (a)",
    "ALTER TABLE t DROP COLUMN b",
    "ALTER TABLE t RENAME COLUMN b TO e",
    "ALTER TABLE IF EXISTS t ALTER COLUMN c SET DEFAULT 2",
    "ALTER TABLE t ALTER c TYPE bigint",
    "ALTER TABLE t ALTER COLUMN c SET STATISTICS 200",
    "ALTER TABLE t ALTER c SET (n_distinct = 3)",
    "ALTER TABLE t SET (fillfactor = 80, autovacuum_enabled = off)",
    "ALTER TABLE t RESET (fillfactor)",
    "ALTER TABLE t SET (user_catalog_table = true)",
    "ALTER TABLE t VALIDATE CONSTRAINT positive",
    "ALTER TABLE t ADD CHECK (c > 1) NOT VALID",
    "ALTER TABLE t VALIDATE CONSTRAINT positive, ADD COLUMN d int",
    "ALTER TABLE t DISABLE TRIGGER g",
    "ALTER TABLE t ENABLE ALWAYS TRIGGER g",
    "ALTER TABLE t CLUSTER ON i",
    "ALTER TABLE t SET WITHOUT CLUSTER",
    "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE u ADD CONSTRAINT k FOREIGN KEY (t) REFERENCES t (a) NOT VALID",
    "ALTER TABLE u ADD FOREIGN KEY (t) REFERENCES t (a)",
    "ALTER TABLE u ADD CONSTRAINT one UNIQUE (t)",
    "ALTER TABLE p ATTACH PARTITION stand_alone FOR VALUES FROM (10) TO (20)",
    "ALTER TABLE p DETACH PARTITION p1",
    "ALTER POLICY y ON t USING (false)",
    "ALTER TRIGGER g ON t RENAME TO h",
    "CREATE INDEX ON t (c)",
    "CREATE UNIQUE INDEX x ON ONLY t (c)",
    "CREATE TRIGGER h AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
    "CREATE POLICY z ON t USING (true)",
    "CREATE RULE q AS ON DELETE TO t DO ALSO NOTHING",
    "CREATE STATISTICS x ON a, c FROM t",
    "CREATE TABLE n (a int PRIMARY KEY REFERENCES t (a))",
    "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (30) TO (40)",
    "DROP TABLE IF EXISTS stand_alone, unrelated",
    "DROP VIEW v",
    "DROP MATERIALIZED VIEW m",
    "DROP TRIGGER g ON t",
    "DROP POLICY y ON t",
    "DROP RULE r ON u",
    "TRUNCATE stand_alone",
    "LOCK TABLE t, u IN SHARE ROW EXCLUSIVE MODE",
    "LOCK t",
    "REINDEX TABLE t",
    "CLUSTER t",
    "CLUSTER VERBOSE t USING i",
    "REFRESH MATERIALIZED VIEW m",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY m",
    "COMMENT ON TABLE t IS 'x'",
    "SELECT * FROM t",
];

type Locks = BTreeMap<String, LockMode>;

/// Those of statements that only read are left out.
fn mode(name: &str) -> Option<LockMode> {
    LockMode::of_lock(name).filter(|mode| *mode >= LockMode::RowExclusive)
}

/// The strongest lock that this session holds on each table that was there when the transaction began. A table that
/// is only read, by a foreign key for instance, is left out, and so is an index.
async fn held(connection: &mut PgConnection, sql: &str, known: &[(i64, String)]) -> Result<Locks, String> {
    let ran = sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {sql}"))).execute(&mut *connection).await;
    let held: Vec<(i64, String)> = match &ran {
        Ok(_) => sqlx::query_as(
            "SELECT relation::int8, mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'",
        )
        .fetch_all(&mut *connection)
        .await
        .expect("reads the locks"),
        Err(_) => Vec::new(),
    };
    sqlx::raw_sql("ROLLBACK").execute(connection).await.expect("rolls back");
    ran.map_err(|error| error.to_string())?;
    let mut locks = Locks::new();
    for (oid, name) in held {
        let table = known.iter().find(|(known, _)| *known == oid);
        if let (Some((_, table)), Some(mode)) = (table, mode(&name)) {
            let strongest = locks.entry(format!("{table:?}")).or_insert(mode);
            *strongest = (*strongest).max(mode);
        }
    }
    Ok(locks)
}

#[tokio::test]
async fn what_is_said_of_locks_on_tables_is_what_a_server_takes() {
    let database = Server::get().database("sql_locks").await;
    let mut connection = database.connect().await;
    sqlx::raw_sql(SETUP).execute(&mut connection).await.expect("the tables");
    let known: Vec<(i64, String)> = sqlx::query_as(
        "SELECT c.oid::int8, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm')",
    )
    .fetch_all(&mut connection)
    .await
    .expect("the tables");
    let mut wrong = Vec::new();
    for sql in STATEMENTS {
        let said: Locks = table_locks(sql).into_iter().map(|lock| (lock.table, lock.mode)).collect();
        match held(&mut connection, sql, &known).await {
            Ok(held) if held == said => {}
            Ok(held) => wrong.push(format!("{sql}:\n  said {said:?}\n  held {held:?}")),
            Err(error) => wrong.push(format!("{sql}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
