//! Where statements begin and end.

use sluice::sql::{Cursor, EnumValue, Reach, Statement, made, split};

use super::Target;

pub const TARGET: Target = Target { name: "splitter", seeds: &SEEDS, documents: false, words: &WORDS, read };

pub const SEEDS: [&str; 16] = [
    "BEGIN;\nCREATE TYPE \"a_new\" AS ENUM ('x', 'y');\nALTER TABLE \"t\" ALTER COLUMN \"a\" TYPE \"a_new\" \
        USING (\"a\"::text::\"a_new\");\nCOMMIT;\n",
    "-- CreateTable\nCREATE TABLE \"t\" (\n    \"id\" TEXT NOT NULL,\n    CONSTRAINT \"t_pkey\" PRIMARY KEY \
        (\"id\")\n);\n",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS U&\"d\\0061ta\" UESCAPE '\\' ON ONLY \"s\".t * (a) WHERE b = \
        'x;';",
    "CREATE FUNCTION f(a int DEFAULT 1) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN 1 \
        END; SELECT 2; END;\nSELECT f();",
    "CREATE OR REPLACE FUNCTION g() RETURNS trigger AS $body$\nBEGIN\n  PERFORM 'a;b'; -- c\n  RETURN \
        NEW;\nEND;\n$body$ LANGUAGE plpgsql;",
    "DO $$ BEGIN EXECUTE $q$SELECT 1;$q$; SET LOCAL a.b = 'c'; COMMIT; END $$;",
    "SELECT E'it\\'s; \\\\' 'a' -- b\n 'c', U&'d\\0061', B'01', N'x', $1, 1.5e3, a$b$c;",
    "CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO a VALUES (1); DELETE FROM b);",
    "/* a /* nested ; */ ; */ ALTER TYPE mood ADD VALUE IF NOT EXISTS 'calm' BEFORE 'odd'; UPDATE t SET m = \
        'calm';",
    "-- sluice: no-transaction\nREINDEX (VERBOSE, CONCURRENTLY off) TABLE t;\nVACUUM (FULL) t;\nCALL p(1, \
        'x');",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY;\nSELECT set_config('a.b', '1', true);\nCOMMIT \
        AND CHAIN;\nROLLBACK TO SAVEPOINT a;",
    "COPY (SELECT 1) TO '/tmp/x'; COPY t (a, b) FROM STDIN WITH (FORMAT csv);\n1\t2\n\\.\n",
    "CREATE SUBSCRIPTION s CONNECTION 'host=a' PUBLICATION p WITH (connect = false); ALTER SUBSCRIPTION s \
        SET PUBLICATION q WITH (refresh = off);",
    "ALTER TABLE IF EXISTS ONLY p DETACH PARTITION public.p1 CONCURRENTLY; DROP INDEX CONCURRENTLY i; \
        DISCARD ALL;",
    "\\connect other\nSELECT 1 \\gset\n",
    "INSERT INTO t VALUES ('Größe', '漢字'), (NULL, '🐘');\r\nSELECT \"a\"\"b\" FROM \"c;d\";\r\n",
];

pub const WORDS: [&str; 40] = [
    "BEGIN",
    " ATOMIC ",
    "END",
    "COMMIT;",
    "CREATE ",
    "FUNCTION ",
    "PROCEDURE ",
    "OR REPLACE ",
    "CASE ",
    "E'",
    "U&'",
    "U&\"",
    "UESCAPE '!'",
    "''",
    "\"\"",
    "\\'",
    "$1",
    "1$$",
    "a$b",
    "+1",
    "::int",
    "f(",
    "AND ",
    "-- sluice: allow\n",
    "\n-- sluice: no-transaction\n",
    "CONCURRENTLY ",
    "INDEX ",
    "ON ONLY (",
    "SET LOCAL ",
    "ALTER TYPE a ADD VALUE 'b';",
    "ROLLBACK",
    "TO ",
    "ISOLATION LEVEL ",
    "COPY ",
    "FROM STDIN;",
    "REINDEX ",
    "CLUSTER ",
    "DO ",
    "SUBSCRIPTION ",
    "\\.",
];

fn read(text: &str) -> bool {
    let pieces = split(text);
    let mut end = 0;
    for range in &pieces.statements {
        assert!(
            range.start >= end && range.start < range.end && range.end <= text.len(),
            "{range:?} after {end}"
        );
        end = range.end;
        let statement = &text[range.clone()];
        if pieces.fault.is_none() {
            assert_eq!(statement.trim_ascii(), statement, "blanks belong to no statement");
            let again = split(statement);
            assert_eq!(
                (again.statements, again.fault),
                (std::iter::once(0..statement.len()).collect(), None),
                "a statement alone is one"
            );
        }
        let (_, _, _, _) = (
            Statement::read(statement),
            Reach::of_body(statement),
            made(statement),
            EnumValue::added_by(statement).may_be_used_by(statement),
        );
        let _ = Cursor::of(statement).body();
    }
    assert!(
        pieces.remarks.iter().all(|remark| text[remark.clone()].starts_with("--")),
        "{:?}",
        pieces.remarks
    );
    assert!(pieces.fault.is_none_or(|fault| fault.at() < text.len()), "{:?}", pieces.fault);
    true
}
