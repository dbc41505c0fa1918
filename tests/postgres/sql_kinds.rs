//! What `src/sql` says about statements and transactions, against what a server says: each kind of statement
//! is tried after BEGIN.

use sluice::{
    api::Reason,
    contract::Stage,
    sql::{Needs, Statement},
};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::{
    server::{Server, execute},
    stage_scene::Scene,
};

const SETUP: &str = "
    CREATE TABLE t (a int NOT NULL, b text); CREATE INDEX i ON t (a); CREATE UNIQUE INDEX u ON t (a); \
    CLUSTER t USING i;
    CREATE TABLE p (a int NOT NULL) PARTITION BY RANGE (a); CREATE INDEX pi ON p (a);
    CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10); CREATE TABLE p2 PARTITION OF p FOR VALUES \
    FROM (10) TO (20);
    CREATE MATERIALIZED VIEW m AS SELECT 1 AS a; CREATE UNIQUE INDEX mu ON m (a);
    CREATE TYPE mood AS ENUM ('calm'); CREATE SEQUENCE q; CREATE VIEW v AS SELECT 1 AS a; CREATE PUBLICATION \
    pub FOR TABLE t;
    CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE PROCEDURE plain() LANGUAGE sql AS 'SELECT 1'; CREATE PROCEDURE commits() LANGUAGE plpgsql AS \
    'BEGIN COMMIT; END';
    CREATE SUBSCRIPTION with_slot CONNECTION 'host=127.0.0.1 port=1 dbname=x' PUBLICATION pub, second WITH \
    (connect = false);
    CREATE SUBSCRIPTION no_slot CONNECTION 'host=127.0.0.1 port=1 dbname=x' PUBLICATION pub WITH (connect = \
    false, slot_name = NONE);
    ALTER SUBSCRIPTION with_slot ENABLE";
const CLEAN_UP: &str = "
    ALTER SUBSCRIPTION with_slot DISABLE; ALTER SUBSCRIPTION with_slot SET (slot_name = NONE);
    DROP SUBSCRIPTION with_slot; DROP SUBSCRIPTION no_slot";

/// PostgreSQL takes these inside a transaction.
const INSIDE: &[&str] = &[
    "CREATE INDEX ON t (b)",
    "DROP INDEX i",
    "ALTER TABLE t ADD COLUMN \"concurrently\" int",
    "ALTER TABLE p DETACH PARTITION p1",
    "REFRESH MATERIALIZED VIEW CONCURRENTLY m",
    "ALTER TYPE mood ADD VALUE 'odd'",
    "ALTER TYPE mood RENAME VALUE 'calm' TO 'odd'",
    "REINDEX TABLE t",
    "REINDEX (CONCURRENTLY false) INDEX i",
    "REINDEX (VERBOSE, CONCURRENTLY off) TABLE t",
    "CLUSTER t",
    "CLUSTER t USING u",
    "CLUSTER i ON t",
    "CLUSTER VERBOSE t",
    "DROP SUBSCRIPTION no_slot",
    "ALTER SUBSCRIPTION no_slot SET (synchronous_commit = off)",
    "ALTER SUBSCRIPTION with_slot SET PUBLICATION pub WITH (refresh = false)",
    "ALTER SUBSCRIPTION with_slot ADD PUBLICATION other WITH (refresh = false)",
    "ALTER SUBSCRIPTION with_slot DISABLE",
    "CREATE SUBSCRIPTION n CONNECTION 'host=127.0.0.1 port=1 dbname=x' PUBLICATION pub WITH (connect = \
        false)",
    "CREATE SUBSCRIPTION n CONNECTION 'host=127.0.0.1 port=1 dbname=x' PUBLICATION pub WITH (slot_name = \
        NONE, enabled = false, create_slot = false, connect = FALSE)",
    "INSERT INTO t VALUES (1)",
    "UPDATE t SET a = 2",
    "DELETE FROM t",
    "MERGE INTO t USING p ON t.a = p.a WHEN MATCHED THEN DELETE",
    "SELECT 1",
    "WITH x AS (SELECT 1) SELECT * FROM x",
    "VALUES (1)",
    "TABLE t",
    "(SELECT 1)",
    "TRUNCATE t",
    "LOCK TABLE t",
    "ANALYZE t",
    "EXPLAIN SELECT 1",
    "CREATE TABLE n (a int PRIMARY KEY)",
    "CREATE TABLE n AS SELECT 1",
    "CREATE TEMP TABLE n (a int)",
    "CREATE SCHEMA n CREATE TABLE x (a int)",
    "CREATE VIEW n AS SELECT 1",
    "CREATE FUNCTION n() RETURNS int LANGUAGE sql RETURN 1",
    "CREATE ROLE a_role_of_kinds",
    "CREATE EXTENSION plpgsql_check_missing",
    "CREATE POLICY n ON t USING (true)",
    "CREATE RULE n AS ON INSERT TO t DO ALSO NOTHING",
    "CREATE SEQUENCE n",
    "CREATE DOMAIN n AS int",
    "CREATE PUBLICATION n FOR TABLE t",
    "CREATE STATISTICS n ON a, b FROM t",
    "DROP TABLE t",
    "DROP FUNCTION f()",
    "DROP OWNED BY CURRENT_USER RESTRICT",
    "REASSIGN OWNED BY CURRENT_USER TO CURRENT_USER",
    "GRANT SELECT ON t TO PUBLIC",
    "REVOKE SELECT ON t FROM PUBLIC",
    "COMMENT ON TABLE t IS 'x'",
    "ALTER DATABASE current SET work_mem = '4MB'",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    "ALTER ROLE CURRENT_USER SET work_mem = '4MB'",
    "SET work_mem = '4MB'",
    "RESET work_mem",
    "SHOW work_mem",
    "SET CONSTRAINTS ALL DEFERRED",
    "SAVEPOINT a",
    "DECLARE c CURSOR FOR SELECT 1",
    "CLOSE ALL",
    "LISTEN a",
    "NOTIFY a",
    "UNLISTEN a",
    "CHECKPOINT",
    "PREPARE a AS SELECT 1",
    "DEALLOCATE ALL",
    "DISCARD TEMP",
    "DISCARD PLANS",
    "CALL plain()",
    "DO $$ BEGIN PERFORM 1; END $$",
    "SECURITY LABEL ON TABLE t IS NULL",
    "IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c",
    "LOAD 'plpgsql'",
    "COPY t TO '/dev/null'",
];

