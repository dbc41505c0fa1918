//! A setting of the session that outlives its file. Prisma runs all pending files, and writes its history, in
//! one session; Sluice puts settings back where a file ends. So the next files run differently, and some
//! settings keep Prisma from its own history.

use std::collections::BTreeMap;

use super::{Fault, File, NOT_PORTABLE, Objection};
use crate::sql::{Cursor, TokenKind};

/// Settings that change nothing of what a later file leaves behind: names, messages, and limits, which in
/// Sluice are the manifest's.
const WITHOUT_TRACE: [&str; 7] = [
    "application_name",
    "client_encoding",
    "client_min_messages",
    "idle_in_transaction_session_timeout",
    "lock_timeout",
    "statement_timeout",
    "transaction_timeout",
];

/// Values that are PostgreSQL's own defaults: pg_dump begins every file with some of them.
const DEFAULTS: [(&str, &str); 6] = [
    ("default_table_access_method", "heap"),
    ("default_tablespace", ""),
    ("default_transaction_read_only", "off"),
    ("row_security", "on"),
    ("standard_conforming_strings", "on"),
    ("xmloption", "content"),
];

/// What the files so far have left set.
#[derive(Default)]
pub(super) struct Leaks<'a> {
    open: Option<Leak<'a>>,
}

struct Leak<'a> {
    /// Without the names of settings that the next file decides itself.
    objection: Objection<'a>,
    names: Vec<String>,
    /// Prisma fails before any other file runs.
    at_once: bool,
}

impl<'a> Leaks<'a> {
    /// What the files before have left to this one.
    pub(super) fn left_to(&mut self, file: &File<'_>) -> Option<Objection<'a>> {
        if file.statements.is_empty() {
            return None;
        }
        let own = names_set(file);
        self.open
            .take()
            .filter(|leak| leak.at_once || leak.names.iter().any(|name| !own.contains(name)))
            .map(|leak| leak.objection)
    }

    /// What the last file leaves to Prisma itself.
    pub(super) fn left_to_prisma(self) -> Option<Objection<'a>> {
        self.open.filter(|leak| leak.at_once).map(|leak| leak.objection)
    }

    /// Notes what this file leaves set.
    pub(super) fn after(&mut self, file: &File<'a>) {
        let left = left(file);
        let Some(line) = left.values().map(|set| set.line).min() else { return };
        let fails = left.iter().find_map(|(name, set)| Some((set.line, stops_prisma(name, &set.value)?)));
        let names: Vec<String> = left.into_keys().collect();
        let listed = names.join(", ");
        let (line, message) = match fails {
            Some((line, how)) => (
                line,
                format!("Prisma runs this file and then {how}: what is set here holds for its whole session"),
            ),
            None => (
                line,
                format!(
                    "{listed} set here holds for the files after this one where Prisma deploys them in the \
                        same call, which is one session; in Sluice \
                     it ends with the file"
                ),
            ),
        };
        let remedy =
            "write SET LOCAL, or true as the third argument of set_config: that ends with the file in both"
                .to_owned();
        let objection = file.objection(NOT_PORTABLE, Fault { line, message, remedy });
        self.open = objection.map(|objection| Leak { objection, names, at_once: fails.is_some() });
    }
}

/// How Prisma fails to write its own history.
fn stops_prisma(name: &str, value: &str) -> Option<&'static str> {
    match name {
        "search_path" if !schemas(value).any(|schema| schema == "public") => Some(
            "fails with P1014, because it does not find its history, unless that is in one of these schemas",
        ),
        "role" | "session_authorization" => {
            Some("fails with SQLSTATE 42501, unless this role may write Prisma's history")
        }
        "default_transaction_read_only" => {
            Some("fails with SQLSTATE 25006, because it cannot write its history")
        }
        _ => None,
    }
}

fn schemas(value: &str) -> impl Iterator<Item = String> {
    value
        .split(',')
        .map(|schema| schema.trim().trim_matches(['\'', '"']).to_lowercase())
        .filter(|schema| !schema.is_empty())
}

fn is_the_default(name: &str, value: &str) -> bool {
    let value = value.to_lowercase();
    let value = match value.as_str() {
        "true" | "yes" | "1" => "on",
        "false" | "no" | "0" => "off",
        value => value,
    };
    let path = name == "search_path"
        && schemas(value).any(|schema| schema == "public")
        && schemas(value).all(|schema| schema == "public" || schema == "$user");
    path || DEFAULTS.contains(&(name, value))
}

