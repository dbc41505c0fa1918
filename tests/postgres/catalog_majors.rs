//! What newer versions of PostgreSQL brought to catalogs: on a server that has it, a difference made by hand
//! is found, alone, and gone when it is mended. On an older server a control is left out, so `make
//! test-postgres-newest` is where all of them run.

use sluice::{
    api::Format,
    catalog::{self, Difference, Scope},
    migrations::HistoryContract,
};

use crate::server::{Database, Server};

/// Since which version; what both databases have; what is done to one, and undone; the object that is found,
/// and what both sides say.
struct Control {
    since: u32,
    both: &'static str,
    breaks: &'static str,
    mends: &'static str,
    object: &'static str,
    sides: [&'static str; 2],
}

const CONTROLS: [Control; 8] = [
    Control {
        since: 15,
        both: "CREATE TABLE a (x int); CREATE UNIQUE INDEX a_x ON a (x)",
        breaks: "DROP INDEX a_x; CREATE UNIQUE INDEX a_x ON a (x) NULLS NOT DISTINCT",
        mends: "DROP INDEX a_x; CREATE UNIQUE INDEX a_x ON a (x)",
        object: "public.a_x",
        sides: ["(x)", "NULLS NOT DISTINCT"],
    },
    Control {
        since: 15,
        both: "CREATE TABLE b (x int); CREATE VIEW seen WITH (security_invoker = true) AS SELECT x FROM b",
        breaks: "ALTER VIEW seen RESET (security_invoker)",
        mends: "ALTER VIEW seen SET (security_invoker = true)",
        object: "public.seen",
        sides: ["security_invoker=true", "(none)"],
    },
    Control {
        since: 17,
        both: "CREATE TABLE c (x int); GRANT SELECT ON c TO pg_monitor",
        breaks: "GRANT MAINTAIN ON c TO pg_monitor",
        mends: "REVOKE MAINTAIN ON c FROM pg_monitor",
        object: "public.c to pg_monitor",
        sides: ["SELECT", "MAINTAIN, SELECT"],
    },
    Control {
        since: 17,
        both: "CREATE TABLE d (x int, y int GENERATED ALWAYS AS (x * 2) STORED)",
        breaks: "ALTER TABLE d ALTER y SET EXPRESSION AS (x * 3)",
        mends: "ALTER TABLE d ALTER y SET EXPRESSION AS (x * 2)",
        object: "public.d.y",
        sides: ["stored: (x * 2)", "stored: (x * 3)"],
    },
    Control {
        since: 18,
        both: "CREATE TABLE e (x int, y int GENERATED ALWAYS AS (x * 2) STORED)",
        breaks: "ALTER TABLE e DROP y; ALTER TABLE e ADD y int GENERATED ALWAYS AS (x * 2) VIRTUAL",
        mends: "ALTER TABLE e DROP y; ALTER TABLE e ADD y int GENERATED ALWAYS AS (x * 2) STORED",
        object: "public.e.y",
        sides: ["stored: (x * 2)", "virtual: (x * 2)"],
    },
    Control {
        since: 18,
        both: "CREATE TABLE f (x int CONSTRAINT f_x NOT NULL)",
        breaks: "ALTER TABLE f ALTER x DROP NOT NULL; ALTER TABLE f ADD CONSTRAINT f_x NOT NULL x NOT VALID",
        mends: "ALTER TABLE f VALIDATE CONSTRAINT f_x",
        object: "public.f.x",
        sides: ["not allowed", "not allowed, not validated"],
    },
    Control {
        since: 18,
        both: "CREATE TABLE g (x int PRIMARY KEY, y int, CONSTRAINT g_y FOREIGN KEY (y) REFERENCES g (x))",
        breaks: "ALTER TABLE g ALTER CONSTRAINT g_y NOT ENFORCED",
        mends: "ALTER TABLE g ALTER CONSTRAINT g_y ENFORCED",
        object: "public.g.g_y",
        sides: ["REFERENCES", "NOT ENFORCED"],
    },
    Control {
        since: 18,
        both: "CREATE TABLE h (n int4range, x daterange, PRIMARY KEY (n, x))",
        breaks: "ALTER TABLE h DROP CONSTRAINT h_pkey; ALTER TABLE h ADD PRIMARY KEY (n, x WITHOUT OVERLAPS)",
        mends: "ALTER TABLE h DROP CONSTRAINT h_pkey; ALTER TABLE h ADD PRIMARY KEY (n, x)",
        object: "public.h.h_pkey",
        sides: ["PRIMARY KEY (n, x)", "WITHOUT OVERLAPS"],
    },
];

async fn differences(expected: &Database, actual: &Database) -> Vec<Difference> {
    let scope = Scope {
        schemas: vec!["public".into()],
        history_table: HistoryContract::of(Format::Prisma, "public"),
    };
    let expected = catalog::read(&mut expected.connect().await, &scope).await.expect("reads");
    let actual = catalog::read(&mut actual.connect().await, &scope).await.expect("reads");
    catalog::compare(&expected, &actual, &[])
}

#[tokio::test]
async fn what_each_version_brought_is_compared() {
    let major = Server::get().major;
    let (expected, actual) =
        (Server::get().database("majors_expected").await, Server::get().database("majors_actual").await);
    for Control { since, both, breaks, mends, object, sides: [left, right] } in CONTROLS {
        if major < since {
            continue;
        }
        expected.execute(both).await;
        actual.execute(both).await;
        assert_eq!(differences(&expected, &actual).await, [], "{both}");
        actual.execute(breaks).await;
        let found = differences(&expected, &actual).await;
        let [difference] = found.as_slice() else { panic!("{breaks}: {}", catalog::text(&found)) };
        let text = catalog::text(&found);
        assert_eq!(difference.name, object, "{breaks}");
        assert!(text.contains(left), "{breaks}: {text}");
        assert!(text.contains(right), "{breaks}: {text}");
        actual.execute(mends).await;
        assert_eq!(differences(&expected, &actual).await, [], "{mends}");
    }
}
