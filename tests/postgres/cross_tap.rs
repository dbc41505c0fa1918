//! pgTAP in a database of a test: what the clean schema has becomes its assertions, and in the same words the
//! manifest's requirements. Each broken state is then judged by both.

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::json;
use sluice::{
    api::{Finding, RequiredForeignKey, RequiredIndex},
    inspect::Scope,
};
use sqlx::{PgConnection, Row, postgres::PgRow};

use crate::{check_structure::assertions, cross_check::objects, server::execute};

/// An index that no constraint made, of plain columns.
pub struct Index {
    schema: String,
    table: String,
    name: String,
    columns: Vec<String>,
    unique: bool,
    predicate: Option<String>,
    method: String,
}

/// A foreign key.
pub struct Key {
    schema: String,
    table: String,
    name: String,
    columns: Vec<String>,
    parent_schema: String,
    parent: String,
    parent_columns: Vec<String>,
}

/// A table, its primary key and its policies.
pub struct Table {
    schema: String,
    name: String,
    primary_key: Option<String>,
    guarded: bool,
    policies: Vec<String>,
}

/// What the clean database has, for pgTAP to assert.
pub struct Tap {
    pub indexes: Vec<Index>,
    pub keys: Vec<Key>,
    pub tables: Vec<Table>,
}

/// pgTAP's own script, without the lines that are psql's: so it also runs on a server that came without it.
fn script() -> String {
    let folders = fs::read_dir("/usr/share/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("extension"));
    let files = folders
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten())
        .map(|entry| entry.path());
    let whole = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.strip_prefix("pgtap--").is_some_and(|rest| !rest.contains("--") && !rest.contains("unpackaged"))
            && path.extension().is_some_and(|extension| extension == "sql")
    };
    let newest = files
        .filter(whole)
        .max()
        .expect("pgTAP is missing: apt-get install postgresql-pgtap, or make prerequisites with interop");
    let text = fs::read_to_string(&newest).unwrap_or_else(|error| panic!("{}: {error}", newest.display()));
    text.lines().filter(|line| !line.starts_with('\\')).collect::<Vec<_>>().join("\n")
}

const INDEXES: &str = "SELECT n.nspname::text, t.relname::text, c.relname::text, \
      ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY k(num, at) JOIN pg_attribute a ON \
      a.attrelid = t.oid AND a.attnum = k.num \
        WHERE k.at <= i.indnkeyatts ORDER BY k.at), i.indisunique, pg_get_expr(i.indpred, i.indrelid), \
        m.amname::text \
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid JOIN \
    pg_namespace n ON n.oid = t.relnamespace \
    JOIN pg_am m ON m.oid = c.relam WHERE n.nspname = ANY($1) AND NOT c.relispartition AND t.relname <> \
    '_prisma_migrations' AND 0 <> ALL(i.indkey) \
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', \
      'u', 'x')) ORDER BY 1, 2, 3";

const KEYS: &str = "SELECT n.nspname::text, t.relname::text, k.conname::text, \
      ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(num, at) JOIN pg_attribute a ON \
      a.attrelid = t.oid AND a.attnum = u.num ORDER BY u.at), \
      pn.nspname::text, p.relname::text, \
      ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(num, at) JOIN pg_attribute a ON \
      a.attrelid = p.oid AND a.attnum = u.num ORDER BY u.at) \
    FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace \
    JOIN pg_class p ON p.oid = k.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace \
    WHERE k.contype = 'f' AND k.conparentid = 0 AND n.nspname = ANY($1) ORDER BY 1, 2, 3";

const TABLES: &str = "SELECT n.nspname::text, t.relname::text, (SELECT k.conname::text FROM pg_constraint k \
    WHERE k.conrelid = t.oid AND k.contype = 'p'), \
      t.relrowsecurity, ARRAY(SELECT p.polname::text FROM pg_policy p WHERE p.polrelid = t.oid ORDER BY 1) \
    FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace WHERE t.relkind IN ('r', 'p') AND NOT \
    t.relispartition \
      AND t.relname <> '_prisma_migrations' AND n.nspname = ANY($1) ORDER BY 1, 2";

async fn rows(session: &mut PgConnection, sql: &'static str, schemas: &[String]) -> Vec<PgRow> {
    sqlx::query(sql)
        .bind(schemas)
        .persistent(false)
        .fetch_all(session)
        .await
        .unwrap_or_else(|error| panic!("{error}\nin {sql}"))
}

/// A text in SQL.
fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