struct Set {
    line: u32,
    value: String,
}

/// What a file has set and not put back.
fn left(file: &File<'_>) -> BTreeMap<String, Set> {
    let mut left = BTreeMap::new();
    for statement in &file.statements {
        for change in changes(statement.sql) {
            match change {
                Change::Set(name, value) if is_the_default(&name, &value) => drop(left.remove(&name)),
                Change::Set(name, value) => {
                    left.entry(name).or_insert(Set { line: statement.line, value: String::new() }).value =
                        value;
                }
                Change::Reset(name) => drop(left.remove(&name)),
                Change::ResetAll => left.retain(|name, _| name == "role" || name == "session_authorization"),
            }
        }
    }
    left.retain(|name, _| !WITHOUT_TRACE.contains(&name.as_str()));
    left
}

/// What a file decides itself, whatever was set before it.
fn names_set(file: &File<'_>) -> Vec<String> {
    let named = |change| match change {
        Change::Set(name, _) | Change::Reset(name) => Some(name),
        Change::ResetAll => None,
    };
    file.statements.iter().flat_map(|statement| changes(statement.sql)).filter_map(named).collect()
}

#[derive(Debug, PartialEq, Eq)]
enum Change {
    Set(String, String),
    Reset(String),
    ResetAll,
}

/// What one statement changes for the session.
fn changes(sql: &str) -> Vec<Change> {
    let mut cursor = Cursor::of(sql);
    match cursor.eat_any(&["SET", "RESET", "SELECT"]) {
        Some("SET") if !cursor.at_any(&["LOCAL", "CONSTRAINTS", "TRANSACTION"]) => {
            set(&mut cursor).into_iter().collect()
        }
        Some("RESET") if cursor.at("ALL") => vec![Change::ResetAll],
        Some("RESET") => name(&mut cursor).map(Change::Reset).into_iter().collect(),
        Some("SELECT") => set_by_function(&cursor),
        _ => Vec::new(),
    }
}

fn set(cursor: &mut Cursor<'_>) -> Option<Change> {
    if cursor.eat(&["SESSION", "CHARACTERISTICS", "AS", "TRANSACTION"]) {
        let only = cursor.mentions("ONLY");
        return only.then(|| Change::Set("default_transaction_read_only".to_owned(), "on".to_owned()));
    }
    let name = name(cursor)?;
    if !cursor.eat(&["TO"]) {
        cursor.eat_symbol(b'=');
    }
    let tokens = cursor.clone().rest().map(|token| (token.kind, cursor.text(token)));
    // One string is a value in quotes, more than one a list.
    let parts: Vec<&str> = tokens
        .map(|(kind, text)| if kind == TokenKind::Text { text.trim_matches('\'') } else { text })
        .collect();
    let value = parts.concat();
    let back = value.eq_ignore_ascii_case("DEFAULT") || name == "role" && value.eq_ignore_ascii_case("NONE");
    Some(if back { Change::Reset(name) } else { Change::Set(name, value) })
}

/// The name of a setting, under whichever of its names.
fn name(cursor: &mut Cursor<'_>) -> Option<String> {
    let special: [(&[&str], &str); 7] = [
        (&["SESSION", "AUTHORIZATION"], "session_authorization"),
        (&["SESSION", "ROLE"], "role"),
        (&["ROLE"], "role"),
        (&["TIME", "ZONE"], "timezone"),
        (&["SCHEMA"], "search_path"),
        (&["NAMES"], "client_encoding"),
        (&["XML", "OPTION"], "xmloption"),
    ];
    if let Some((_, name)) = special.into_iter().find(|(words, _)| cursor.eat(words)) {
        return Some(name.to_owned());
    }
    cursor.eat(&["SESSION"]);
    cursor.name().map(|name| name.0.join(".").to_lowercase())
}

