//! A release is tried on the restored snapshot, in a container of its own, before anything of it runs.

use serde_json::json;

use crate::story::Story;

const FIRST: (&str, &str) =
    ("20260101000000_first", "CREATE TABLE visits (id int PRIMARY KEY, cost int NOT NULL);");
const SLOW: (&str, &str) =
    ("20260102000000_wider", "ALTER TABLE visits ALTER COLUMN cost TYPE bigint;\nSELECT pg_sleep(1);");

#[tokio::test]
async fn a_release_over_a_limit_on_the_copy_does_not_run_and_within_it_does() {
    let story = Story::begin("rehearsal").await;
    story.execute(&format!("ALTER ROLE {} CREATEDB", story.database)).await;
    story.secret().await;
    story.claim("64Mi").await;
    story.migrations(&[FIRST]).await;
    let limits = |held: &str| json!({"before": {"rehearsal": {"limits": {"lockHeld": held}}}});
    story.migrate(limits("500ms")).await;
    story.ready_at(FIRST.0).await;
    story.execute("INSERT INTO visits SELECT n, n FROM generate_series(1, 5000) AS n").await;

    story.migrations(&[FIRST, SLOW]).await;
    let message = story.until("Rehearsed", "False", "RehearsalOverLimit").await;
    assert!(message.contains("20260102000000_wider.sql:1 locks public.visits"), "{message}");
    story.until("Stalled", "True", "RehearsalOverLimit").await;
    assert_eq!(story.number("SELECT count(*) FROM _prisma_migrations").await, 1);
    let scratch = "SELECT count(*) FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE datname LIKE \
        'sluice_scratch_%' AND r.rolname";
    let scratch = format!("{scratch} = '{}'", story.database);
    assert_eq!(story.number(&scratch).await, 0);

    story.change(limits("5m")).await;
    story.ready_at(SLOW.0).await;
    story.until("Rehearsed", "True", "Rehearsed").await;
    assert_eq!(story.number(&scratch).await, 0);
}
