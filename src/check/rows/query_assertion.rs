//! The queries of the manifest have the results that it expects.

use std::io;

use sqlx::{AssertSqlSafe, PgConnection};

use super::volatile;
use crate::{
    api::{CheckId, Expectation, Finding, QueryAssertion, Severity},
    check::Check,
    inspect::{
        Aspect, CheckError, Meta, QueryContext, Scope, sql,
        trial::{self, Refusal},
    },
    limits::CANCEL_GRACE,
    postgres::{log_values, query_as},
    redact,
    sql::{Statement, Verb, split},
};

const META: Meta = Meta {
    id: CheckId::QueryAssertion,
    title: "Every query of the manifest has the result that it expects",
    condition: "A query of `spec.verify.queries` finds rows where none are expected, none where some are, or \
        another value than the expected one; \
                or it cannot be answered: it is not one single SELECT, WITH, VALUES or TABLE, it writes, it \
                names what does not exist, it \
                does not end within its timeout, it calls a function that is VOLATILE, or it would see only \
                the rows that a policy lets through. Of \
                VOLATILE functions those of PostgreSQL that only answer may be called (times, chance, sizes, \
                `pg_sleep` and the like); views and domains are followed, functions are taken for what they \
                are declared to be. Queries are run by the role of \
                the connection URL (the migration role), after everything is committed, in a read-only \
                transaction that is rolled back, \
                with `row_security = off` and the schemas of `spec.database.schemas` as search path.",
    effect: "What you said must be true of the rows is not, or Sluice cannot tell whether it is.",
    remedy: "Mend the rows in a migration, or correct the query. A role that row-level security binds cannot \
        answer for all rows: give the \
             migration role BYPASSRLS. At most four rows are read; the first column of the first three \
             stands in the finding where it is a short number, true, \
             false or a UUID. Other values stand in the container's log only, and only with \
             `spec.apply.logData`.",
    severity: Severity::Error,
    aspect: Aspect::Data,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| !scope.assertions.queries.is_empty(),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

/// The first rows, each a list of values as text.
type Rows = Vec<Vec<Option<String>>>;

/// One row more than is shown, so that it is known whether there are more.
const MOST: usize = 4;

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let mut found = Vec::new();
    for asserted in &scope.assertions.queries {
        let answer = match single(&asserted.sql) {
            Err(problem) => Err(Refusal { code: String::new(), message: problem }),
            Ok(sql) => ask(connection, asserted, &sql, &scope.schemas).await?,
        };
        let finding = judge(asserted, &answer);
        if let (Some(_), Ok(rows)) = (&finding, &answer) {
            log_values(&asserted.name, &rows.iter().flatten().flatten().cloned().collect::<Vec<_>>());
        }
        found.extend(finding);
    }
    Ok(found)
}

/// A function that catches the cancellation goes on for ever; then the session is given up, and its back end
/// ends when it notices that no client listens.
fn ignores_its_timeout(name: &str) -> sqlx::Error {
    let message = format!(
        "the query {name:?} went on after it was cancelled: a function that it calls catches query_canceled"
    );
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, message))
}

async fn ask(
    connection: &mut PgConnection,
    asserted: &QueryAssertion,
    sql: &str,
    schemas: &[String],
) -> Result<Result<Rows, Refusal>, CheckError> {
    trial::begin(connection).await?;
    let answer = answer(connection, asserted, sql, schemas).await?;
    trial::end(connection).await?;
    Ok(answer)
}

