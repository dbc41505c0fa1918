//! A retry uses the snapshot again that an earlier attempt has taken, and no other one.

use std::{fs, path::PathBuf, time::Duration};

use jiff::SignedDuration;
use sluice::{
    api::{ReadBack, Reason},
    contract::{Outcome, Stage},
    stage::{self, Context},
};

use crate::{
    snapshot::{CLINIC, Scene},
    stage_scene,
};

/// What the first attempt leaves, 59 minutes ago.
async fn first(test: &str) -> Scene {
    let mut scene = Scene::new(test, CLINIC).await;
    scene.run = Some("0123abcd");
    let now = scene.now;
    scene.now = now - SignedDuration::from_mins(59);
    scene.take().await.expect("the first attempt takes one");
    scene.now = now;
    scene
}

fn snapshots(scene: &Scene) -> Vec<PathBuf> {
    let entries = fs::read_dir(scene.folder()).expect("the folder of snapshots");
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    found.sort();
    found
}

/// Whether the next attempt uses the first one's again.
async fn uses_it_again(scene: &Scene) -> bool {
    let before = snapshots(scene);
    let record = scene.take().await.expect("an attempt has a snapshot");
    let after = snapshots(scene);
    let again = record.taken_at.0 != scene.now;
    assert_eq!(after == before, again, "{record:?}: {after:?}");
    again
}

#[tokio::test]
async fn a_retry_uses_the_snapshot_of_the_attempt_before_it_and_says_when_that_was_taken() {
    let mut scene = first("again").await;
    let taken = scene.take().await.expect("a snapshot");
    assert!(uses_it_again(&scene).await, "as often as it is retried");
    let age = scene.now.duration_since(taken.taken_at.0);
    assert_eq!(age.as_secs() / 60, 59);
    assert!(snapshots(&scene)[0].ends_with(taken.reference.rsplit('/').next().expect("a name")));
    scene.now += SignedDuration::from_mins(2);
    assert!(!uses_it_again(&scene).await, "it is too old by now");
}

/// The manifest of the last one says how much room the next one needs.
#[tokio::test]
async fn a_volume_without_room_for_another_snapshot_is_told_before_the_dump_begins() {
    let mut scene = first("room").await;
    scene.run = Some("another");
    let manifest = snapshots(&scene)[0].join("manifest.json");
    let written = fs::read_to_string(&manifest).expect("a manifest");
    let mut larger: serde_json::Value = serde_json::from_str(&written).expect("JSON");
    larger["bytes"] = (1_u64 << 50).into();
    fs::write(&manifest, larger.to_string()).expect("a manifest");
    let refused = scene.take().await.expect_err("no volume of a test has a pebibyte");
    assert_eq!(refused.reason(), Reason::NoSpace);
    assert!(refused.to_string().contains("and the last snapshot of the database has"), "{refused}");
    assert_eq!(snapshots(&scene).len(), 1, "nothing was begun");
    fs::write(&manifest, written).expect("a manifest");
    scene.take().await.expect("there is room for what the first one had");
}

/// What makes the next attempt another one.
type Change = fn(&mut Scene);

#[tokio::test]
async fn a_snapshot_of_anything_else_is_not_used_again() {
    let changes: [(&str, Change); 6] = [
        ("another run", |scene| scene.run = Some("fedc9876")),
        ("no run", |scene| scene.run = None),
        ("another history", |scene| scene.history_digest = "1e1e"),
        ("no age", |scene| scene.max_age = Duration::ZERO),
        ("too old", |scene| scene.max_age = Duration::from_mins(58)),
        ("from the future", |scene| scene.now -= SignedDuration::from_hours(2)),
    ];
    for (what, change) in changes {
        let mut scene = first("not_again").await;
        change(&mut scene);
        assert!(!uses_it_again(&scene).await, "{what}");
    }
    for (what, told) in [("another place", "\"place\": \""), ("another database", "\"database\": \"")] {
        let scene = first("not_again").await;
        let manifest = snapshots(&scene)[0].join("manifest.json");
        let text = fs::read_to_string(&manifest).expect("reads");
        fs::write(&manifest, text.replace(told, &format!("{told}other"))).expect("writes");
        assert!(!uses_it_again(&scene).await, "{what}");
    }
}

