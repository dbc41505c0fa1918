//! Snapshots of a real database by the real `pg_dump`. Where a tool must misbehave, a small script stands in
//! front of the real one.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use sluice::{
    api::{Keep, ReadBack, Reason, SnapshotRecord},
    postgres::ConnectionUrl,
    snapshot::{Dump, Manifest, Request, SnapshotError, Tools, Volume, take},
};
use sqlx::Row;

use crate::server::{Database, Server};

/// Some rows, a view, a sequence and a large object: what a dump must bring back.
pub const CLINIC: &str = "
create table patients (id bigserial primary key, name text not null, note text);
create table visits (id uuid primary key default gen_random_uuid(), patient bigint not null references \
patients);
create view names as select name from patients;
insert into patients (name, note) select 'p' || i, string_agg(md5(random()::text), '') from \
generate_series(1, 400) i, generate_series(1, 64) group by i;
insert into visits (patient) select id from patients;
select lo_from_bytea(0, 'a scan');";

/// Says whether two databases hold the same.
pub const FINGERPRINT: &str = "
select concat_ws(' ', (select md5(string_agg(p::text, '|' order by id)) from patients p), (select \
md5(string_agg(v::text, '|' order by id)) from visits v),
                 (select count(*) from names), (select last_value from patients_id_seq), (select count(*) \
                 from pg_largeobject_metadata))";

/// A database, a volume, and what to ask for.
pub struct Scene {
    pub database: Database,
    pub volume: tempfile::TempDir,
    pub url: ConnectionUrl,
    pub tools: Tools,
    pub jobs: u32,
    pub read_back: ReadBack,
    pub keep: Option<Keep>,
    pub deadline: Duration,
    pub now: Timestamp,
    pub run: Option<&'static str>,
    pub max_age: Duration,
    pub history_digest: &'static str,
}

impl Scene {
    pub async fn new(name: &str, script: &str) -> Self {
        let database = Server::get().database(name).await;
        database.execute(script).await;
        Self {
            url: ConnectionUrl::parse(&database.url).expect("a URL"),
            database,
            volume: tempfile::tempdir().expect("a temporary folder"),
            tools: Tools::of_folder(&Server::get().bin),
            jobs: 1,
            read_back: ReadBack::Read,
            keep: None,
            deadline: Duration::from_mins(1),
            now: Timestamp::now(),
            run: None,
            max_age: Duration::from_hours(1),
            history_digest: "0f0f",
        }
    }

    pub fn folder(&self) -> PathBuf {
        self.volume.path().join("medical/records")
    }

    pub async fn take(&self) -> Result<SnapshotRecord, SnapshotError> {
        self.take_into(&self.folder()).await
    }

    pub async fn take_into(&self, folder: &Path) -> Result<SnapshotRecord, SnapshotError> {
        take(Request {
            dump: Dump {
                url: &self.url,
                jobs: self.jobs,
                read_back: self.read_back,
                server_major: Server::get().major,
                tools: &self.tools,
            },
            volume: Volume { folder, claim: Some("records-snapshots"), keep: self.keep.as_ref() },
            history_digest: self.history_digest,
            pending: &["20240216140000_add_patient_preferred_name".to_owned()],
            run: self.run,
            max_age: self.max_age,
            now: self.now,
            deadline: self.deadline,
        })
        .await
    }

    /// Puts a script in front of a tool. `$real` is the real one, `$file` the dump.
    pub fn wrap(&mut self, tool: &str, script: &str) {
        let folder = self.volume.path().join("tools");
        fs::create_dir_all(&folder).expect("a folder for the tools");
        for name in ["pg_dump", "pg_restore"] {
            let real = Server::get().bin.join(name).display().to_string();
            let script = if name == tool { script } else { "exec \"$real\" \"$@\"" };
            let head = format!(
                "#!/bin/sh\nreal={real}\nhere={}\nfor a in \"$@\"; do case $a in --file=*) \
                    file=${{a#--file=}};; esac; done\n",
                folder.display()
            );
            // Everything but --version and the like passes the script; those the real tool answers.
            let body = format!("{head}case $1 in --version) exec \"$real\" \"$@\";; esac\n{script}\n");
            let path = folder.join(name);
            fs::write(&path, body).expect("writes a script");
            fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("makes it executable");
        }
        self.tools = Tools::of_folder(&folder);
    }