/// Reads the view of the query, whose functions are known by then.
async fn answer(
    connection: &mut PgConnection,
    asserted: &QueryAssertion,
    sql: &str,
    schemas: &[String],
) -> Result<Result<Rows, Refusal>, CheckError> {
    let granted = asserted.timeout.duration();
    let limit = format!("SET LOCAL statement_timeout = {}", granted.as_millis().max(1));
    sqlx::raw_sql(AssertSqlSafe(limit))
        .execute(&mut *connection)
        .await
        .context("limit a query of spec.verify.queries")?;
    match volatile::define(connection, &wrap(sql), schemas).await? {
        Err(refusal) => return Ok(Err(refusal)),
        Ok(called) if !called.is_empty() => return Ok(Err(may_do_more(&called))),
        Ok(_) => {}
    }
    trial::only_read(connection, granted).await?;
    trial::look_in(connection, schemas).await?;
    let rows = query_as(AssertSqlSafe(format!("TABLE {}", volatile::VIEW))).fetch_all(&mut *connection);
    let rows = tokio::time::timeout(granted + CANCEL_GRACE, rows)
        .await
        .unwrap_or_else(|_| Err(ignores_its_timeout(&asserted.name)));
    let rows =
        rows.map(|rows: Vec<(Vec<Option<String>>,)>| rows.into_iter().map(|(values,)| values).collect());
    trial::answer(rows, "run a query of spec.verify.queries")
}

/// In place of an SQLSTATE: Sluice refuses, before PostgreSQL sees it.
const VOLATILE: &str = "volatile";

/// A transaction that only reads forbids no function to end a session, to give up a lock, or to reach another
/// server.
fn may_do_more(called: &[String]) -> Refusal {
    let message = format!(
        "it calls {}: what is VOLATILE may do more than read, and no rollback undoes that",
        sql::few(called, 3)
    );
    Refusal { code: VOLATILE.to_owned(), message }
}

/// As a subquery, so that nothing but a query is possible, not even COMMIT. The newline ends a comment at the
/// end.
fn wrap(sql: &str) -> String {
    format!(
        "SELECT ARRAY(SELECT pg_catalog.left(sluice_value.value, 1001) \
         FROM pg_catalog.json_each_text(pg_catalog.row_to_json(sluice_row)) AS sluice_value) AS \
         sluice_values \
         FROM (\n{sql}\n) AS sluice_row LIMIT {MOST}"
    )
}

/// The one query, without its semicolon. PostgreSQL would only find fault with the syntax of the wrapped
/// statement; this says what is meant. What cannot be split is left to PostgreSQL, which takes one statement
/// too.
fn single(text: &str) -> Result<String, String> {
    let pieces = split(text);
    let statements: Vec<&str> = pieces.statements.into_iter().map(|range| &text[range]).collect();
    let first = statements.first().copied().unwrap_or_default();
    if Statement::read(first).verb != Verb::Query {
        let word: String = first.chars().take_while(|c| c.is_alphabetic()).collect();
        return Err(format!(
            "only a query can be run (SELECT, WITH, VALUES or TABLE), and it begins with {word:?}"
        ));
    }
    match statements.as_slice() {
        _ if pieces.fault.is_some() => Ok(text.trim().trim_end_matches(';').to_owned()),
        [only] => Ok((*only).to_owned()),
        several => Err(format!("it has {} statements, and only one is allowed", several.len())),
    }
}

fn judge(asserted: &QueryAssertion, answer: &Result<Rows, Refusal>) -> Option<Finding> {
    let rows = match answer {
        Ok(rows) => rows,
        Err(refusal) => {
            let why = refusal.explain(asserted.timeout.duration());
            let message = format!("the query {:?} cannot be answered: {why}", asserted.name);
            return Some(META.finding(&asserted.name, message, remedy(refusal)));
        }
    };
    let complaint = match (asserted.expect, rows.as_slice()) {
        (Expectation::NoRows, []) => None,
        (Expectation::NoRows, rows) => Some(format!("found {}, and nothing is expected", shown(rows))),
        (Expectation::Rows, []) => Some("found nothing, and rows are expected".to_owned()),
        (Expectation::Rows, _) => None,
        (Expectation::Value, rows) => value(rows, asserted.value.as_deref().unwrap_or_default()),
    };
    let message = format!("the query {:?} {}", asserted.name, complaint?);
    Some(META.finding(
        &asserted.name,
        message,
        "mend the rows, or correct the query or what it must find in spec.verify.queries",
    ))
}

