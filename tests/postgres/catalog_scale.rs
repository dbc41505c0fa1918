//! How long the comparison of a large schema takes beside the replay: 1,000 tables, 5,000 indexes, 2,000 policies. A measurement
//! that nobody should run beside other work: `cargo test --test postgres comparison_of_a_thousand -- --ignored --nocapture`

use std::time::Instant;

use sluice::{
    api::Format,
    catalog::{self, Kind, Scope},
    migrations::LedgerContract,
};

use crate::{
    check_scale::processor,
    server::Server,
    stage_scene::{Scene, value},
};

/// Twenty columns, a key, a foreign key, three plain indexes beside the primary key's and a unique one's, two policies, a trigger.
const TABLES: &str = "
    DO $$ DECLARE t text; BEGIN FOR i IN {from}..{to} LOOP
        t := format('t_%s', i);
        EXECUTE format('CREATE TABLE %I (clinic_id uuid NOT NULL, id uuid NOT NULL DEFAULT gen_random_uuid(), parent uuid, code int UNIQUE CHECK (code > 0), %s,
            PRIMARY KEY (id), FOREIGN KEY (parent) REFERENCES t_0 (id))', t,
            (SELECT string_agg(format('c_%s text DEFAULT ''x''', n), ', ') FROM generate_series(1, 16) n));
        EXECUTE format('CREATE INDEX ON %I (clinic_id, parent)', t);
        EXECUTE format('CREATE INDEX ON %I (clinic_id, c_1) WHERE c_2 IS NULL', t);
        EXECUTE format('CREATE INDEX ON %I (lower(c_3))', t);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY r ON %I FOR SELECT USING (clinic_id = (SELECT current_setting(''app.clinic'')::uuid))', t);
        EXECUTE format('CREATE POLICY w ON %I FOR UPDATE USING (clinic_id = (SELECT current_setting(''app.clinic'')::uuid))', t);
        EXECUTE format('GRANT SELECT, INSERT ON %I TO pg_monitor', t);
        EXECUTE format('CREATE TRIGGER touched BEFORE UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION touch()', t);
    END LOOP; END $$;";
const FIRST: &str =
    "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$; CREATE TABLE t_0 (id uuid PRIMARY KEY);";

fn files() -> Vec<(String, String)> {
    let mut files = vec![("000_first".to_owned(), FIRST.to_owned())];
    for hundred in 0..10 {
        let (from, to) = (hundred * 100 + 1, hundred * 100 + 100);
        let sql = TABLES.replace("{from}", &from.to_string()).replace("{to}", &to.to_string());
        files.push((format!("{:03}_tables", hundred + 1), sql));
    }
    files
}

#[tokio::test]
#[ignore = "a measurement"]
async fn the_comparison_of_a_thousand_tables_takes_at_most_three_seconds_beside_the_replay() {
    let scope = Scope { schemas: vec!["public".into()], ledger: LedgerContract::of(Format::Prisma, "public") };
    let (one, other) = (Server::get().database("scale_one").await, Server::get().database("scale_other").await);
    for (_, sql) in files() {
        one.execute(&sql).await;
        other.execute(&sql).await;
    }
    other.execute("DROP POLICY w ON t_500").await;
    let (mut one, mut other) = (one.connect().await, other.connect().await);
    let mut processes = vec![i32::try_from(std::process::id()).expect("a process id")];
    for session in [&mut one, &mut other] {
        processes.push(value(session, "SELECT pg_backend_pid()::text").await.parse().expect("a process id"));
    }
    let (start, before): (_, Vec<u64>) = (Instant::now(), processes.iter().map(|pid| processor(*pid)).collect());
    let (expected, actual) = futures::join!(catalog::read(&mut one, &scope), catalog::read(&mut other, &scope));
    let (expected, actual) = (expected.expect("reads"), actual.expect("reads"));
    let read = start.elapsed();
    let found = catalog::compare(&expected, &actual, &[]);
    let whole = start.elapsed();
    let used: Vec<u64> = processes.iter().zip(before).map(|(pid, before)| processor(*pid) - before).collect();
    let count = |kind| actual.objects.keys().filter(|key| key.kind == kind).count();
    println!(
        "{} objects: read {} ms, compared {} ms, of processor time {} ms here and {} ms and {} ms in the servers; {} tables, {} columns, {} \
         indexes besides those of {} constraints, {} policies",
        actual.objects.len(),
        read.as_millis(),
        whole.saturating_sub(read).as_millis(),
        used[0],
        used[1],
        used[2],
        count(Kind::Table),
        count(Kind::Column),
        count(Kind::Index),
        count(Kind::Constraint),
        count(Kind::Policy)
    );
    assert_eq!(found.len(), 1, "{}", catalog::text(&found));
    // Of the processor, not of the clock: a machine that does other things makes it take longer, and not more.
    let used: u64 = used.iter().sum();
    assert!(used <= 3000, "{used} ms");
}

#[tokio::test]
#[ignore = "a measurement"]
async fn the_verify_stage_of_a_thousand_tables_with_drift() {
    let files = files();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, sql)| (name.as_str(), sql.as_str())).collect();
    let mut scene = Scene::new("scale_stage", &files).await.with("verify", "{indexes: {foreignKeys: false}}");
    scene.database.execute(&format!("ALTER ROLE {} CREATEDB", scene.role)).await;
    let migrated = scene.ready().await;
    let without = scene.ready().await;
    scene.set("verify", "{drift: {}, indexes: {foreignKeys: false}}");
    let with = scene.ready().await;
    let [migrate, without, with] = [(&migrated, 2), (&without, 3), (&with, 3)].map(|(outcomes, stage)| outcomes[stage].milliseconds);
    println!("migrate {migrate} ms; verify without drift {without} ms, with it {with} ms, the replay included");
}