    pub fn beside_the_tools(&self, name: &str) -> PathBuf {
        self.volume.path().join("tools").join(name)
    }

    pub fn snapshots(&self) -> Vec<String> {
        entries(&self.folder())
    }
}

pub fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Restores a dump into an empty database, as a person would.
pub async fn restore(dump: &Path, name: &str) -> (bool, Database) {
    let target = Server::get().database(name).await;
    let output = Command::new(Server::get().bin.join("pg_restore"))
        .args(["--exit-on-error", "--dbname", &target.url])
        .arg(dump)
        .output()
        .expect("pg_restore runs");
    (output.status.success(), target)
}

pub async fn fingerprint(database: &Database) -> String {
    sqlx::query(FINGERPRINT).fetch_one(&mut database.connect().await).await.expect("counts").get(0)
}

/// Waits for a condition; the tests never sleep for a fixed time.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_snapshot_restores_into_another_database() {
    for jobs in [1, 2] {
        let mut scene = Scene::new("snapshot_restores", CLINIC).await;
        scene.jobs = jobs;
        let record = scene.take().await.expect("takes a snapshot");
        let name = scene.snapshots().pop().expect("one snapshot");
        let folder = scene.folder().join(&name);
        assert_eq!(scene.snapshots(), [name.as_str()], "jobs {jobs}");
        assert_eq!(record.reference, format!("records-snapshots:medical/records/{name}"));
        assert_eq!((record.taken_at.0, record.verified), (scene.now, ReadBack::Read));

        let manifest = Manifest::read(&folder).expect("a manifest");
        assert_eq!((manifest.bytes, &manifest.sha256), (record.bytes, &record.sha256));
        assert_eq!(
            (manifest.database.as_str(), manifest.taken_at),
            (scene.database.name.as_str(), scene.now)
        );
        assert_eq!((manifest.history_digest.as_str(), manifest.pending.len()), ("0f0f", 1));
        assert!(
            manifest.server_version.starts_with(&Server::get().major.to_string())
                && manifest.wal_lsn.is_some(),
            "{manifest:?}"
        );
        let checked = Command::new("sha256sum")
            .args(["--check", "--quiet", "SHA256SUMS"])
            .current_dir(&folder)
            .status()
            .expect("sha256sum runs");
        assert!(checked.success(), "SHA256SUMS is right");
        let mode = fs::metadata(&folder).expect("is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "no other user reads a dump");

        let (restored, target) = restore(&folder.join("dump"), "snapshot_restored").await;
        assert!(restored, "jobs {jobs}");
        assert_eq!(fingerprint(&target).await, fingerprint(&scene.database).await, "jobs {jobs}");
    }
}

#[tokio::test]
async fn a_truncated_dump_is_caught_by_reading_and_not_by_listing() {
    let mut scene = Scene::new("snapshot_truncated", CLINIC).await;
    scene.wrap("pg_dump", "\"$real\" \"$@\" && truncate -s -1024 \"$file\"");
    let error = scene.take().await.expect_err("a truncated dump proves nothing");
    assert_eq!(error.reason(), Reason::SnapshotUnreadable, "{error}");
    assert!(error.to_string().contains("end of file"), "{error}");
    assert!(scene.snapshots().iter().all(|name| name.starts_with(".partial-")), "{:?}", scene.snapshots());

    // The negative control: this is why `Read` is the default.
    scene.read_back = ReadBack::List;
    scene.take().await.expect("listing does not notice");
    let name = scene.snapshots().pop().expect("one snapshot");
    let (restored, _) = restore(&scene.folder().join(name).join("dump"), "snapshot_not_restored").await;
    assert!(!restored, "what listing accepted cannot be restored");
}

#[tokio::test]
async fn an_emptied_or_cut_data_file_of_a_folder_is_caught() {
    let mut scene = Scene::new("snapshot_emptied", CLINIC).await;
    scene.jobs = 2;
    let largest = "\"$real\" \"$@\" && data=$file/$(ls -S \"$file\" | grep '[.]gz$' | head -1)";
    for (harm, words) in [
        (
            "truncate -s -1 $data",
            if Server::get().major < 18 { "pg_restore" } else { "not a whole gzip file" },
        ),
        ("truncate -s 0 $data", "not a whole gzip file"),
        ("printf XXX | dd of=$data conv=notrunc", "not a whole gzip file"),
    ] {
        scene.wrap("pg_dump", &format!("{largest} && {harm}"));
        let error = scene.take().await.expect_err(harm);
        assert_eq!(error.reason(), Reason::SnapshotUnreadable, "{harm}: {error}");
        assert!(error.to_string().contains(words), "{harm}: {error}");
    }
    // The negative control: pg_restore itself reads the last of them, whose first bytes are gone, without a
    // word.
    let partial = scene.snapshots().pop().expect("the failed attempt's folder");
    let read = Command::new(Server::get().bin.join("pg_restore"))
        .arg("--file=/dev/null")
        .arg(scene.folder().join(partial).join("dump"))
        .status();
    assert!(read.expect("pg_restore runs").success());
}