/// These it refuses there.
const OUTSIDE: &[&str] = &[
    "CREATE INDEX CONCURRENTLY n ON t (b)",
    "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS n ON ONLY t (b)",
    "DROP INDEX CONCURRENTLY i",
    "DROP INDEX CONCURRENTLY IF EXISTS i",
    "REINDEX INDEX CONCURRENTLY i",
    "REINDEX (CONCURRENTLY) TABLE t",
    "REINDEX (VERBOSE, CONCURRENTLY true) TABLE t",
    "REINDEX SCHEMA public",
    "REINDEX (VERBOSE) SCHEMA public",
    "REINDEX TABLE p",
    "REINDEX INDEX pi",
    "VACUUM t",
    "VACUUM (FULL) t",
    "CLUSTER",
    "CLUSTER VERBOSE",
    "CLUSTER p USING pi",
    "ALTER SYSTEM SET work_mem = '4MB'",
    "ALTER SYSTEM RESET ALL",
    "CREATE DATABASE n",
    "DROP DATABASE IF EXISTS n",
    "CREATE TABLESPACE n LOCATION '/nowhere'",
    "DROP TABLESPACE IF EXISTS n",
    "ALTER DATABASE postgres SET TABLESPACE pg_default",
    "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY",
    "ALTER TABLE IF EXISTS ONLY p DETACH PARTITION public.p1 CONCURRENTLY",
    "CREATE SUBSCRIPTION n CONNECTION 'host=127.0.0.1 port=1 dbname=x' PUBLICATION pub",
    "DROP SUBSCRIPTION with_slot",
    "ALTER SUBSCRIPTION with_slot REFRESH PUBLICATION",
    "ALTER SUBSCRIPTION with_slot SET PUBLICATION pub",
    "ALTER SUBSCRIPTION with_slot ADD PUBLICATION other",
    "ALTER SUBSCRIPTION with_slot DROP PUBLICATION pub",
    "CALL commits()",
    "DO $$ BEGIN COMMIT; END $$",
];