/// `set_config('name', 'value', false)`, wherever it stands in a query.
fn set_by_function(cursor: &Cursor<'_>) -> Vec<Change> {
    let tokens: Vec<(TokenKind, &str)> =
        cursor.clone().rest().map(|token| (token.kind, cursor.text(token))).collect();
    let calls = tokens.windows(8).filter_map(|call| match call {
        [
            (_, function),
            (_, "("),
            (TokenKind::Text, name),
            (_, ","),
            (TokenKind::Text, value),
            (_, ","),
            (_, local),
            (_, ")"),
        ] if function.eq_ignore_ascii_case("set_config")
            && local.trim_matches('\'').to_lowercase().starts_with('f') =>
        {
            Some(Change::Set(name.trim_matches('\'').to_lowercase(), value.trim_matches('\'').to_owned()))
        }
        _ => None,
    });
    calls.collect()
}

#[cfg(test)]
mod tests {
    use super::{super::tests::said, *};

    #[test]
    fn each_way_to_set_something_is_read() {
        let set = |name: &str, value: &str| vec![Change::Set(name.to_owned(), value.to_owned())];
        let reset = |name: &str| vec![Change::Reset(name.to_owned())];
        for (sql, expected) in [
            ("SET search_path = a, \"B\"", set("search_path", "a,\"B\"")),
            ("set session Search_Path to 'a'", set("search_path", "a")),
            ("SET SCHEMA 'a'", set("search_path", "a")),
            ("SET TIME ZONE 'UTC'", set("timezone", "UTC")),
            ("SET ROLE a", set("role", "a")),
            ("SET SESSION AUTHORIZATION a", set("session_authorization", "a")),
            (
                "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
                set("default_transaction_read_only", "on"),
            ),
            ("SELECT 1, pg_catalog.set_config('App.Tenant', '1', false)", set("app.tenant", "1")),
            ("SET ROLE NONE", reset("role")),
            ("SET a.b TO DEFAULT", reset("a.b")),
            ("RESET SESSION AUTHORIZATION", reset("session_authorization")),
            ("RESET ALL", vec![Change::ResetAll]),
        ] {
            assert_eq!(changes(sql), expected, "{sql}");
        }
        for sql in [
            "SET LOCAL a = 1",
            "SET CONSTRAINTS ALL DEFERRED",
            "SELECT set_config('a', 'b', true)",
            "UPDATE t SET a = 1",
            "SELECT 1",
        ] {
            assert_eq!(changes(sql), [], "{sql}");
        }
    }

    #[test]
    fn what_keeps_prisma_from_its_history_is_told_of_the_last_file_too() {
        for (sql, code) in [
            ("SELECT 1;\nSET search_path = a;", "P1014"),
            ("\nSELECT pg_catalog.set_config('search_path', '', false);", "P1014"),
            ("\nSET ROLE a; RESET ALL;", "42501"),
            ("\nSET default_transaction_read_only = on;", "25006"),
        ] {
            let said = said(&[sql]);
            assert!(
                said.len() == 1 && said[0].starts_with("0:2: ") && said[0].contains(code),
                "{sql}: {said:?}"
            );
        }
    }

    #[test]
    fn other_settings_are_told_where_a_file_comes_after_them() {
        let leaks = "SELECT 1;\nSET search_path = a, public; SET TIME ZONE 'UTC'; SET lock_timeout = '5s';";
        let silent: [String; 0] = [];
        assert_eq!(said(&[leaks]), silent);
        assert_eq!(said(&[leaks, "-- empty"]), silent);
        let told = said(&[leaks, "", "SELECT 1;"]);
        assert!(told.len() == 1 && told[0].starts_with("0:2: search_path, timezone set here"), "{told:?}");
        assert_eq!(
            said(&["SET search_path = a, public;", "SET search_path = b, public; RESET search_path;"]),
            silent,
            "it decides itself"
        );
    }

    #[test]
    fn what_is_put_back_or_a_default_or_without_a_trace_is_silent() {
        for sql in [
            "SET search_path = a; SELECT 1; RESET search_path;",
            "SET search_path = a; SELECT set_config('search_path', '\"$user\", public', false);",
            "SET LOCAL search_path = a;",
            "SET ROLE a; SELECT 1; RESET ROLE;",
            "SET statement_timeout = 0; SET lock_timeout TO '5s'; SET xmloption = content; SET row_security \
                = true; SET client_min_messages = warning;",
        ] {
            assert_eq!(said(&[sql, "SELECT 1;"]), Vec::<String>::new(), "{sql}");
        }
    }
}
