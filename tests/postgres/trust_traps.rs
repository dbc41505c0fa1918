//! A database in which everything that a careless statement could look up in `public` is a trap: operators
//! for every pair of types that PostgreSQL's catalogs have, functions and relations and types with the names
//! of PostgreSQL's own.
//!
//! A trap records its call by being called: PostgreSQL counts the calls of functions, also in transactions
//! that only read or are rolled back. What it answers is what a forger would: true, or what it was given.

use std::{collections::BTreeSet, fs, path::Path};

use sqlx::{AssertSqlSafe, PgConnection};

use crate::{
    server::execute,
    stage_scene::{Scene, until},
};

/// The function that every trap calls, and what all of them need.
const GROUND: &str = "
CREATE SCHEMA trap; GRANT USAGE ON SCHEMA trap TO PUBLIC; SET check_function_bodies = off;
CREATE FUNCTION trap.called(what text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
CREATE TABLE trap.types AS SELECT DISTINCT t.oid, t.typname::text AS name FROM pg_catalog.pg_type t
  WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype = 'b' AND (t.typname::text IN ('varchar', \
  'bpchar', 'numeric', 'json', 'jsonb', 'uuid', 'date', 'timestamp',
      'interval', 'regclass', 'regtype', 'regnamespace', 'regrole', 'regprocedure', '_varchar', '_int4', \
      '_int8', '_bool', '_name', '_regclass')
    OR EXISTS (SELECT FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
      WHERE a.atttypid = t.oid AND c.relnamespace = 'pg_catalog'::regnamespace AND a.attnum > 0));";

/// One function for each pair and kind of answer, and every operator name of `pg_catalog` for every pair. The
/// rows go straight into `pg_operator`, as CREATE OPERATOR, which anyone may say who may create in the
/// schema, would write them one by one.
const OPERATORS: &str = "
DO $$ DECLARE l record; r record; head text; what text; BEGIN
  FOR l IN SELECT * FROM trap.types LOOP FOR r IN SELECT * FROM trap.types LOOP
    head := format('(pg_catalog.%I, pg_catalog.%I)', l.name, r.name); what := format('%s %s', l.name, r.name);
    EXECUTE format('CREATE FUNCTION trap.%I%s RETURNS boolean LANGUAGE plpgsql AS %L', 'bool ' || what, \
    head, 'BEGIN RETURN trap.called('''||what||'''); END');
    EXECUTE format('CREATE FUNCTION trap.%I%s RETURNS text LANGUAGE plpgsql AS %L', 'text ' || what, head, \
    'BEGIN PERFORM trap.called('''||what||'''); RETURN $1; END');
    EXECUTE format('CREATE FUNCTION trap.%I%s RETURNS pg_catalog.%I LANGUAGE plpgsql AS %L', 'left ' || \
    what, head, l.name, 'BEGIN PERFORM trap.called('''||what||'''); RETURN $1; END');
  END LOOP; END LOOP;
END $$;
SET allow_system_table_mods = on;
WITH names AS (SELECT oprname, CASE WHEN bool_or(oprresult = 'bool'::regtype) THEN 'bool' WHEN \
bool_or(oprresult = 'text'::regtype) THEN 'text' ELSE 'left' END AS answer
    FROM pg_catalog.pg_operator WHERE oprkind = 'b' AND oprnamespace = 'pg_catalog'::regnamespace GROUP BY \
    oprname)
INSERT INTO pg_catalog.pg_operator (oid, oprname, oprnamespace, oprowner, oprkind, oprcanmerge, oprcanhash, \
oprleft, oprright, oprresult, oprcom, oprnegate, oprcode, oprrest, oprjoin)
SELECT (3000000000 + row_number() OVER ())::oid, n.oprname, 'public'::regnamespace, 10, 'b', false, false, \
l.oid, r.oid, p.prorettype, 0, 0, p.oid, 0, 0
FROM names n CROSS JOIN trap.types l CROSS JOIN trap.types r
JOIN pg_catalog.pg_proc p ON p.pronamespace = 'trap'::regnamespace AND p.proname = left(format('%s %s %s', \
n.answer, l.name, r.name), 63)
  AND p.proargtypes[0] = l.oid AND p.proargtypes[1] = r.oid;";

/// Functions of these names for every type, and for the pairs that occur.
const FUNCTIONS: &str = "
DO $$ DECLARE f text; l record; r record; few text[] := ARRAY['name', 'text', 'varchar', 'oid', 'int4'];
  body constant text := ' RETURNS text LANGUAGE plpgsql AS ''BEGIN PERFORM trap.called(''''a function''''); \
  RETURN NULL; END'''; BEGIN
  FOREACH f IN ARRAY $names$ LOOP
    EXECUTE format('CREATE FUNCTION public.%I()', f) || body;
    FOR l IN SELECT * FROM trap.types LOOP
      EXECUTE format('CREATE FUNCTION public.%I(pg_catalog.%I)', f, l.name) || body;
    END LOOP;
    FOR l IN SELECT * FROM trap.types WHERE name = ANY(few) LOOP FOR r IN SELECT * FROM trap.types WHERE \
    name = ANY(few) LOOP
      EXECUTE format('CREATE FUNCTION public.%I(pg_catalog.%I, pg_catalog.%I)', f, l.name, r.name) || body;
    END LOOP; END LOOP;
  END LOOP;
END $$;";

/// Types and relations with PostgreSQL's names: they matter where a search path names `public` before
/// `pg_catalog`.
const NAMES: &str = "
DO $$ DECLARE t record; BEGIN
  FOR t IN SELECT * FROM trap.types WHERE name !~ '^_' LOOP
    EXECUTE format('CREATE DOMAIN public.%I AS pg_catalog.%1$I CHECK (trap.called(%L))', t.name, 'the type ' \
    || t.name);
  END LOOP;
  FOR t IN SELECT c.oid, c.relname::pg_catalog.text AS name FROM pg_catalog.pg_class c WHERE c.relnamespace \
  = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v') LOOP
    EXECUTE format('CREATE VIEW public.%I AS SELECT * FROM pg_catalog.%1$I WHERE trap.called(%L)', t.name, \
    'the relation ' || t.name);
    EXECUTE format('GRANT SELECT ON public.%I TO PUBLIC', t.name);
  END LOOP;
END $$;";

/// A session that steps into none of them.
async fn careful(scene: &Scene) -> PgConnection {
    let mut connection = scene.database.connect().await;
    execute(&mut connection, "SET search_path = pg_catalog").await;
    connection
}

/// The types' names.
pub async fn types(scene: &Scene) -> Vec<String> {
    let text = "SELECT name FROM trap.types";
    sqlx::query_scalar(text).fetch_all(&mut careful(scene).await).await.expect("the types of the traps")
}

/// Sets every trap.
pub async fn set(scene: &Scene) {
    let (database, connection) = (&scene.database.name, &mut careful(scene).await);
    let names: Vec<String> =
        functions_named_in(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))).into_iter().collect();
    let known = "SELECT DISTINCT proname::text FROM pg_catalog.pg_proc WHERE pronamespace = \
        'pg_catalog'::regnamespace AND prokind IN ('f', 'a') AND proname::text = ANY($1)";
    let names: Vec<String> =
        sqlx::query_scalar(known).bind(names).fetch_all(&mut *connection).await.expect("the functions");
    assert!(
        names.len() > 60 && names.contains(&"format".to_owned()),
        "the functions that Sluice calls were not found: {names:?}"
    );
    let list = names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    for script in [
        format!("ALTER DATABASE {database} SET track_functions = 'all'"),
        GROUND.to_owned(),
        OPERATORS.to_owned(),
        FUNCTIONS.replace("$names$", &format!("ARRAY[{list}]")),
        NAMES.to_owned(),
    ] {
        let done = sqlx::raw_sql(AssertSqlSafe(script.as_str())).execute(&mut *connection).await;
        done.unwrap_or_else(|error| panic!("{error}\nin {script}"));
    }
}