/// A small volume of its own. `None`, said aloud, where that needs rights the test does not have.
struct SmallVolume(tempfile::TempDir);

impl SmallVolume {
    pub fn mount(test: &str, size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        if mount.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        // Past the test harness, which would swallow it.
        writeln!(std::io::stderr(), "SKIPPED {test}: mounting a small tmpfs needs root")
            .expect("standard error is there");
        None
    }
}

impl Drop for SmallVolume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_volume_is_named_and_leaves_no_snapshot() {
    let Some(volume) = SmallVolume::mount("a_full_volume_is_named_and_leaves_no_snapshot", "256k") else {
        return;
    };
    let mut scene = Scene::new("snapshot_no_space", CLINIC).await;
    let folder = volume.0.path().join("medical/records");
    for jobs in [1, 2] {
        scene.jobs = jobs;
        let error = scene.take_into(&folder).await.expect_err("there is no room");
        assert_eq!(error.reason(), Reason::NoSpace, "jobs {jobs}: {error}");
        assert!(error.to_string().contains("\"records-snapshots\""), "{error}");
        assert!(entries(&folder).iter().all(|name| name.starts_with(".partial-")), "jobs {jobs}");
    }

    // Room for the dump, none for the manifest: our own writes are told apart as well.
    scene.database.execute("drop view names; drop table visits, patients").await;
    scene.jobs = 1;
    scene.wrap("pg_dump", "\"$real\" \"$@\" && { cat /dev/zero > \"$file.fill\" 2>/dev/null || true; }");
    let error = scene.take_into(&folder).await.expect_err("there is no room for the manifest");
    assert_eq!(error.reason(), Reason::NoSpace, "{error}");
    assert!(entries(&folder).iter().all(|name| name.starts_with(".partial-")));
}

#[tokio::test]
async fn what_has_expired_makes_room_before_the_next_dump_needs_it() {
    let Some(volume) =
        SmallVolume::mount("what_has_expired_makes_room_before_the_next_dump_needs_it", "1200k")
    else {
        return;
    };
    let mut scene = Scene::new("snapshot_room", CLINIC).await;
    let folder = volume.0.path().join("medical/records");
    let (start, day) = (scene.now, SignedDuration::from_hours(24));
    for n in [0, 1] {
        scene.now = start + day * n;
        scene.take_into(&folder).await.expect("two fit");
    }
    scene.now = start + day * 2;
    let full = scene.take_into(&folder).await.expect_err("a third does not fit");
    assert_eq!(full.reason(), Reason::NoSpace, "{full}");

    scene.keep = Some(Keep { last: 1, days: 1 });
    scene.take_into(&folder).await.expect("the first two have expired");
    assert_eq!(entries(&folder).len(), 1);
    assert_eq!(
        Manifest::read(&folder.join(&entries(&folder)[0])).map(|manifest| manifest.taken_at),
        Some(scene.now)
    );
}

#[tokio::test]
async fn the_last_and_the_young_stay_and_the_rest_goes() {
    let mut scene = Scene::new("snapshot_keep", "create table t (id int)").await;
    scene.keep = Some(Keep { last: 2, days: 3 });
    fs::create_dir_all(scene.folder().join("by-hand")).expect("a user's own folder");
    let start = scene.now;
    let mut left = Vec::new();
    for n in [0, 1, 10, 11, 12] {
        scene.now = start + SignedDuration::from_hours(24 * n);
        scene.take().await.expect("takes a snapshot");
        left.push(scene.snapshots().len() - 1);
    }
    // On day 10 the one of day 0 goes, on day 11 that of day 1; the rest is young.
    assert_eq!(left, [1, 2, 2, 2, 3]);
    assert!(scene.folder().join("by-hand").exists());
}

