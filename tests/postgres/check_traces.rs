//! A run leaves the database, the role and every setting as it found them: in a transaction of its own, and
//! in one that the migrate stage has open with changes that no other session sees yet.

use std::collections::BTreeMap;

use sluice::postgres::Transaction;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::{check_clinic::Clinic, server::execute};

/// Everything a session could notice: its role, its settings, its locks, its savepoints' effects, and what
/// the database holds.
async fn state(session: &mut PgConnection) -> BTreeMap<String, String> {
    let mut state = BTreeMap::new();
    let settings = "SELECT name, setting FROM pg_settings UNION ALL SELECT 'current_user', current_user \
        UNION ALL SELECT 'session_user', session_user \
                    UNION ALL SELECT 'current_schemas', current_schemas(true)::text UNION ALL SELECT 'role', \
                    current_setting('role') \
                    UNION ALL SELECT 'tenant', COALESCE(current_setting('app.clinic_id', true), '') \
                    UNION ALL SELECT concat('lock ', relation::regclass, mode), 'held' FROM pg_locks WHERE \
                    pid = pg_backend_pid() AND locktype = 'relation' \
                      AND relation > 16384 \
                    UNION ALL SELECT concat('relation ', oid), concat(relname, relkind, relrowsecurity, \
                    relforcerowsecurity) FROM pg_class \
                    UNION ALL SELECT 'role ' || rolname, rolbypassrls::text FROM pg_roles WHERE rolname LIKE \
                    current_database() || '%'";
    for row in sqlx::query(settings).fetch_all(&mut *session).await.expect("the settings") {
        state.insert(row.get(0), row.get(1));
    }
    let relations = sqlx::query(
        "SELECT oid::regclass::text, relkind::text FROM pg_class WHERE relnamespace = 'public'::regnamespace \
            AND relkind IN ('r', 'S')",
    );
    for row in relations.fetch_all(&mut *session).await.expect("the relations") {
        let (name, kind): (String, String) = (row.get(0), row.get(1));
        let content = if kind == "S" {
            "concat(last_value, is_called)"
        } else {
            "count(*)::text || COALESCE(min(t::text), '') || COALESCE(max(t::text), '')"
        };
        let read = sqlx::query(AssertSqlSafe(format!("SELECT {content} FROM {name} t")))
            .fetch_one(&mut *session)
            .await
            .expect("the content");
        state.insert(format!("content of {name}"), read.get(0));
    }
    state
}

async fn assert_no_traces(clinic: &Clinic, session: &mut PgConnection) {
    // Reading takes locks itself, so the first read is not the one to compare with.
    state(session).await;
    let before = state(session).await;
    assert!(before.keys().any(|key| key.starts_with("content of visits_id_seq")));
    clinic.findings_in(session).await;
    let after = state(session).await;
    for (key, value) in &before {
        assert_eq!(after.get(key), Some(value), "{key} changed");
    }
    let new: Vec<_> = after.keys().filter(|key| !before.contains_key(*key)).collect();
    assert!(new.is_empty(), "something new is there: {new:?}");
}

#[tokio::test]
async fn a_run_leaves_the_session_and_the_database_as_it_found_them() {
    for clinic in [Clinic::empty("traces_empty").await, Clinic::with_rows("traces_rows").await] {
        let mut session = clinic.session().await;
        execute(&mut session, "BEGIN").await;
        assert_no_traces(&clinic, &mut session).await;
        execute(&mut session, "COMMIT").await;
        clinic.assert_clean().await;
    }
}

#[tokio::test]
async fn a_run_that_finds_leaks_leaves_nothing_either() {
    let clinic = Clinic::with_rows("traces_leaks").await;
    clinic
        .migrate(
            "CREATE POLICY open ON visits USING (status <> ''); CREATE POLICY open ON access_log USING (what \
                <> '');
             GRANT ALL ON access_log, access_log_new TO {app}",
        )
        .await;
    let mut session = clinic.session().await;
    execute(&mut session, "BEGIN").await;
    assert_no_traces(&clinic, &mut session).await;
    assert!(clinic.findings_in(&mut session).await.len() >= 3);
    execute(&mut session, "COMMIT").await;
}

#[tokio::test]
async fn a_run_inside_an_open_migration_sees_its_changes_and_leaves_its_role_and_settings() {
    let clinic = Clinic::with_rows("traces_open").await;
    clinic
        .as_superuser(
            "CREATE ROLE {migrator}_deputy BYPASSRLS; GRANT {migrator}_deputy TO {migrator};
         GRANT ALL ON SCHEMA public TO {migrator}_deputy; GRANT ALL ON ALL TABLES IN SCHEMA public TO \
         {migrator}_deputy;
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {migrator}_deputy",
        )
        .await;
    let mut session = clinic.session().await;
    let open =
        "BEGIN; SET LOCAL lock_timeout = '77ms'; SET LOCAL statement_timeout = '33s'; SET search_path \
        = pg_catalog, public;
        SET LOCAL app.clinic_id = 'somebody'; SET SESSION row_security = off; SAVEPOINT sluice_check; SET \
        ROLE {migrator}_deputy;
        CREATE TABLE public.notes (clinic_id uuid NOT NULL, body text); INSERT INTO public.notes VALUES \
        (gen_random_uuid(), 'kept');";
    execute(&mut session, &clinic.text(open)).await;
    assert_no_traces(&clinic, &mut session).await;

    let found = clinic.findings_in(&mut session).await;
    assert!(
        found.len() == 1 && found[0].check.name() == "rls-enabled" && found[0].object == "public.notes",
        "{found:#?}"
    );
    execute(&mut session, &clinic.text("COMMIT")).await;
    let kept: i64 = sqlx::query("SELECT count(*) FROM public.notes")
        .fetch_one(&mut session)
        .await
        .expect("committed")
        .get(0);
    assert_eq!(kept, 1);
    let elsewhere = clinic.findings_of("rls-enabled").await;
    assert_eq!(elsewhere.len(), 1);
}

/// Otherwise the tests above could not fail.
#[tokio::test]
async fn a_trace_would_be_noticed() {
    let clinic = Clinic::with_rows("traces_noticed").await;
    let mut session = clinic.session().await;
    execute(&mut session, "BEGIN").await;
    state(&mut session).await;
    let before = state(&mut session).await;
    for (trace, key) in [
        ("DELETE FROM access_log", "content of access_log_new"),
        ("SELECT nextval('visits_id_seq')", "content of visits_id_seq"),
        ("SET LOCAL lock_timeout = '1s'", "lock_timeout"),
        ("SET LOCAL app.clinic_id = 'x'", "tenant"),
        ("SET LOCAL ROLE {migrator}", "role"),
        ("ALTER TABLE visits NO FORCE ROW LEVEL SECURITY", "lock visitsAccessExclusiveLock"),
    ] {
        execute(&mut session, &format!("SAVEPOINT before; {}", clinic.text(trace))).await;
        let after = state(&mut session).await;
        assert_ne!(after.get(key), before.get(key), "{trace} was not noticed");
        execute(&mut session, "ROLLBACK TO SAVEPOINT before").await;
    }
}

#[tokio::test]
async fn a_run_outside_a_transaction_is_refused_and_not_silently_empty() {
    let clinic = Clinic::empty("traces_none").await;
    let mut session = clinic.session().await;
    let refused = Transaction::of_open(&mut session).await.err().map(|error| error.to_string());
    assert!(refused.as_ref().is_some_and(|why| why.contains("inside an open transaction")), "{refused:?}");
    execute(&mut session, "BEGIN").await;
    Transaction::of_open(&mut session).await.expect("is open now");
}
