//! Queries of a manifest that are wrong in every manner that we could think of: each ends in time, in one
//! error that names it, and changes nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice::{
    api::{Finding, Severity},
    postgres::Transaction,
};
use sqlx::Row;

use crate::{
    check_clinic::{Clinic, EVERY_ASPECT},
    check_structure::{assertions, manifest, tidy_clinic},
    server::execute,
};

const FUNCTIONS: &str = "
    CREATE FUNCTION adds() RETURNS int LANGUAGE plpgsql AS 'BEGIN INSERT INTO clinics (name) VALUES \
    (''east''); RETURN 1; END';
    CREATE FUNCTION adds_and_says_stable() RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN INSERT INTO clinics \
    (name) VALUES (''east''); RETURN 1; END';
    CREATE SEQUENCE counter;
    CREATE FUNCTION draws_and_says_immutable() RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN \
    nextval(''counter''); END';";

async fn clinic(test: &str) -> Clinic {
    let clinic = tidy_clinic(test).await;
    clinic.migrate(FUNCTIONS).await;
    clinic
}

async fn number(clinic: &Clinic, sql: &'static str) -> i64 {
    sqlx::query(sql).fetch_one(&mut clinic.superuser_session().await).await.expect("a number").get(0)
}

/// What is found when only these queries are asked.
async fn asked(clinic: &mut Clinic, queries: &[Value]) -> Vec<Finding> {
    clinic.scope.assertions = assertions(&json!({"queries": queries}));
    clinic.scope.indexes = manifest(&json!({})).indexes;
    clinic.findings().await
}

#[tokio::test]
async fn a_question_that_writes_or_is_no_question_is_an_error_that_names_it_and_changes_nothing() {
    let mut clinic = clinic("bad_questions").await;
    let wrong = [
        ("insert", "INSERT INTO clinics (name) VALUES ('east')", "it begins with \"INSERT\""),
        ("commit", "COMMIT", "it begins with \"COMMIT\""),
        ("nothing", " ; ", "only a query can be run"),
        ("cte", "WITH x AS (DELETE FROM visits RETURNING id) SELECT * FROM x", "data-modifying"),
        ("function", "SELECT adds()", "it calls public.adds(): what is VOLATILE may do more than read"),
        ("stable", "SELECT adds_and_says_stable()", "INSERT is not allowed in a non-volatile function"),
        (
            "immutable",
            "SELECT draws_and_says_immutable()",
            "it writes, and only reading is allowed: cannot execute nextval()",
        ),
        ("sequence", "SELECT nextval('counter')", "it calls nextval(regclass): what is VOLATILE"),
        ("lock", "SELECT id FROM visits FOR UPDATE", "it writes, and only reading is allowed"),
        ("two", "SELECT 1; DELETE FROM visits", "it has 2 statements, and only one is allowed"),
        (
            "escape",
            "SELECT 1) AS q; COMMIT; DELETE FROM visits; SELECT * FROM (SELECT 1",
            "cannot insert multiple commands",
        ),
        ("into", "SELECT 1 AS a INTO clinics_copy", "INTO"),
        ("syntax", "SELECT FROM WHERE", "syntax error"),
        ("table", "SELECT * FROM nowhere", "relation \"nowhere\" does not exist"),
        ("column", "SELECT nothing FROM visits", "column \"nothing\" does not exist"),
        ("runtime", "SELECT 1 / 0", "division by zero"),
        ("parameter", "SELECT 1 FROM visits WHERE id = $1", "it has parameters"),
        ("comment", "SELECT 1 /* never closed", "unterminated /* comment"),
    ];
    for (name, sql, part) in wrong {
        let found = asked(&mut clinic, &[json!({"name": name, "sql": sql, "expect": "NoRows"})]).await;
        let fits = |finding: &Finding| {
            finding.severity == Severity::Error && finding.object == name && finding.message.contains(part)
        };
        assert!(
            found.len() == 1 && found[0].check.name() == "query-assertion" && fits(&found[0]),
            "{name}: {found:#?}"
        );
    }
    assert_eq!(number(&clinic, "SELECT count(*) FROM clinics").await, 2);
    assert_eq!(number(&clinic, "SELECT count(*) FROM visits").await, 2);
    assert_eq!(number(&clinic, "SELECT last_value FROM counter").await, 1);
}