#[tokio::test]
async fn whoever_holds_a_table_is_named() {
    let mut scene = Scene::new("snapshot_locked", "create table busy (id int)").await;
    scene.deadline = Duration::from_secs(4);
    let mut holder = scene.database.connect().await;
    crate::server::execute(&mut holder, "set application_name = 'night shift'; begin; lock table busy").await;
    let error = scene.take().await.expect_err("the table is held");
    assert_eq!(error.reason(), Reason::WaitingForLock, "{error}");
    let text = error.to_string();
    assert!(text.contains("\"night shift\"") && text.contains("held public.busy exclusively"), "{text}");
}

#[tokio::test]
async fn a_client_older_than_the_server_is_refused_before_it_tries() {
    let mut scene = Scene::new("snapshot_old_client", "create table t (id int)").await;
    scene.wrap("pg_dump", "exit 99");
    let tool = scene.beside_the_tools("pg_dump");
    fs::write(&tool, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n").expect("writes a script");
    let error = scene.take().await.expect_err("it is too old");
    assert_eq!(error.reason(), Reason::ClientTooOld, "{error}");
    assert!(error.to_string().contains(&format!("PostgreSQL {} or newer", Server::get().major)), "{error}");
}

#[tokio::test]
async fn the_deadline_ends_the_tool_and_its_workers() {
    let mut scene = Scene::new("snapshot_deadline", "create table t (id int)").await;
    scene.wrap("pg_dump", "sleep 600 & echo $! > \"$here/worker\"; echo $$ > \"$here/leader\"; wait");
    scene.deadline = Duration::from_secs(1);
    let error = scene.take().await.expect_err("it never ends");
    assert_eq!(error.reason(), Reason::DeadlineExceeded, "{error}");
    for name in ["leader", "worker"] {
        let pid = fs::read_to_string(scene.beside_the_tools(name)).expect("it had begun");
        // A killed process stays as a zombie until its parent reads its status.
        let status = PathBuf::from(format!("/proc/{}/status", pid.trim()));
        eventually(name, || fs::read_to_string(&status).map_or(true, |status| status.contains("State:\tZ")))
            .await;
    }
}

/// Started by the test below, never by itself.
#[tokio::test]
#[ignore = "waits to be killed"]
async fn takes_a_snapshot_until_it_is_killed() {
    let mut scene = Scene::new("snapshot_victim", CLINIC).await;
    // Half a dump, and then it goes on for as long as this process lives.
    scene.wrap(
        "pg_dump",
        "\"$real\" \"$@\" && truncate -s -1024 \"$file\"; touch \"$here/begun\"; while kill -0 $PPID \
            2>/dev/null; do sleep 0.1; done",
    );
    let folder = PathBuf::from(std::env::var_os("SNAPSHOT_FOLDER").expect("where to"));
    let (begun, watched) = (scene.beside_the_tools("begun"), folder.clone());
    let say = async move {
        eventually("half a dump", || begun.exists()).await;
        println!("begun={}", watched.display());
        std::future::pending::<()>().await;
    };
    tokio::select! { _ = scene.take_into(&folder) => {}, () = say => {} }
}

#[tokio::test]
async fn a_killed_attempt_leaves_nothing_but_a_hidden_folder_and_the_next_one_succeeds() {
    let scene = Scene::new("snapshot_killed", CLINIC).await;
    let mut victim = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "snapshot::takes_a_snapshot_until_it_is_killed", "--ignored", "--nocapture"])
        .env("SNAPSHOT_FOLDER", scene.folder())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the victim starts");
    let output = std::io::BufReader::new(victim.stdout.take().expect("its output is a pipe"));
    let begun = std::io::BufRead::lines(output).map_while(Result::ok).any(|line| line.contains("begun="));
    victim.kill().expect("SIGKILL is sent");
    victim.wait().expect("the victim is gone");
    assert!(begun, "the victim had begun");
    let left = scene.snapshots();
    assert!(left.len() == 1 && left[0].starts_with(".partial-"), "{left:?}");

    scene.take().await.expect("the next attempt");
    let name = scene.snapshots();
    assert!(name.len() == 1 && !name[0].starts_with('.'), "{name:?}");
    let (restored, target) =
        restore(&scene.folder().join(&name[0]).join("dump"), "snapshot_after_kill").await;
    assert!(restored);
    assert_eq!(fingerprint(&target).await, fingerprint(&scene.database).await);
}
