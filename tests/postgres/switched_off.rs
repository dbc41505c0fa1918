//! What a catalog can hide: a foreign key whose triggers are switched off looks valid and enforces nothing.

use sluice::{
    api::{CheckId, Finding},
    contract::Stage,
    stage,
};

use crate::stage_scene::Scene;

const FILE: &str = "CREATE TABLE p (id int PRIMARY KEY);\nCREATE TABLE k (id int PRIMARY KEY, p int NOT NULL \
    REFERENCES p);\nCREATE INDEX ON k (p);\n\
    CREATE VIEW v AS SELECT id FROM p;\n";

async fn findings(scene: &Scene) -> Vec<(CheckId, String)> {
    let outcome = stage::run(Stage::Verify, &scene.context(), &[]).await;
    let of = |finding: Finding| (finding.check, finding.object);
    outcome
        .findings
        .into_iter()
        .map(of)
        .filter(|(check, _)| [CheckId::SchemaDrift, CheckId::ForeignKeyValidated].contains(check))
        .collect()
}

#[tokio::test]
async fn a_foreign_key_whose_triggers_are_switched_off_is_found_by_drift_and_by_its_check() {
    let scene = Scene::new("switched_off", &[("1_a", FILE)])
        .await
        .with("verify", "{drift: {}, foreignKeys: {validated: true}}");
    scene.database.execute(&format!("ALTER ROLE {} CREATEDB", scene.role)).await;
    scene.ready().await;
    assert_eq!(findings(&scene).await, [], "the control");
    for table in ["k", "p"] {
        scene.database.execute(&format!("ALTER TABLE {table} DISABLE TRIGGER ALL")).await;
        let mut found = findings(&scene).await;
        found.sort();
        assert_eq!(
            found,
            [
                (CheckId::ForeignKeyValidated, "public.k".to_owned()),
                (CheckId::SchemaDrift, "public.k.k_p_fkey".to_owned())
            ],
            "{table}"
        );
        scene.database.execute(&format!("ALTER TABLE {table} ENABLE TRIGGER ALL")).await;
    }
    scene.database.execute("ALTER VIEW v ALTER COLUMN id SET DEFAULT 7").await;
    assert_eq!(findings(&scene).await, [(CheckId::SchemaDrift, "public.v".to_owned())]);
}

#[tokio::test]
async fn a_deferred_constraint_in_a_schema_that_the_role_may_not_use_stops_no_migration() {
    let scene = Scene::new(
        "deferred_elsewhere",
        &[("1_a", "CREATE TABLE t (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);")],
    )
    .await;
    scene
        .database
        .execute("CREATE SCHEMA space; CREATE TABLE space.t (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        .await;
    scene.ready().await;
}