fn remedy(refusal: &Refusal) -> &'static str {
    match refusal.code.as_str() {
        VOLATILE => {
            "leave the function out; if it is your own and only reads, say so in a migration: ALTER FUNCTION \
                … STABLE"
        }
        "57014" => {
            "make the query faster, for instance by an index, or raise its timeout in spec.verify.queries"
        }
        "42501" => {
            "grant the migration role what it lacks, GRANT TEMPORARY ON DATABASE too; where row-level \
                security binds it, ALTER ROLE … BYPASSRLS"
        }
        "55P03" => "let Sluice verify again when the lock is released",
        _ => "correct spec.verify.queries: one statement that only reads",
    }
}

/// What is wrong with the one value that is expected.
fn value(rows: &[Vec<Option<String>>], expected: &str) -> Option<String> {
    match rows {
        [] => Some(format!("found nothing, and the value {expected:?} is expected")),
        [row] => match row.as_slice() {
            [Some(value)] if value == expected => None,
            [value] => Some(format!("found {}, and {expected:?} is expected", text(value.as_ref()))),
            columns => Some(format!("found {} columns, and one value is expected", columns.len())),
        },
        rows => Some(format!("found {}, and one value is expected", shown(rows))),
    }
}

fn text(value: Option<&String>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |value| redact::value(value))
}

/// The first column of the first rows.
fn shown(rows: &[Vec<Option<String>>]) -> String {
    let first: Vec<_> = rows
        .iter()
        .take(MOST - 1)
        .map(|row| row.first().map_or_else(|| "a row".to_owned(), |value| text(value.as_ref())))
        .collect();
    let more = if rows.len() >= MOST { " and more" } else { "" };
    format!("{}{more}", first.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Span;

    fn complaint(expect: Expectation, value: Option<&str>, rows: &[&[Option<&str>]]) -> Option<String> {
        let timeout = Span::from_secs(1);
        let asserted = QueryAssertion {
            name: "q".into(),
            sql: String::new(),
            expect,
            value: value.map(str::to_owned),
            timeout,
        };
        let owned = |row: &&[Option<&str>]| row.iter().map(|value| value.map(str::to_owned)).collect();
        judge(&asserted, &Ok(rows.iter().map(owned).collect())).map(|finding| finding.message)
    }

    #[test]
    fn each_expectation_is_met_or_said_to_be_missed() {
        use Expectation::{NoRows, Rows, Value};
        let (one, two): (&[Option<&str>], &[Option<&str>]) = (&[Some("1")], &[Some("2"), Some("secret")]);
        assert_eq!(complaint(NoRows, None, &[]), None);
        assert_eq!(
            complaint(NoRows, None, &[two]).as_deref(),
            Some("the query \"q\" found \"2\", and nothing is expected")
        );
        assert!(
            complaint(NoRows, None, &[&[Some("Jane Doe")][..]])
                .is_some_and(|message| !message.contains("Jane"))
        );
        assert!(
            complaint(NoRows, None, &[one, one, one, one])
                .is_some_and(|message| message.contains("\"1\", \"1\", \"1\" and more"))
        );
        assert_eq!(complaint(Rows, None, &[one]), None);
        assert!(complaint(Rows, None, &[]).is_some());
        assert_eq!(complaint(Value, Some("1"), &[one]), None);
        for rows in [&[][..], &[two][..], &[one, one][..], &[&[None][..]][..]] {
            assert!(complaint(Value, Some("1"), rows).is_some(), "{rows:?}");
        }
    }

    #[test]
    fn only_one_statement_that_begins_like_a_query_is_asked() {
        for sql in [
            "SELECT 1",
            " -- why\n/* and */ select 1",
            "((VALUES (1)))",
            "TABLE t",
            "WITH x AS (SELECT 1) SELECT 2",
            "/* a /* comment */ in one */ SELECT 1",
            "( -- why\n SELECT 1)",
        ] {
            assert!(single(sql).is_ok(), "{sql}");
        }
        for sql in [
            "",
            "COMMIT",
            "-- SELECT",
            "INSERT INTO t VALUES (1)",
            "selection",
            "/* SELECT 1",
            "SELECT 1; SELECT 2",
        ] {
            assert!(single(sql).is_err(), "{sql}");
        }
        assert_eq!(single("SELECT ';' ; -- the end").as_deref(), Ok("SELECT ';'"));
    }
}
