//! Whose fault an error is: a statement's, whatever code it carries and whatever letters it is written in, or
//! the connection's.

use sluice::{api::Reason, contract::Stage};

use crate::stage_scene::Scene;

#[tokio::test]
async fn an_error_that_a_statement_raises_is_its_own_whatever_its_code() {
    for code in ["57P01", "57P03", "08006", "08000", "25P03"] {
        let scene = Scene::new(
            "raised_code",
            &[("1_a", &format!("SELECT 1;\nDO $$ BEGIN RAISE SQLSTATE '{code}'; END $$;"))],
        )
        .await;
        let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
        assert_eq!(
            outcome.failure.map(|failure| (failure.sqlstate, failure.line)),
            Some((code.to_owned(), 2)),
            "{}",
            outcome.message
        );
    }
}

#[tokio::test]
async fn a_session_that_the_server_ends_is_a_broken_connection() {
    let scene = Scene::new("ended", &[("1_a", "SELECT pg_terminate_backend(pg_backend_pid());")]).await;
    scene.stopped(Stage::Migrate, Reason::ConnectionFailed).await;
}

#[tokio::test]
async fn an_error_in_other_letters_is_the_statements_and_nothing_of_it_is_lost() {
    for (set, shown) in
        [("", "tabela_não_existe"), ("SET client_encoding = 'LATIN1';", r"tabela_n\xe3o_existe")]
    {
        let scene =
            Scene::new("letters", &[("1_a", &format!("{set}\nSELECT * FROM \"tabela_não_existe\";"))]).await;
        let outcome = scene.stopped(Stage::Migrate, Reason::MigrationFailed).await;
        let failure = outcome.failure.expect("a failure");
        assert_eq!((failure.sqlstate.as_str(), failure.line), ("42P01", 2), "{}", outcome.message);
        assert!(failure.message.contains(shown), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_file_that_speaks_other_letters_runs_to_its_end() {
    let sql = "SET client_encoding = 'LATIN1';\nDO $$ BEGIN RAISE NOTICE 'não'; END $$;\nSELECT 1 AS \
        \"não\";\nSET app.word = 'não';\n\
               CREATE TABLE seen (word text);\nCREATE INDEX CONCURRENTLY i ON seen (word);\nINSERT INTO seen \
               VALUES (current_setting('app.word')), ('ü');";
    let scene = Scene::new("speaks_latin", &[("1_a", sql)]).await;
    scene.ready().await;
    assert_eq!(scene.value("SELECT string_agg(word, ' ' ORDER BY ctid) FROM seen").await, "não ü");
}

#[tokio::test]
async fn a_connection_url_that_cannot_be_read_is_told_and_nothing_is_changed() {
    let mut scene = Scene::new("unreadable_url", &[("1_a", "CREATE TABLE a ();")]).await;
    let readable = std::mem::replace(&mut scene.url, "mysql://root@127.0.0.1/records".to_owned());
    let outcome = scene.stopped(Stage::Plan, Reason::ConnectionInvalid).await;
    assert!(outcome.message.contains("postgres://"), "{}", outcome.message);
    scene.url = readable;
    scene.ready().await;
}
