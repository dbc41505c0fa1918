//! A query of a manifest only reads, and ends no other session: whatever it calls is found by PostgreSQL's
//! own record of the query. Each attack is shown to work in a transaction that only reads, which is all that
//! PostgreSQL offers against it.

use serde_json::{Value, json};
use sluice::api::{Finding, Severity};
use sqlx::PgConnection;

use crate::{
    check_clinic::Clinic,
    check_structure::{assertions, manifest, tidy_clinic},
    server::{connect, execute},
    stage_scene::value,
};

/// Ways of the team's schema to a function that ends sessions: a number becomes true.
const WAYS: &str = "
    CREATE TABLE victims (pid int);
    CREATE FUNCTION ends(int) RETURNS boolean LANGUAGE sql AS 'SELECT pg_terminate_backend($1)';
    CREATE FUNCTION ends(boolean, int) RETURNS boolean LANGUAGE sql AS 'SELECT pg_terminate_backend($2)';
    CREATE VIEW innermost AS SELECT pg_terminate_backend(pid) AS ended FROM victims;
    CREATE VIEW inner_one AS SELECT ended FROM innermost;
    CREATE OPERATOR !!! (FUNCTION = ends, RIGHTARG = int);
    CREATE AGGREGATE end_all(int) (SFUNC = ends, STYPE = boolean);
    CREATE DOMAIN ended AS int CHECK (pg_terminate_backend(VALUE));
    CREATE TYPE victim AS (pid int);
    CREATE FUNCTION ended(victim) RETURNS boolean LANGUAGE sql AS 'SELECT pg_terminate_backend($1.pid)';
    CREATE CAST (victim AS boolean) WITH FUNCTION ended(victim);";

async fn clinic(test: &str) -> Clinic {
    let clinic = tidy_clinic(test).await;
    clinic.migrate(WAYS).await;
    clinic
}

/// What is found when only this query is asked.
async fn asked(clinic: &mut Clinic, query: &Value) -> Vec<Finding> {
    clinic.scope.assertions = assertions(&json!({"queries": [query]}));
    clinic.scope.indexes = manifest(&json!({})).indexes;
    clinic.findings().await
}

/// Another session of the migration role, and its number where the ways find it.
async fn victim(clinic: &Clinic) -> (PgConnection, String) {
    let mut victim = clinic.session().await;
    let pid = value(&mut victim, "SELECT pg_backend_pid()::text").await;
    clinic.migrate(&format!("TRUNCATE victims; INSERT INTO victims VALUES ({pid})")).await;
    (victim, pid)
}

#[tokio::test]
async fn whatever_way_a_question_calls_it_no_session_is_ended() {
    let mut clinic = clinic("volatile_ways").await;
    let ended = "pg_terminate_backend(integer,bigint)";
    for (sql, named) in [
        ("SELECT pg_terminate_backend({pid})", ended),
        ("SELECT \"pg_terminate_backend\"({pid})", ended),
        ("SELECT U&\"pg\\005fterminate_backend\"({pid})", ended),
        (
            "WITH x AS MATERIALIZED (SELECT pg_catalog.pg_terminate_backend(pid) AS e FROM victims) SELECT 1 \
                FROM x WHERE e",
            ended,
        ),
        ("SELECT 1 WHERE (VALUES (pg_terminate_backend({pid})))", ended),
        ("SELECT 1 FROM pg_terminate_backend({pid}) AS e", ended),
        ("SELECT 1 FROM victims ORDER BY pg_terminate_backend(pid)", ended),
        ("SELECT * FROM inner_one", ended),
        ("SELECT 5 WHERE {pid}::ended > 0", ended),
        ("SELECT !!! {pid}", "public.ends(integer)"),
        ("SELECT end_all(pid) FROM victims", "public.ends(boolean,integer)"),
        ("SELECT ROW({pid})::victim::boolean", "public.ended(public.victim)"),
        ("SELECT (ROW({pid})::victim).ended", "public.ended(public.victim)"),
        (
            "SELECT ts_rewrite('a'::tsquery, 'SELECT NULL::tsquery, NULL::tsquery WHERE \
                pg_terminate_backend({pid})')",
            "ts_rewrite(tsquery,text)",
        ),
        ("SELECT 1) AS a, LATERAL (SELECT pg_terminate_backend({pid})", ended),
    ] {
        let (mut session, pid) = victim(&clinic).await;
        let sql = sql.replace("{pid}", &pid);
        let found = asked(&mut clinic, &json!({"name": "q", "sql": sql, "expect": "NoRows"})).await;
        let says = |finding: &Finding| {
            finding.severity == Severity::Error && finding.message.contains(&format!("it calls {named}"))
        };
        assert!(found.len() == 1 && says(&found[0]), "{sql}: {found:#?}");
        assert!(found[0].remedy.contains("ALTER FUNCTION … STABLE"), "{found:#?}");
        assert_eq!(value(&mut session, "SELECT 'alive'").await, "alive", "{sql}");

        // The negative control: in a transaction that only reads, which is rolled back, the same query ends
        // the session.
        let mut other = clinic.session().await;
        execute(
            &mut other,
            &format!("BEGIN READ ONLY; SELECT * FROM ({sql}) AS sluice_row LIMIT 4; ROLLBACK"),
        )
        .await;
        assert!(
            sqlx::raw_sql("SELECT 1").execute(&mut session).await.is_err(),
            "the attack does not work at all, so nothing was shown: {sql}"
        );
    }
}

