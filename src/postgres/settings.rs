//! What a file sets for its session, carried from one of its transactions to the next. No statement of a file
//! runs a second time for it: Sluice reads from the server what is set, before a step and after it, and the
//! difference is set again before the next one.
//!
//! PostgreSQL lists its own settings. Those that a file makes up (`app.tenant`) are in no list, so Sluice
//! reads them by name: whatever looks like such a name in the file. One that is put together at run time is
//! not carried.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::{QueryContext, QueryError, query, query_as};

/// Names and values.
pub type Values = BTreeMap<String, String>;

/// What one file has set so far.
#[derive(Debug, Default)]
pub struct Settings {
    /// Names in the file that may be settings of its own.
    own: Vec<String>,
    /// What the steps before have set.
    carried: Values,
    /// What was set when the step began.
    before: Values,
}

/// Belongs to one transaction, or decides how this session reads text, which splitting the file has settled;
/// or is Sluice's.
const NOT_CARRIED: [&str; 7] = [
    "application_name",
    "backslash_quote",
    "client_encoding",
    "standard_conforming_strings",
    "transaction_deferrable",
    "transaction_isolation",
    "transaction_read_only",
];
/// These two come last, in this order: the first resets the second, and what comes before may need the
/// session's own rights.
const WHO: [&str; 2] = ["session_authorization", "role"];

/// What is set in this session; and of these, `$1`, what they are now; and the file's own, `$2`. It runs with
/// whatever `search_path` the file has set, so every name is qualified, the operators too.
const READ: &str = "\
    SELECT s.name, pg_catalog.current_setting(s.name) FROM pg_catalog.pg_settings s \
    WHERE s.source OPERATOR(pg_catalog.=) 'session'::pg_catalog.text OR s.name OPERATOR(pg_catalog.=) ANY \
    ($1::pg_catalog.text[]) \
    UNION ALL SELECT n, COALESCE(pg_catalog.current_setting(n, true), '') FROM \
    pg_catalog.unnest($2::pg_catalog.text[]) AS own(n) \
    UNION ALL SELECT 'session_authorization', session_user::pg_catalog.text \
    UNION ALL SELECT 'role', pg_catalog.current_setting('role')";

impl Settings {
    /// Of this file, of which nothing ran yet.
    pub fn of_file(sql: &str) -> Self {
        Self { own: own_names(sql).into_iter().collect(), ..Self::default() }
    }

    /// What the steps so far have set.
    pub fn carried(&self) -> &Values {
        &self.carried
    }

    /// Goes on from what an earlier attempt wrote down.
    pub fn go_on_from(&mut self, carried: Values) {
        self.carried = carried;
    }

    /// Sets again what the steps before have set, and begins to watch.
    pub(super) async fn restore(
        &mut self,
        connection: &mut PgConnection,
        in_transaction: bool,
    ) -> Result<(), QueryError> {
        self.set_again(connection, in_transaction).await?;
        self.before = self.read(connection, &[]).await?;
        Ok(())
    }

    /// Sets again what the steps before have set, until the transaction ends or, where there is none, until
    /// it is reset.
    pub(super) async fn set_again(
        &self,
        connection: &mut PgConnection,
        in_transaction: bool,
    ) -> Result<(), QueryError> {
        let (who, others): (Vec<_>, Vec<_>) =
            self.carried.iter().partition(|(name, _)| WHO.contains(&name.as_str()));
        if !others.is_empty() {
            let (names, values): (Vec<&String>, Vec<&String>) = others.into_iter().unzip();
            query(
                "SELECT pg_catalog.set_config(s.name, s.value, $3) FROM ROWS FROM \
                (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) AS \
                s(name, value)",
            )
            .bind(names)
            .bind(values)
            .bind(in_transaction)
            .execute(&mut *connection)
            .await
            .context("set again what the file has set")?;
        }
        for name in WHO {
            if let Some((name, value)) = who.iter().find(|(carried, _)| *carried == name) {
                query("SELECT pg_catalog.set_config($1, $2, $3)")
                    .bind(name)
                    .bind(value)
                    .bind(in_transaction)
                    .execute(&mut *connection)
                    .await
                    .context("become again the role that the file has set")?;
            }
        }
        Ok(())
    }

    /// Notes what the step has changed.
    pub(super) async fn note(&mut self, connection: &mut PgConnection) -> Result<(), QueryError> {
        let known: Vec<String> = self.before.keys().cloned().collect();
        let after = self.read(connection, &known).await?;
        let changed = after.into_iter().filter(|(name, value)| self.before.get(name) != Some(value));
        self.carried.extend(changed.filter(|(name, _)| !NOT_CARRIED.contains(&name.as_str())));
        Ok(())
    }

    /// Takes back what was set until the transaction ended, where the file itself ended it.
    pub fn end_local(&mut self, earlier: Values, names: &[String]) {
        let is_local = |name: &str| names.iter().any(|local| local.eq_ignore_ascii_case(name));
        self.carried.retain(|name, _| !is_local(name));
        self.carried.extend(earlier.into_iter().filter(|(name, _)| is_local(name)));
    }

    async fn read(&self, connection: &mut PgConnection, known: &[String]) -> Result<Values, QueryError> {
        let rows: Vec<(String, String)> = query_as(READ)
            .bind(known)
            .bind(&self.own)
            .fetch_all(connection)
            .await
            .context("read what the file has set")?;
        Ok(rows.into_iter().collect())
    }
}

/// Everything in a text that could be the name of a setting of its own: words with a dot between them. PURE.
fn own_names(sql: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.');
    let unquoted = sql.replace('"', "");
    let words = unquoted.split(|c: char| !word(c)).map(|name| name.trim_matches('.'));
    let part = |part: &str| part.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let names = words.filter(|name| name.contains('.') && name.len() < 128 && name.split('.').all(part));
    names.map(str::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_files_own_settings_are_found_wherever_they_stand() {
        let sql = "SET app.Tenant = 7; SELECT SET_CONFIG('my.x', 1.5::text, false), 'a.b.c'; SET \"q\".\"r\" \
            = 1; -- 1.x .y z.\nSELECT 2.5 FROM a..b";
        let names: Vec<_> = own_names(sql).into_iter().collect();
        assert_eq!(names, ["a.b.c", "app.tenant", "my.x", "q.r"]);
    }
}