/// Every word before a parenthesis.
fn functions_named_in(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("the sources").flatten() {
        if entry.path().is_dir() {
            names.extend(functions_named_in(&entry.path()));
            continue;
        }
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        for (at, _) in text.match_indices('(') {
            let before = text[..at].trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
            names.insert(text[before.len()..at].to_ascii_lowercase());
        }
    }
    names
}

/// The traps that were called since they were set, or since the last query, once every session of Sluice's is
/// gone.
pub async fn called(scene: &Scene) -> Vec<String> {
    until("the sessions of Sluice and of the tests end", || async {
        let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> \
            pg_backend_pid()";
        let others: i64 = sqlx::query_scalar(others).fetch_one(&mut careful(scene).await).await.expect(
            "the \
            sessions",
        );
        others == 0
    })
    .await;
    let mut connection = careful(scene).await;
    let text = "SELECT concat(schemaname, '.', funcname, ' ', calls) FROM pg_stat_user_functions \
                WHERE calls > 0 AND (schemaname = 'trap' OR schemaname = 'public' AND funcname NOT LIKE \
                'team%') ORDER BY 1";
    let called: Vec<String> = sqlx::query_scalar(text).fetch_all(&mut connection).await.expect("the calls");
    execute(&mut connection, "SELECT pg_stat_reset()").await;
    called
}