#[tokio::test]
async fn a_snapshot_that_is_not_what_its_manifest_says_is_not_used_again() {
    for jobs in [1, 2] {
        for damage in ["a byte more", "a byte less", "a byte that differs", "no dump", "another manifest"] {
            let mut scene = Scene::new("damaged", CLINIC).await;
            (scene.run, scene.jobs) = (Some("0123abcd"), jobs);
            scene.take().await.expect("the first attempt takes one");
            scene.now += SignedDuration::from_secs(5);
            let folder = snapshots(&scene).remove(0);
            let dump = folder.join("dump");
            let file = if jobs == 1 { dump.clone() } else { dump.join("toc.dat") };
            let mut bytes = fs::read(&file).expect("reads");
            match damage {
                "a byte more" => bytes.push(0),
                "a byte less" => drop(bytes.pop()),
                "a byte that differs" => *bytes.last_mut().expect("a byte") ^= 1,
                "no dump" if jobs == 1 => fs::remove_file(&dump).expect("removes"),
                "no dump" => fs::remove_dir_all(&dump).expect("removes"),
                _ => {
                    let manifest = folder.join("manifest.json");
                    let text = fs::read_to_string(&manifest).expect("reads");
                    fs::write(&manifest, text.replace("\"bytes\": ", "\"bytes\": 1")).expect("writes");
                }
            }
            if damage.starts_with("a byte") {
                fs::write(&file, bytes).expect("writes");
            }
            // Listing a dump proves little; its checksum does.
            scene.read_back = ReadBack::List;
            assert!(!uses_it_again(&scene).await, "{damage}, {jobs}");
        }
    }
}

async fn outcomes(scene: &stage_scene::Scene, attempt: &str) -> (Context, Vec<Outcome>) {
    let mut context = scene.context();
    attempt.clone_into(&mut context.attempt);
    let outcomes = stage_scene::planned(&context).await;
    (context, outcomes)
}

#[tokio::test]
async fn a_run_that_waited_in_vain_migrates_on_the_snapshot_that_it_took_before() {
    let mut scene = stage_scene::Scene::new("again_stage", &[("1_init", "CREATE TABLE t (x int);")]).await;
    scene.ready().await;
    scene.write("2_alter", "ALTER TABLE t ADD COLUMN y int;");
    scene.set("snapshot", "{dump: {volumeClaim: snapshots}}");
    scene.patience = Duration::from_millis(500);
    let begin = "BEGIN; SELECT count(*) FROM t";
    let holder = stage_scene::session(&scene.database.url, "nightly-report", begin).await;
    let (context, first) = outcomes(&scene, "0123abcd-a1").await;
    let waits = stage::run(Stage::Migrate, &context, &first).await;
    assert_eq!(waits.reason, Reason::WaitingForLock, "{}", waits.message);
    drop(holder);
    let (context, second) = outcomes(&scene, "0123abcd-a2").await;
    let told = &second[1];
    assert_eq!(told.snapshot, first[1].snapshot, "{}", told.message);
    for part in ["an earlier attempt took it at 2", "spec.snapshot.maxAge: 1h"] {
        assert!(told.message.contains(part), "{part} is not in: {}", told.message);
    }
    assert!(!first[1].message.contains("earlier"), "{}", first[1].message);
    let migrated = stage::run(Stage::Migrate, &context, &second).await;
    assert_eq!(migrated.reason, Reason::Applied, "{}", migrated.message);
    // The history is another one by now, so the next migration has a snapshot of its own.
    scene.write("3_more", "CREATE TABLE u ();");
    let (_, third) = outcomes(&scene, "0123abcd-a3").await;
    assert_ne!(third[1].snapshot, first[1].snapshot, "{}", third[1].message);
}