fn names(values: &[String]) -> String {
    format!("ARRAY[{}]::name[]", values.iter().map(|value| text(value)).collect::<Vec<_>>().join(", "))
}

/// As PostgreSQL prints an index: pgTAP wants the names so.
fn printed(values: &[String]) -> String {
    format!(
        "ARRAY[{}]::name[]",
        values.iter().map(|value| format!("quote_ident({})", text(value))).collect::<Vec<_>>().join(", ")
    )
}

fn quoted(values: &[String]) -> String {
    values.iter().map(|value| format!("\"{value}\"")).collect::<Vec<_>>().join(", ")
}

impl Tap {
    /// Installs pgTAP into a schema of its own, which no check reads, and reads what the clean database has.
    pub async fn install(session: &mut PgConnection, schemas: &[String]) -> Self {
        execute(
            session,
            &format!(
                "CREATE SCHEMA tap; SET search_path = tap; {}; RESET search_path; GRANT USAGE ON SCHEMA \
                tap TO PUBLIC",
                script()
            ),
        )
        .await;
        let index = |row: &PgRow| Index {
            schema: row.get(0),
            table: row.get(1),
            name: row.get(2),
            columns: row.get(3),
            unique: row.get(4),
            predicate: row.get(5),
            method: row.get(6),
        };
        let key = |row: &PgRow| Key {
            schema: row.get(0),
            table: row.get(1),
            name: row.get(2),
            columns: row.get(3),
            parent_schema: row.get(4),
            parent: row.get(5),
            parent_columns: row.get(6),
        };
        let table = |row: &PgRow| Table {
            schema: row.get(0),
            name: row.get(1),
            primary_key: row.get(2),
            guarded: row.get(3),
            policies: row.get(4),
        };
        Self {
            indexes: rows(session, INDEXES, schemas).await.iter().map(index).collect(),
            keys: rows(session, KEYS, schemas).await.iter().map(key).collect(),
            tables: rows(session, TABLES, schemas).await.iter().map(table).collect(),
        }
    }

    /// Has Sluice require what pgTAP asserts.
    pub fn require_everything(&self, scope: &mut Scope) {
        scope.assertions = assertions(&json!({"conventions": {}}));
        let index = |index: &Index| RequiredIndex {
            table: format!("{}.{}", index.schema, index.table),
            columns: index.columns.clone(),
            unique: index.unique.then_some(true),
            method: Some(index.method.clone()),
            predicate: index.predicate.clone(),
            name: Some(index.name.clone()),
        };
        let key = |key: &Key| RequiredForeignKey {
            table: format!("{}.{}", key.schema, key.table),
            columns: key.columns.clone(),
            references: format!("{}.{}", key.parent_schema, key.parent),
            referenced_columns: key.parent_columns.clone(),
            on_delete: None,
            on_update: None,
        };
        scope.indexes.require = self.indexes.iter().map(index).collect();
        scope.indexes.must_use.clear();
        scope.assertions.foreign_keys.require = self.keys.iter().map(key).collect();
    }

    /// Ways to break the schema, one for each thing that there is.
    pub fn breaks(&self) -> Vec<String> {
        let mut breaks = Vec::new();
        for (number, index) in self.indexes.iter().enumerate() {
            let sql = format!("DROP INDEX \"{}\".\"{}\"", index.schema, index.name);
            let filter =
                index.predicate.as_ref().map_or_else(String::new, |predicate| format!(" WHERE {predicate}"));
            let again = |name: &str| {
                let on = format!("\"{}\".\"{}\"", index.schema, index.table);
                format!(
                    "CREATE INDEX \"{name}\" ON {on} USING {} ({}){filter}",
                    index.method,
                    quoted(&index.columns)
                )
            };
            if index.unique {
                breaks.push(format!("{sql}; {}", again(&index.name)));
            } else if number < 3 {
                breaks.push(again("cross_same"));
            }
            breaks.push(sql);
        }
        let alter =
            |schema: &str, table: &str, what: &str| format!("ALTER TABLE \"{schema}\".\"{table}\" {what}");
        breaks.extend(
            self.keys
                .iter()
                .map(|key| alter(&key.schema, &key.table, &format!("DROP CONSTRAINT \"{}\"", key.name))),
        );
        for Table { schema, name, primary_key, guarded, policies } in &self.tables {
            breaks.extend(
                primary_key
                    .iter()
                    .map(|key| alter(schema, name, &format!("DROP CONSTRAINT \"{key}\" CASCADE"))),
            );
            breaks.extend(guarded.then(|| alter(schema, name, "DISABLE ROW LEVEL SECURITY")));
            breaks.extend(
                policies.iter().map(|policy| format!("DROP POLICY \"{policy}\" ON \"{schema}\".\"{name}\"")),
            );
        }
        breaks
    }