#[tokio::test]
async fn what_outlives_a_rollback_is_refused_by_the_name_of_its_function() {
    let mut clinic = clinic("volatile_kinds").await;
    for (sql, named) in [
        ("SELECT pg_cancel_backend(1)", "pg_cancel_backend(integer)"),
        ("SELECT pg_advisory_unlock_all()", "pg_advisory_unlock_all()"),
        ("SELECT pg_advisory_lock(72707369)", "pg_advisory_lock(bigint)"),
        ("SELECT set_config('role', 'none', false)", "set_config(text,text,boolean)"),
        ("SELECT pg_notify('a', 'b')", "pg_notify(text,text)"),
        ("SELECT setval('visits_id_seq', 5)", "setval(regclass,bigint)"),
        ("SELECT lo_export(1, '/tmp/x')", "lo_export(oid,text)"),
        ("SELECT pg_read_file('/etc/passwd')", "pg_read_file(text)"),
        ("SELECT pg_reload_conf(), pg_switch_wal()", "pg_reload_conf() and pg_switch_wal()"),
        ("SELECT pg_logical_emit_message(false, 'a', 'b')", "pg_logical_emit_message(boolean,text,text"),
        ("SELECT query_to_xml('SELECT 1', true, true, '')", "query_to_xml(text,boolean,boolean,text)"),
    ] {
        let found = asked(&mut clinic, &json!({"name": "q", "sql": sql, "expect": "Rows"})).await;
        let says = found.len() == 1
            && found[0].severity == Severity::Error
            && found[0].message.contains(&format!("it calls {named}"));
        assert!(says, "{sql}: {found:#?}");
    }
}

#[tokio::test]
async fn what_only_reads_may_be_called() {
    let mut clinic = clinic("volatile_reads").await;
    clinic
        .migrate(
            "CREATE FUNCTION how_many() RETURNS bigint STABLE LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT \
                count(*) FROM visits); END';
             CREATE VIEW held AS SELECT l.mode FROM pg_locks l; CREATE DOMAIN positive AS int CHECK (VALUE > \
             0);",
        )
        .await;
    for sql in [
        "SELECT how_many() WHERE how_many() = 2",
        "SELECT 1 WHERE random() < 2 AND clock_timestamp() > '2020-01-01' AND gen_random_uuid() IS NOT NULL",
        "SELECT 1 WHERE pg_total_relation_size('visits') > 0 AND pg_database_size(current_database()) > 0",
        "SELECT 1 FROM pg_locks, held, pg_stat_activity, pg_settings, information_schema.columns LIMIT 1",
        "SELECT 5::positive, pg_sleep(0), now(), lower('A') FROM visits TABLESAMPLE bernoulli (100)",
        "SELECT status, count(*), string_agg(status, ','), row_number() OVER () FROM visits GROUP BY status",
    ] {
        let found = asked(&mut clinic, &json!({"name": "q", "sql": sql, "expect": "Rows"})).await;
        assert!(found.is_empty(), "{sql}: {found:#?}");
    }
}

#[tokio::test]
async fn nothing_stays_of_a_question_and_a_role_that_may_make_no_temporary_view_is_told() {
    let mut clinic = clinic("volatile_temporary").await;
    let query = json!({"name": "q", "sql": "SELECT 1 FROM victims WHERE false"});
    assert_eq!(asked(&mut clinic, &query).await, []);
    let left = "SELECT count(*)::text FROM pg_class WHERE relname = 'sluice_query'";
    assert_eq!(value(&mut connect(clinic.url()).await, left).await, "0");
    clinic.as_superuser("REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC, {migrator}").await;
    let found = asked(&mut clinic, &query).await;
    let told = found.len() == 1
        && found[0].message.contains("permission denied")
        && found[0].remedy.contains("GRANT TEMPORARY ON DATABASE");
    assert!(told, "{found:#?}");
}