/// The error of a statement after BEGIN, as PostgreSQL codes it.
async fn refusal(connection: &mut PgConnection, sql: &str) -> Option<String> {
    let ran = sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {sql}"))).execute(&mut *connection).await;
    sqlx::raw_sql("ROLLBACK").execute(connection).await.expect("rolls back");
    let error = ran.err()?;
    Some(
        error
            .as_database_error()
            .and_then(|error| error.code().map(std::borrow::Cow::into_owned))
            .unwrap_or_else(|| error.to_string()),
    )
}

#[tokio::test]
async fn what_is_said_about_statements_and_transactions_is_what_a_server_does() {
    let database = Server::get().database("sql_kinds").await;
    let mut connection = database.connect().await;
    sqlx::raw_sql(SETUP).execute(&mut connection).await.expect("sets up");
    let mut wrong = Vec::new();
    for (statements, taken) in [(INSIDE, true), (OUTSIDE, false)] {
        for sql in statements {
            let sql = sql.replace("DATABASE current", &format!("DATABASE \"{}\"", database.name));
            let code = refusal(&mut connection, &sql).await.unwrap_or_default();
            // Of what is not there on this server, only whether the transaction is to blame counts.
            let refused = ["25001", "2D000"].contains(&code.as_str());
            let real = refused
                || code.is_empty()
                || ["0A000", "22023", "42704", "58P01", "42P01", "2BP01", "55000"].contains(&code.as_str());
            let needs = Statement::read(&sql).needs;
            let right = match needs {
                Needs::Nothing | Needs::Commit => taken,
                Needs::Outside { .. } | Needs::BuildIndex(_) => !taken,
                // By what it is about, or by the code that it runs.
                Needs::Undecided | Needs::Opaque => true,
            };
            if !real || refused == taken || !right {
                wrong.push(format!("{sql}: the server says {code:?}, and it is called {needs:?}"));
            }
        }
    }
    sqlx::raw_sql(CLEAN_UP).execute(&mut connection).await.expect("cleans up");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn no_transaction_means_what_it_says_and_is_named_where_it_is_missing() {
    let init = "CREATE TABLE p (a int NOT NULL) PARTITION BY RANGE (a); CREATE INDEX i ON p (a);\n\
        CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10); CREATE TABLE log (a text);";
    for sql in [
        "SELECT 1;\nREINDEX TABLE p;",
        "SELECT 1;\nDO $$ BEGIN INSERT INTO log VALUES ('did'); COMMIT; END $$;",
    ] {
        let scene = Scene::new("sql_no_transaction", &[("1_init", init)]).await;
        scene.ready().await;
        scene.write("2_a", sql);
        let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
        assert!(
            outcome.message.contains("2_a/migration.sql:2")
                && outcome.message.contains("`-- sluice: no-transaction`"),
            "{}",
            outcome.message
        );
        scene.write("2_a", &format!("-- sluice: no-transaction\n{sql}"));
        scene.ready().await;
        assert_eq!(scene.history_table().await, ["1_init applied", "2_a applied"]);
    }
    let scene = Scene::new(
        "sql_alone",
        &[("1_init", init), ("2_a", "-- as Prisma sends it: by itself\nREINDEX TABLE p;")],
    )
    .await;
    scene.ready().await;
}

/// Whatever is tried with the value `bad`.
const MOOD: &str = "CREATE TYPE mood AS ENUM ('good'); CREATE TABLE m (x mood, y text); INSERT INTO m VALUES \
    ('good', 'bad');\n\
    CREATE FUNCTION makes(a text, b text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN (a || b)::mood; \
    END $$;";

#[tokio::test]
async fn a_new_value_is_committed_before_whatever_may_use_it() {
    for (number, uses) in [
        "INSERT INTO m VALUES ($$bad$$);",
        "INSERT INTO m VALUES (U&'\\0062ad');",
        "INSERT INTO m VALUES (E'\\x62\\141d');",
        "INSERT INTO m VALUES ('ba'\n  'd');",
        "SELECT enum_range(NULL::mood);",
        "SELECT '{bad}'::mood[];",
        "SELECT makes('ba', 'd');",
        "UPDATE m SET x = y::mood;",
        "UPDATE m SET x = CAST(lower('BAD') AS mood);",
        "DO $$ BEGIN INSERT INTO m VALUES ('bad'); END $$;",
        "DO $$ BEGIN EXECUTE 'INSERT INTO m VALUES (''ba' || 'd'')'; END $$;",
        "CREATE TABLE n (x mood DEFAULT 'bad');",
        "CREATE FUNCTION f() RETURNS mood LANGUAGE sql AS $$ SELECT 'bad'::mood $$;",
        "ALTER TABLE m ALTER COLUMN y TYPE mood USING y::mood;",
        "ALTER TABLE m ADD COLUMN z text DEFAULT makes('ba', 'd');",
        "ALTER TABLE m ADD COLUMN y2 int;\nCREATE INDEX ON m (x) WHERE x = 'bad';",
    ]
    .iter()
    .enumerate()
    {
        let file = format!("ALTER TYPE mood ADD VALUE 'bad';\nALTER TYPE mood ADD VALUE 'worse';\n{uses}");
        let scene = Scene::new(&format!("sql_enum_{number}"), &[("1_init", MOOD)]).await;
        scene.ready().await;
        let mut connection = scene.database.connect().await;
        let whole = sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {file}"))).execute(&mut connection).await;
        let refused =
            whole.as_ref().is_err_and(|error| error.to_string().contains("unsafe use of new value"));
        assert!(refused, "PostgreSQL refuses it in one transaction: {uses}: {whole:?}");
        execute(&mut connection, "ROLLBACK").await;
        scene.write("2_value", &file);
        scene.ready().await;
        assert_eq!(scene.history_table().await, ["1_init applied", "2_value applied"], "{uses}");
    }
}

#[tokio::test]
async fn a_file_that_uses_other_values_only_is_one_transaction_and_leaves_nothing_where_its_end_fails() {
    let file = "ALTER TYPE mood ADD VALUE 'bad';\nCREATE TABLE n (id uuid DEFAULT gen_random_uuid(), x text \
        DEFAULT 'other', z mood DEFAULT 'good');\n\
        ALTER TABLE m ADD COLUMN many mood[] DEFAULT ARRAY['good']::mood[];\nINSERT INTO n (x, z) SELECT \
        'other', 'good'::mood FROM m;\n\
        DO $$ BEGIN ALTER TABLE n ADD CONSTRAINT n_bad UNIQUE (id); EXCEPTION WHEN duplicate_object THEN \
        NULL; END $$;\n\
        CREATE TYPE other AS ENUM ('bad');\nUPDATE m SET y = 'worse' WHERE x = 'good';\nCOMMENT ON TABLE n \
        IS 'bad';\n";
    let scene = Scene::new("sql_enum_whole", &[("1_init", MOOD)]).await;
    scene.ready().await;
    scene.write("2_value", &format!("{file}SELECT 1 / 0;"));
    let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    assert!(
        outcome.message.contains("2_value/migration.sql:9") && outcome.message.contains("22012"),
        "{}",
        outcome.message
    );
    assert_eq!(scene.value("SELECT coalesce(to_regclass('n')::text, 'nothing')").await, "nothing");
    assert_eq!(
        scene.column("SELECT enumlabel::text FROM pg_enum WHERE enumtypid = to_regtype('mood')").await,
        ["good"]
    );
    scene.write("2_value", file);
    scene.ready().await;
    assert_eq!(scene.history_table().await, ["1_init applied", "2_value applied"]);
}

#[tokio::test]
async fn a_use_that_nobody_can_see_fails_whole_and_the_message_says_what_to_write() {
    let init = format!(
        "{MOOD}\nCREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM makes('ba', 'd'); \
            RETURN NEW; END $$;\n\
        CREATE TABLE t (a int); CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION g();"
    );
    let scene = Scene::new("sql_enum_unseen", &[("1_init", &init)]).await;
    scene.ready().await;
    scene.write("2_value", "ALTER TYPE mood ADD VALUE 'bad';\nINSERT INTO t VALUES (1);");
    let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
    assert!(
        outcome.message.contains("55P04") && outcome.message.contains("`COMMIT;`"),
        "{}",
        outcome.message
    );
    assert_eq!(scene.value("SELECT count(*)::text FROM pg_enum WHERE enumlabel = 'bad'").await, "0");
    scene.write("2_value", "ALTER TYPE mood ADD VALUE 'bad';\nCOMMIT;\nINSERT INTO t VALUES (1);");
    scene.ready().await;
}
