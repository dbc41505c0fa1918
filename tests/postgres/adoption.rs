//! A healthy database that Prisma made, and the shortest manifest there is: the first run is green. What the
//! manifest did not ask for is a warning; what is broken is an error all the same.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::stage_scene::Scene;

/// As teams have it after some years: no row-level security, keys without indexes, a table without a primary
/// key, names that need quotes, an index too many, a key that was never validated and one that can never do
/// what it says.
const INIT: &str = r#"
-- CreateEnum
CREATE TYPE "Role" AS ENUM ('USER', 'ADMIN', 'read only');
-- CreateTable
CREATE TABLE "User" ("id" TEXT NOT NULL, "email" TEXT NOT NULL, "role" "Role" NOT NULL DEFAULT 'USER', "tags" TEXT[], "meta" JSONB NOT NULL DEFAULT '{}',
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, CONSTRAINT "User_pkey" PRIMARY KEY ("id"));
CREATE TABLE "Post" ("id" SERIAL NOT NULL, "authorId" TEXT NOT NULL, "editorId" TEXT, "reviewerId" TEXT, "title" VARCHAR(200) NOT NULL, "deletedAt" TIMESTAMP(3),
    CONSTRAINT "Post_pkey" PRIMARY KEY ("id"));
CREATE TABLE "_PostToTag" ("A" INTEGER NOT NULL, "B" INTEGER NOT NULL);
CREATE TABLE "Tag" ("id" SERIAL NOT NULL, "name" TEXT NOT NULL, CONSTRAINT "Tag_pkey" PRIMARY KEY ("id"));
CREATE TABLE "audit log.2" ("at" TIMESTAMPTZ NOT NULL DEFAULT now(), "what (exactly)" TEXT, "userId" TEXT);
COMMENT ON TABLE "audit log.2" IS 'It has no primary key; nobody knows why.';
CREATE TABLE "order" ("id" UUID NOT NULL DEFAULT gen_random_uuid(), "user" TEXT NOT NULL, "group" INTEGER, CONSTRAINT "order_pkey" PRIMARY KEY ("id"));
-- CreateIndex
CREATE UNIQUE INDEX "User_email_key" ON "User"("email");
CREATE INDEX "User_email_idx" ON "User"("email");
CREATE INDEX "Post_title_open" ON "Post"("title") WHERE "deletedAt" IS NULL;
CREATE INDEX "Post_editorId_idx" ON "Post"("editorId") WHERE "editorId" IS NOT NULL;
CREATE UNIQUE INDEX "_PostToTag_AB_unique" ON "_PostToTag"("A", "B");
CREATE INDEX "_PostToTag_B_index" ON "_PostToTag"("B");
-- AddForeignKey
ALTER TABLE "Post" ADD CONSTRAINT "Post_authorId_fkey" FOREIGN KEY ("authorId") REFERENCES "User"("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Post" ADD CONSTRAINT "Post_editorId_fkey" FOREIGN KEY ("editorId") REFERENCES "User"("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "Post" ADD CONSTRAINT "Post_reviewerId_fkey" FOREIGN KEY ("reviewerId") REFERENCES "User"("id") NOT VALID;
ALTER TABLE "_PostToTag" ADD CONSTRAINT "_PostToTag_A_fkey" FOREIGN KEY ("A") REFERENCES "Post"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "_PostToTag" ADD CONSTRAINT "_PostToTag_B_fkey" FOREIGN KEY ("B") REFERENCES "Tag"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "audit log.2" ADD CONSTRAINT "audit (who)" FOREIGN KEY ("userId") REFERENCES "User"("id");
ALTER TABLE "order" ADD FOREIGN KEY ("user") REFERENCES "User"("id");
-- What Prisma's schema cannot say
CREATE VIEW "open posts" AS SELECT "id", "title" FROM "Post" WHERE "deletedAt" IS NULL;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW."createdAt" := now(); RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE INSERT ON "User" FOR EACH ROW EXECUTE FUNCTION touch();
"#;
const NAME: &str = "20230101000000_init";
const UNRELATED: (&str, &str) =
    ("20240101000000_add_note", "-- AlterTable\nALTER TABLE \"Tag\" ADD COLUMN \"note\" TEXT;\n");

/// Everything that this schema is warned about, and nothing more severe: check and object.
const WARNED: [(&str, &str); 6] = [
    ("foreign-key-indexed", "public.Post"),
    ("foreign-key-indexed", "public.audit log.2"),
    ("foreign-key-indexed", "public.order"),
    ("foreign-key-set-null", "public.Post"),
    ("foreign-key-validated", "public.Post"),
    ("index-redundant", "public.User_email_idx"),
];

/// What `sluice verify` finds, as severity, check and object; and its exit code.
async fn verified(scene: &Scene) -> (Option<i32>, BTreeSet<(String, String, String)>) {
    let mut command = scene.command("verify");
    let output =
        tokio::task::spawn_blocking(move || command.args(["-o", "json"]).output().expect("sluice starts"))
            .await
            .expect("ends");
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let text = |finding: &Value, key: &str| {
        finding[key].as_str().unwrap_or_else(|| panic!("no {key}: {finding}")).to_owned()
    };
    let found = report["findings"].as_array().expect("findings").iter();
    (
        output.status.code(),
        found
            .map(|finding| (text(finding, "severity"), text(finding, "check"), text(finding, "object")))
            .collect(),
    )
}

async fn is_green_with_warnings(scene: &Scene) {
    let mut command = scene.command("run");
    let output =
        tokio::task::spawn_blocking(move || command.output().expect("sluice starts")).await.expect("ends");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("notes.sql"), "{output:?}");
    let (code, found) = verified(scene).await;
    let warned = WARNED.map(|(check, object)| ("Warning".to_owned(), check.to_owned(), object.to_owned()));
    assert_eq!((code, found), (Some(0), warned.into()));
}

#[tokio::test]
async fn a_plain_prisma_folder_is_green_with_warnings_on_an_empty_database() {
    let scene = Scene::new("adopt_empty", &[(NAME, INIT), UNRELATED]).await;
    std::fs::write(scene.source().join("notes.sql"), "SELECT 1;").expect("writes a stray file");
    is_green_with_warnings(&scene).await;
}

/// The rows are Prisma's; `interop.rs` shows with Prisma's own engines that they look like this.
#[tokio::test]
async fn a_database_that_prisma_migrated_takes_an_unrelated_migration_and_is_green_with_warnings() {
    let scene = Scene::new("adopt_running", &[(NAME, INIT), UNRELATED]).await;
    std::fs::write(scene.source().join("notes.sql"), "SELECT 1;").expect("writes a stray file");
    let history_table = format!(
        "CREATE TABLE _prisma_migrations (id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT \
            NULL, finished_at TIMESTAMPTZ, \
             migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at TIMESTAMPTZ, started_at \
             TIMESTAMPTZ NOT NULL DEFAULT now(), \
             applied_steps_count INTEGER NOT NULL DEFAULT 0); \
         INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name, applied_steps_count) \
             VALUES (gen_random_uuid()::text, encode(sha256(convert_to($file${INIT}$file$, 'UTF8')), 'hex'), \
             now(), '{NAME}', 1);"
    );
    let mut session = crate::server::connect(&scene.url).await;
    crate::server::execute(&mut session, INIT).await;
    crate::server::execute(&mut session, &history_table).await;
    is_green_with_warnings(&scene).await;
    assert_eq!(scene.history_table().await.len(), 2);

    // The negative control: what is broken is an error, whether the manifest asked or not.
    crate::server::execute(&mut session, "INSERT INTO \"Tag\" (name) VALUES ('twice'), ('twice')").await;
    let unique = sqlx::raw_sql("CREATE UNIQUE INDEX CONCURRENTLY \"Tag_name_key\" ON \"Tag\" (\"name\")")
        .execute(&mut session)
        .await;
    unique.expect_err("two rows have the same name");
    let (code, found) = verified(&scene).await;
    assert_eq!(code, Some(1));
    assert!(
        found.contains(&("Error".to_owned(), "index-valid".to_owned(), "public.Tag_name_key".to_owned())),
        "{found:#?}"
    );
}