#[tokio::test]
async fn a_question_that_never_ends_ends_with_its_timeout() {
    let mut clinic = clinic("endless").await;
    let endless = "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n FROM t) SELECT count(*) FROM t";
    let queries = [
        json!({"name": "sleeps", "sql": "SELECT pg_sleep(3600)", "timeout": "200ms"}),
        json!({"name": "counts", "sql": endless, "timeout": "200ms"}),
        json!({"name": "answers", "sql": "SELECT 1 WHERE false", "timeout": "200ms"}),
    ];
    let start = Instant::now();
    let found = asked(&mut clinic, &queries).await;
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let objects: Vec<_> = found.iter().map(|finding| finding.object.as_str()).collect();
    assert_eq!(objects, ["counts", "sleeps"], "{found:#?}");
    assert!(
        found
            .iter()
            .all(|finding| finding.message.ends_with("it did not end within 0.2 s and was cancelled")),
        "{found:#?}"
    );
}

#[tokio::test]
async fn a_question_that_catches_its_own_cancellation_is_given_up_with_its_session() {
    let mut clinic = clinic("deaf").await;
    clinic
        .migrate(
            "CREATE FUNCTION deaf() RETURNS int STABLE LANGUAGE plpgsql AS
               'BEGIN LOOP BEGIN PERFORM pg_sleep(3600); EXCEPTION WHEN query_canceled THEN NULL; END; END \
               LOOP; END'",
        )
        .await;
    clinic.scope.assertions =
        assertions(&json!({"queries": [{"name": "deaf", "sql": "SELECT deaf()", "timeout": "100ms"}]}));
    let mut session = clinic.session().await;
    let mut transaction = Transaction::begin(&mut session).await.expect("begins");
    let start = Instant::now();
    let error = sluice::check::run(&mut transaction, &clinic.scope, &EVERY_ASPECT)
        .await
        .expect_err("there is no answer");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert!(
        error.is_unfinished()
            && error.to_string().contains("the query \"deaf\" went on after it was cancelled"),
        "{error}"
    );
    drop(session);
    let back_end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = \
        current_database() AND query LIKE '%sluice_query' AND pid <> pg_backend_pid()";
    assert_eq!(
        number(&clinic, back_end).await,
        1,
        "without the setting of Sluice's own sessions it would sleep for ever"
    );
}

#[tokio::test]
async fn a_question_that_waits_for_a_lock_is_an_error_and_not_a_pass() {
    let mut clinic = clinic("locked").await;
    let mut holder = clinic.session().await;
    execute(&mut holder, "BEGIN; LOCK TABLE visits IN ACCESS EXCLUSIVE MODE").await;
    clinic.scope.indexes.foreign_keys.level = sluice::api::Level::Off;
    let query = json!({"name": "locked", "sql": "SELECT 1 FROM visits WHERE false", "timeout": "300ms"});
    let found = asked(&mut clinic, &[query]).await;
    assert!(
        found.iter().any(|finding| finding.object == "locked" && finding.severity == Severity::Error),
        "{found:#?}"
    );
    execute(&mut holder, "ROLLBACK").await;
}

#[tokio::test]
async fn each_answer_that_is_right_passes_whatever_its_type() {
    let mut clinic = clinic("right").await;
    let queries = [
        json!({"name": "none", "sql": "SELECT 1 FROM visits WHERE status = 'closed'; -- nothing"}),
        json!({"name": "some", "sql": "TABLE clinics", "expect": "Rows"}),
        json!({"name": "count", "sql": "-- how many\nSELECT count(*) FROM \
            visits", "expect": "Value", "value": "2"}),
        json!({"name": "exact", "sql": "SELECT 1.50::numeric", "expect": "Value", "value": "1.50"}),
        json!({"name": "true", "sql": "(SELECT true)", "expect": "Value", "value": "true"}),
        json!({"name": "text", "sql": "SELECT 'a \"b\" \\ c'", "expect": "Value", "value": "a \"b\" \\ c"}),
        json!({"name": "empty", "sql": "VALUES ('')", "expect": "Value", "value": ""}),
        json!({"name": "twice", "sql": "WITH n AS (SELECT name FROM clinics) SELECT a.name, b.name FROM n a, \
            n b", "expect": "Rows"}),
        json!({"name": "endless", "sql": "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n FROM t) \
            SELECT n FROM t", "expect": "Rows"}),
    ];
    let found = asked(&mut clinic, &queries).await;
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test]
async fn a_wrong_answer_is_told_with_the_first_of_what_was_found() {
    let mut clinic = clinic("wrong").await;
    for (query, part) in [
        (
            json!({"name": "q", "sql": "SELECT name, 'secret' FROM clinics ORDER BY name"}),
            "found a value that is left out here, a value that is left out here, and nothing is expected",
        ),
        (
            json!({"name": "q", "sql": "SELECT * FROM generate_series(1, 9)"}),
            "found \"1\", \"2\", \"3\" and more, and nothing",
        ),
        (
            json!({"name": "q", "sql": "SELECT 1 WHERE false", "expect": "Rows"}),
            "found nothing, and rows are expected",
        ),
        (
            json!({"name": "q", "sql": "SELECT count(*) FROM visits", "expect": "Value", "value": "3"}),
            "found \"2\", and \"3\" is expected",
        ),
        (
            json!({"name": "q", "sql": "SELECT NULL", "expect": "Value", "value": ""}),
            "found NULL, and \"\" is expected",
        ),
        (json!({"name": "q", "sql": "SELECT 1, 2", "expect": "Value", "value": "1"}), "found 2 columns"),
    ] {
        let found = asked(&mut clinic, std::slice::from_ref(&query)).await;
        let told =
            found.len() == 1 && found[0].message.contains(part) && !found[0].message.contains("secret");
        assert!(told, "{query}: {found:#?}");
    }
}