    /// What pgTAP says is wrong and Sluice does not, and the other way round: the assertion, the object, and
    /// whether it is Sluice that says so.
    pub async fn differences(
        &self,
        session: &mut PgConnection,
        found: &[Finding],
    ) -> Vec<(&'static str, String, bool)> {
        execute(
            session,
            "SET LOCAL search_path = tap, pg_catalog; SET LOCAL client_min_messages = error; \
            SELECT * FROM tap.no_plan()",
        )
        .await;
        let mut left = Vec::new();
        for (name, check, assertions) in [
            ("has_index", "index-required", self.of_indexes()),
            ("fk_ok", "foreign-key-required", self.of_keys()),
            ("has_pk", "primary-key", self.of_tables()),
        ] {
            let theirs = wrong(session, &assertions).await;
            let ours: BTreeSet<_> = found
                .iter()
                .filter(|finding| finding.check.name() == check)
                .map(|finding| finding.object.clone())
                .collect();
            left.extend(
                theirs
                    .symmetric_difference(&ours)
                    .map(|object| (name, object.clone(), ours.contains(object))),
            );
        }
        // What is found of a table is not always about a policy that is gone, so only one side can be
        // compared.
        let isolation = |finding: &&Finding| {
            finding.check.name().starts_with("rls-") || finding.check.name() == "tenant-isolation"
        };
        let ours: BTreeSet<_> =
            found.iter().filter(isolation).map(|finding| finding.object.clone()).collect();
        let theirs = wrong(session, &self.of_policies()).await;
        left.extend(
            theirs
                .into_iter()
                .filter(|object| !ours.contains(object))
                .map(|object| ("policies_are", object, false)),
        );
        execute(session, "RESET search_path; RESET client_min_messages").await;
        left
    }

    fn of_indexes(&self) -> Vec<String> {
        let each = |Index { schema, table, name, columns, unique, .. }: &Index| {
            let (object, place) = (
                text(&format!("{schema}.{table}")),
                format!("{}, {}, {}", text(schema), text(table), text(name)),
            );
            let there = format!("({object}, tap.has_index({place}, {}, ''::text))", printed(columns));
            let one = unique.then(|| format!("({object}, tap.index_is_unique({place}, ''::text))"));
            std::iter::once(there).chain(one).collect::<Vec<_>>()
        };
        self.indexes.iter().flat_map(each).collect()
    }

    fn of_keys(&self) -> Vec<String> {
        let each = |Key { schema, table, columns, parent_schema, parent, parent_columns, .. }: &Key| {
            let (own, other) = (
                format!("{}, {}", text(schema), text(table)),
                format!("{}, {}", text(parent_schema), text(parent)),
            );
            let object = text(&format!("{schema}.{table}"));
            format!(
                "({object}, tap.fk_ok({own}, {}, {other}, {}, ''::text))",
                names(columns),
                names(parent_columns)
            )
        };
        self.keys.iter().map(each).collect()
    }

    fn of_tables(&self) -> Vec<String> {
        let each = |table: &Table| {
            let (schema, name) = (text(&table.schema), text(&table.name));
            format!(
                "({}, tap.has_pk({schema}::name, {name}::name, ''::text))",
                text(&format!("{}.{}", table.schema, table.name))
            )
        };
        self.tables.iter().map(each).collect()
    }

    fn of_policies(&self) -> Vec<String> {
        let each = |table: &Table| {
            let (schema, name, policies) = (text(&table.schema), text(&table.name), names(&table.policies));
            format!(
                "({}, tap.policies_are({schema}::name, {name}::name, {policies}, ''::text))",
                text(&format!("{}.{}", table.schema, table.name))
            )
        };
        self.tables.iter().filter(|table| table.guarded).map(each).collect()
    }
}

/// The objects of which an assertion does not hold.
async fn wrong(session: &mut PgConnection, assertions: &[String]) -> BTreeSet<String> {
    if assertions.is_empty() {
        return BTreeSet::new();
    }
    let sql = format!(
        "SELECT a.object FROM (VALUES {}) AS a(object, said) WHERE a.said NOT LIKE 'ok %'",
        assertions.join(", ")
    );
    objects(session, &sql).await
}
