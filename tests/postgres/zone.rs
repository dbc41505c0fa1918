//! A migration reads and prints times, dates, intervals and numbers as the database and the role say, as it
//! does with Prisma: with both engines the same rows are there afterwards, and a replay sees no drift in what
//! was made so.

use std::fs;

use crate::{corpus::Pair, stage_scene::Scene};

/// Whatever depends on the session: a time without a zone, a date in another order, texts of intervals and
/// numbers, and constants in the schema.
const FIRST: &str = "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, day date, long text, ratio text, \
    old timestamp, \
       soon timestamptz DEFAULT '2030-01-01 00:00'::timestamptz, CHECK (at > '2000-01-01 \
       00:00'::timestamptz));\n\
    INSERT INTO t VALUES (1, '2024-01-01 00:00', '03/02/2024', interval '1 day 2 hours'::text, (1::float8 / \
    3)::text, '2024-06-01 12:00');\n\
    CREATE TABLE style AS SELECT now()::text ~ '^[0-9]{4}-' AS iso;\n";
/// The same after a statement outside a transaction, and a column that becomes a moment.
const SECOND: &str = "INSERT INTO t VALUES (2, '2024-07-01 00:00', '03/02/2024', interval '1 day 2 \
    hours'::text, (1::float8 / 3)::text, '2024-06-01 12:00');\n\
    CREATE INDEX CONCURRENTLY i ON t (day);\n\
    INSERT INTO t VALUES (3, '2024-07-01 00:00', '03/02/2024', interval '1 day 2 hours'::text, (1::float8 / \
    3)::text, '2024-06-01 12:00');\n";
const THIRD: &str = "ALTER TABLE t ALTER COLUMN old TYPE timestamptz;\n\
    CREATE TABLE sessions AS SELECT name, setting FROM pg_settings WHERE category LIKE 'Client Connection \
    Defaults / Locale%' \
      OR category LIKE 'Version and Platform%' OR name IN ('bytea_output', 'xmlbinary', 'xmloption', \
      'check_function_bodies', 'default_table_access_method', \
        'default_tablespace', 'default_toast_compression', 'row_security', 'session_replication_role', \
        'gin_pending_list_limit');\n";

const SETTINGS: [(&str, &str); 4] = [
    ("timezone", "America/Sao_Paulo"),
    ("datestyle", "SQL, DMY"),
    ("intervalstyle", "iso_8601"),
    ("extra_float_digits", "-3"),
];

fn files(folder: &std::path::Path) {
    for (name, sql) in
        [("20240101000000_a", FIRST), ("20240102000000_b", SECOND), ("20240103000000_c", THIRD)]
    {
        fs::create_dir_all(folder.join(name)).expect("makes the folder");
        fs::write(folder.join(name).join("migration.sql"), sql).expect("writes");
    }
    fs::write(folder.join("migration_lock.toml"), "provider = \"postgresql\"\n").expect("writes");
}

#[tokio::test]
async fn a_migration_reads_times_as_the_database_says_and_leaves_the_rows_that_prisma_leaves() {
    let pair = Pair::new("zone").await;
    for database in [&pair.sluice, &pair.prisma] {
        for (name, value) in SETTINGS {
            database.execute(&format!("ALTER DATABASE {} SET {name} = '{value}'", database.name)).await;
        }
    }
    let folder = pair.scratch.path().join("zone");
    files(&folder);
    // Prisma sends a file as one query, and PostgreSQL refuses CONCURRENTLY in that: only Sluice takes it
    // beside other statements.
    let concurrently = folder.join("20240102000000_b/migration.sql");
    fs::write(&concurrently, SECOND.replace("CONCURRENTLY ", "")).expect("writes");
    pair.deploy(&folder).expect("Prisma deploys it");
    fs::write(&concurrently, SECOND).expect("writes");
    pair.run(&pair.sluice, &folder, &[], "").expect("Sluice runs it");
    let sum = |line: &String| line.contains("20240102000000_b");
    let differences: Vec<String> = pair.differences().into_iter().filter(|line| !sum(line)).collect();
    // How Sluice reads strings is settled before a file is split (`src/postgres/startup.rs`).
    assert!(differences.iter().all(|line| line.contains("backslash_quote")), "{differences:#?}");

    // The control: it is the zone of the database, and its styles.
    let value = async |sql: &str| -> String {
        use sqlx::Row as _;
        sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()))
            .fetch_one(&mut pair.sluice.connect().await)
            .await
            .expect("a row")
            .get(0)
    };
    assert_eq!(
        value("SELECT string_agg(extract(epoch FROM at)::bigint::text, ' ' ORDER BY id) FROM t").await,
        "1704078000 1719802800 1719802800"
    );
    assert_eq!(
        value("SELECT string_agg(DISTINCT concat_ws(' ', extract(month FROM day), long, ratio), ' ') FROM t")
            .await,
        "2 P1DT2H 0.333333333333"
    );
    assert_eq!(value("SELECT iso::text FROM style").await, "false");
    for database in [&pair.prisma, &pair.sluice] {
        let accept =
            if database.url == pair.prisma.url { vec!["20240102000000_b".to_owned()] } else { Vec::new() };
        pair.run(database, &folder, &accept, "  verify: {drift: {}}\n").expect("nothing has drifted");
    }
}

#[tokio::test]
async fn the_role_comes_before_the_database_and_both_before_a_replay() {
    let scene = Scene::new("zone_role", &[("1_a", FIRST)]).await.with("verify", "{drift: {}}");
    let (role, name) = (&scene.role, &scene.database.name);
    let text = format!(
        "ALTER ROLE {role} CREATEDB; ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'; ALTER ROLE {role} \
            SET timezone = 'Asia/Kolkata'; \
         ALTER DATABASE {name} SET datestyle = 'SQL, DMY'; ALTER ROLE {role} IN DATABASE {name} SET \
         intervalstyle = 'iso_8601'; \
         ALTER DATABASE {name} SET search_path = side; CREATE SCHEMA side AUTHORIZATION {role}"
    );
    scene.database.execute(&text).await;
    scene.ready().await;
    assert_eq!(
        scene.value("SELECT extract(epoch FROM at)::bigint::text || ' ' || long FROM public.t").await,
        "1704047400 P1DT2H"
    );
    // The control: what was made in another zone has drifted.
    scene
        .database
        .execute(
            "SET timezone = 'UTC'; ALTER TABLE public.t ALTER COLUMN soon SET DEFAULT '2030-01-01 \
            00:00'::timestamptz",
        )
        .await;
    let outcomes = scene.run().await;
    let last = outcomes.last().expect("a stage");
    assert!(
        last.findings
            .iter()
            .any(|finding| finding.check.name() == "schema-drift" && finding.object.contains("soon")),
        "{:?}",
        last.findings
    );
}

#[tokio::test]
async fn a_query_of_the_manifest_reads_times_as_the_migrations_did() {
    let query =
        "{queries: [{name: midnight, sql: \"SELECT 1 FROM t WHERE at = '2024-01-01 00:00'\", expect: Rows}]}";
    let scene = Scene::new(
        "zone_query",
        &[("1_a", "CREATE TABLE t (at timestamptz); INSERT INTO t VALUES ('2024-01-01 00:00+09')")],
    )
    .await;
    let scene = scene.with("verify", query);
    scene
        .database
        .execute(&format!("ALTER DATABASE {} SET timezone = 'Asia/Tokyo'", scene.database.name))
        .await;
    scene.ready().await;
}