/// What is found when only these queries are planned.
async fn planned(clinic: &mut Clinic, sql: &str, index: &str) -> Vec<Finding> {
    clinic.scope.assertions = assertions(&json!({}));
    clinic.scope.indexes =
        manifest(&json!({"indexes": {"mustUse": [{"name": "q", "sql": sql, "index": index}]}})).indexes;
    clinic.findings().await
}

#[tokio::test]
async fn a_query_that_must_use_an_index_is_planned_and_never_executed() {
    let mut clinic = clinic("planned").await;
    let (by_patient, by_start) = ("visits_clinic_id_patient_id_idx", "visits_clinic_id_starts_at_idx");
    for (sql, index) in [
        ("DELETE FROM visits WHERE clinic_id = $1 AND patient_id = $2;", by_patient),
        ("SELECT nextval('counter') FROM visits WHERE clinic_id = $1 AND patient_id = $2", by_patient),
        (
            "SELECT 1 FROM visits WHERE status = 'open' AND clinic_id = $1 ORDER BY starts_at DESC LIMIT 10",
            by_start,
        ),
        ("SELECT 1 FROM access_log WHERE clinic_id = $1 AND at > $2", "access_log_clinic_id_at_idx"),
    ] {
        let found = planned(&mut clinic, sql, index).await;
        assert!(found.is_empty(), "{sql}: {found:#?}");
    }
    assert_eq!(number(&clinic, "SELECT count(*) FROM visits").await, 2);
    assert_eq!(number(&clinic, "SELECT last_value FROM counter").await, 1);
    assert_eq!(number(&clinic, "SELECT (NOT is_called)::int::bigint FROM counter").await, 1);
}

#[tokio::test]
async fn a_query_that_cannot_use_its_index_or_cannot_be_planned_is_an_error_that_names_it() {
    let mut clinic = clinic("unplanned").await;
    let by_patient = "visits_clinic_id_patient_id_idx";
    clinic.migrate("CREATE INDEX visits_ends_at_idx ON visits (ends_at)").await;
    for (sql, index, part) in [
        ("SELECT 1 FROM visits ORDER BY ends_at", by_patient, "but visits_ends_at_idx"),
        (
            "SELECT 1 FROM visits WHERE ends_at::text = $1",
            "visits_ends_at_idx",
            "reads the whole index \"visits_ends_at_idx\" and filters",
        ),
        ("SELECT 1 FROM visits", "nothing", "there is no such index"),
        ("SELECT 1 FROM nowhere", by_patient, "cannot be planned: relation \"nowhere\" does not exist"),
        ("SELECT FROM WHERE", by_patient, "cannot be planned: syntax error"),
        ("SELECT 1; DELETE FROM visits", by_patient, "cannot be planned: cannot insert multiple commands"),
        ("DROP TABLE visits", by_patient, "cannot be planned: syntax error"),
        (" ", by_patient, "cannot be planned: syntax error"),
    ] {
        let found = planned(&mut clinic, sql, index).await;
        let fits = |finding: &Finding| {
            finding.severity == Severity::Error && finding.object == "q" && finding.message.contains(part)
        };
        assert!(
            found.len() == 1 && found[0].check.name() == "plan-uses-index" && fits(&found[0]),
            "{sql}: {found:#?}"
        );
    }
    assert_eq!(number(&clinic, "SELECT count(*) FROM visits").await, 2);
}
