//! What is repeated of an error, and what is not: a server quotes rows and literals, and those belong to
//! people.
//!
//! PostgreSQL's own code names objects in most classes of errors, and quotes values in some. Code of the
//! database (RAISE, other languages, other servers) says what it likes under any code. DETAIL, HINT and
//! CONTEXT are kept only where they name objects. A value can stand where a name does (`name::regclass`,
//! `format('… %I', name)`): a name is repeated where the statement itself has it.

use std::fmt::Write as _;

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use super::names::Written;
use crate::{
    redact::{DATA, bounded, connection_strings, raise_format},
    visible::visible,
};

/// The most characters that are repeated of one error.
const MOST: usize = 800;

/// What an error says, without values of rows, bounded.
pub fn said(error: &sqlx::Error) -> String {
    said_of(error, "")
}

/// The same for an error of this text, from which the format of a RAISE may be repeated.
pub(super) fn said_of(error: &sqlx::Error, text: &str) -> String {
    match error {
        sqlx::Error::Database(database) => {
            let fields = database.try_downcast_ref::<PgDatabaseError>().map(Fields::of);
            short(&fields.map_or_else(|| withheld("", None), |fields| repeated(&fields, text)))
        }
        // A row was written and is not there, or a query that always has an answer has none.
        sqlx::Error::RowNotFound => {
            "the row is not there: a trigger, a rule or a policy of its table took it away; remove that"
                .to_owned()
        }
        other => short(&other.to_string()),
    }
}

/// What a server says when it refuses a log-in: it knows no row yet, and names whom it turned away.
pub(super) fn said_at_log_in(error: &sqlx::Error) -> String {
    let sqlx::Error::Database(database) = error else { return said(error) };
    let fields = database.try_downcast_ref::<PgDatabaseError>().map(Fields::of);
    let parts = |fields: &Fields<'_>| {
        [Some(fields.message), fields.detail, fields.hint]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("; ")
    };
    match fields {
        Some(fields)
            if ["08", "28", "3D", "42", "53", "55", "57"].contains(&fields.class())
                && !comes_from_others(&fields) =>
        {
            short(&parts(&fields))
        }
        _ => said(error),
    }
}

/// What an error of the server says.
pub fn said_by(error: &PgDatabaseError) -> String {
    short(&repeated(&Fields::of(error), ""))
}

fn short(message: &str) -> String {
    bounded(&visible(&connection_strings(message)), MOST)
}

/// Writes everything the server said into the log, for those who asked for it.
pub(crate) fn log_whole(error: &sqlx::Error) {
    if let sqlx::Error::Database(database) = error
        && let Some(error) = database.try_downcast_ref::<PgDatabaseError>()
    {
        let (detail, hint, context) = (error.detail(), error.hint(), error.r#where());
        tracing::warn!(target: DATA, sqlstate = error.code(), message = error.message(), detail, hint, context, "PostgreSQL said");
    }
}

/// What stays of values that a check found: nothing outside of the log, and there only for users who asked
/// for it.
pub(crate) fn log_values(what: &str, values: &[String]) {
    if values.is_empty() {
        return;
    }
    tracing::warn!(target: DATA, what, ?values, "values behind a finding");
}

/// What an error of the server consists of.
#[derive(Default)]
struct Fields<'a> {
    code: &'a str,
    message: &'a str,
    detail: Option<&'a str>,
    hint: Option<&'a str>,
    routine: Option<&'a str>,
    /// The server says where in the statement it is: it is about what is written there, and no row was read.
    placed: bool,
    /// It happened inside of a function, a DO block or the like.
    inside: bool,
    /// Names, each with what it names.
    names: Vec<(&'static str, &'a str)>,
}

impl<'a> Fields<'a> {
    fn of(error: &'a PgDatabaseError) -> Self {
        let names = [
            ("schema", error.schema()),
            ("table", error.table()),
            ("column", error.column()),
            ("data type", error.data_type()),
            ("constraint", error.constraint()),
        ];
        Self {
            code: error.code(),
            message: error.message(),
            detail: error.detail(),
            hint: error.hint(),
            routine: error.routine(),
            placed: matches!(error.position(), Some(PgErrorPosition::Original(_))),
            inside: error.r#where().is_some()
                || matches!(error.position(), Some(PgErrorPosition::Internal { .. })),
            names: names.into_iter().filter_map(|(what, name)| Some((what, name?))).collect(),
        }
    }

    /// The first two characters of the SQLSTATE.
    fn class(&self) -> &'a str {
        self.code.get(..2).unwrap_or_default()
    }
}

/// What an error's text may hold besides names.
#[derive(Debug, PartialEq)]
enum Holds {
    /// PostgreSQL names objects, in DETAIL and HINT too, or what was used as a name.
    Names,
    /// The message names objects, DETAIL quotes the row.
    NamesThenRow,
    /// The message quotes values.
    Values,
    /// Anything: code of the database wrote it, or code of another server.
    Anything,
}

/// Routines of PostgreSQL that pass on what other code says: PL/pgSQL's RAISE and ASSERT, PL/Python, PL/Perl,
/// PL/Tcl, foreign servers.
const OTHERS: [&str; 14] = [
    "exec_stmt_raise",
    "exec_stmt_assert",
    "PLy_output",
    "PLy_elog_impl",
    "plperl_call_perl_func",
    "plperl_util_elog",
    "do_util_elog",
    "pltcl_elog",
    "pgfdw_report_error",
    "dblink_res_error",
    "dblink_res_internalerror",
    "dblink_connstr_check",
    "dblink_security_check",
    "CreateSubscription",
];
/// What of these begins so, reads another server's answer: the subscriber's side of a replication.
const OF_PUBLISHERS: &str = "libpqrcv_";
/// Routines whose messages have a value without quotes, behind a colon or a blank: casts to `regoper` and
/// `regoperator`.
const WITHOUT_QUOTES: [&str; 4] = ["regoperin", "regoperatorin", "to_regoper", "to_regoperator"];
/// The routine of what the wire itself says.
pub(super) const WIRE: &str = "sluice";

/// The server always names the routine; what lacks it did not come from PostgreSQL.
fn comes_from_others(fields: &Fields<'_>) -> bool {
    let others = |routine: &str| OTHERS.contains(&routine) || routine.starts_with(OF_PUBLISHERS);
    fields.routine.is_none_or(others) || ["P0001", "P0004"].contains(&fields.code)
}

fn holds(fields: &Fields<'_>) -> Holds {
    if comes_from_others(fields) {
        return Holds::Anything;
    }
    match fields.class() {
        // libpq's answer to a connection string, of which it may quote a part.
        "08" if fields.routine != Some(WIRE) => Holds::Values,
        _ if WITHOUT_QUOTES.iter().any(|routine| fields.routine == Some(*routine)) => Holds::Anything,
        "08" | "0A" | "25" | "28" | "2B" | "3B" | "3D" | "3F" | "40" | "42" | "53" | "54" | "55" | "57"
        | "58" => Holds::Names,
        "23" | "44" => Holds::NamesThenRow,
        _ => Holds::Values,
    }
}

/// What may be repeated. PURE.
fn repeated(fields: &Fields<'_>, text: &str) -> String {
    match holds(fields) {
        Holds::Anything => withheld(fields.code, raise_format(text, fields.message).as_deref()),
        Holds::Values => with_names(without_values(fields.message), fields),
        Holds::NamesThenRow => with_names(fields.message.to_owned(), fields),
        Holds::Names if fields.code == "42601" && fields.placed => {
            with_names(without_token(fields.message), fields)
        }
        Holds::Names => {
            let names = ["3D", "3F", "42", "58"].contains(&fields.class());
            let written = Written::in_statement(text, fields.placed, fields.inside && names);
            let parts = [Some(fields.message), fields.detail, fields.hint];
            parts
                .into_iter()
                .flatten()
                .map(|part| written.only(&without_literals(part)))
                .collect::<Vec<_>>()
                .join("; ")
        }
    }
}

fn withheld(code: &str, format: Option<&str>) -> String {
    match format {
        Some(format) => format!("RAISE {format:?}, with values that are left out here"),
        None if code.is_empty() => "the server sent an error without the fields that PostgreSQL \
            sends"
            .to_owned(),
        None => "code of the database raised an error; its text may quote rows and is left out here \
            (spec.apply.logData)"
            .to_owned(),
    }
}

/// The message, and the names that it does not say itself.
fn with_names(mut message: String, fields: &Fields<'_>) -> String {
    let missing: Vec<String> = fields
        .names
        .iter()
        .filter(|(_, name)| !names(&message, name))
        .map(|(what, name)| format!("{what} {name:?}"))
        .collect();
    if !missing.is_empty() {
        let _ = write!(message, " ({})", missing.join(", "));
    }
    message
}

/// Whether a message has this name as a word of its own, whatever its quotes are.
fn names(message: &str, name: &str) -> bool {
    let part_of_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    message.match_indices(name).any(|(at, _)| {
        !part_of_word(message[..at].chars().next_back())
            && !part_of_word(message[at + name.len()..].chars().next())
    })
}

/// Every sign that opens or closes a quotation in a language PostgreSQL speaks.
const QUOTES: [char; 17] =
    ['"', '\'', '`', '«', '»', '‹', '›', '„', '“', '”', '‟', '‚', '‘', '’', '「', '」', '『'];

/// Without what stands between the first quote and the last, and without what follows a colon after it. A
/// value may hold quotes itself.
fn without_values(message: &str) -> String {
    let (Some(first), Some(last)) = (message.find(QUOTES), message.rfind(QUOTES)) else {
        return message
            .split_once(": ")
            .map_or_else(|| message.to_owned(), |(said, _)| format!("{said}: $1"));
    };
    let rest = message[last..].chars().skip(1).collect::<String>();
    let rest = if rest.contains([':', '=']) { "" } else { &rest };
    format!("{}\"$1\"{rest}", &message[..first])
}

/// A syntax error quotes the token it stopped at: a literal, or everything from an open quote to the end of
/// the file.
fn without_token(message: &str) -> String {
    match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            let token = &message[first + 1..last];
            let is_word = token.len() <= 63
                && token.chars().all(|c| c.is_alphabetic() || "_;,()[]=.*+-/<>:".contains(c));
            if is_word {
                message.to_owned()
            } else {
                format!("{}\"$1\"{}", &message[..first], &message[last + 1..])
            }
        }
        _ => without_literals(message),
    }
}

/// Without what stands between the first single quote and the last: bounds of partitions are quoted like
/// this.
fn without_literals(text: &str) -> String {
    match (text.find('\''), text.rfind('\'')) {
        (Some(first), Some(last)) if first < last => format!("{}$1{}", &text[..first], &text[last + 1..]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error<'a>(code: &'a str, message: &'a str) -> Fields<'a> {
        Fields { code, message, routine: Some("a_routine"), placed: true, ..Fields::default() }
    }

    #[test]
    fn what_quotes_values_is_repeated_without_them_in_every_language() {
        let table = [
            (
                "22P02",
                "invalid input syntax for type integer: \"Jane\"",
                "invalid input syntax for type integer: \"$1\"",
            ),
            (
                "22P02",
                "ungültige Eingabesyntax für Typ integer: »Jane«",
                "ungültige Eingabesyntax für Typ integer: \"$1\"",
            ),
            (
                "22003",
                "value \"99 Jane\" is out of range for type integer",
                "value \"$1\" is out of range for type integer",
            ),
            ("22P02", "malformed array literal: \"a\" Jane: \"b\"", "malformed array literal: \"$1\""),
            (
                "22001",
                "value too long for type character varying(10)",
                "value too long for type character varying(10)",
            ),
            (
                "22021",
                "invalid byte sequence for encoding \"UTF8\": 0x4a 0x61",
                "invalid byte sequence for encoding \"$1\"",
            ),
            ("XX000", "parse error - invalid geometry: POINT(Jane", "parse error - invalid geometry: $1"),
            ("42601", "syntax error at or near \"SELEC\"", "syntax error at or near \"SELEC\""),
            ("42601", "syntax error at or near \"'Jane Doe'\"", "syntax error at or near \"$1\""),
            (
                "42601",
                "unterminated quoted string at or near \"'Jane\n\"quoted\"",
                "unterminated quoted string at or near \"$1\"",
            ),
            (
                "42P17",
                "empty range: lower bound ('Jane') is greater",
                "empty range: lower bound ($1) is greater",
            ),
        ];
        for (code, message, expected) in table {
            assert_eq!(repeated(&error(code, message), ""), expected, "{code}");
        }
    }

    #[test]
    fn a_violated_constraint_is_named_and_its_row_is_not() {
        let fields = Fields {
            detail: Some("Key (ssn)=(Jane) already exists."),
            hint: Some("Jane"),
            names: vec![("schema", "clinic"), ("table", "patients"), ("constraint", "patients_ssn_key")],
            ..error("23505", "duplicate key value violates unique constraint \"patients_ssn_key\"")
        };
        let expected = "duplicate key value violates unique constraint \"patients_ssn_key\" (schema \
            \"clinic\", table \"patients\")";
        assert_eq!(repeated(&fields, ""), expected);
    }

    #[test]
    fn what_code_of_the_database_says_is_left_out_under_every_code_but_for_the_format_of_the_same_text() {
        for (code, routine) in [
            ("P0001", Some("exec_stmt_raise")),
            ("42P01", Some("exec_stmt_raise")),
            ("42P01", None),
            ("25000", Some("PLy_output")),
        ] {
            let fields =
                Fields { routine, names: vec![("table", "Jane")], ..error(code, "patient Jane is 7") };
            assert!(!repeated(&fields, "SELECT 'patient Jane is 7'").contains("Jane"), "{code}");
            assert_eq!(
                repeated(&fields, "RAISE 'patient % is %'"),
                "RAISE \"patient % is %\", with values that are left out here"
            );
        }
    }

    #[test]
    fn a_value_that_was_used_as_a_name_is_not_repeated() {
        let statement = "SELECT name::regclass FROM patients";
        for (code, message, repeats) in [
            ("42P01", "relation \"jane\" does not exist", "relation \"$1\" does not exist"),
            ("42P01", "Relation »Jane Doe« existiert nicht", "Relation \"$1\" existiert nicht"),
            ("42704", "role \"a\" JANE \"b\" does not exist", "role \"$1\" does not exist"),
            ("3F000", "schema \"jane\" does not exist", "schema \"$1\" does not exist"),
            (
                "58P01",
                "could not open file \"/x/Jane\" for reading",
                "could not open file \"$1\" for reading",
            ),
            ("42601", "syntax error at or near \"Doe\"", "syntax error at or near \"$1\""),
            ("42501", "permission denied for table \"patients\"", "permission denied for table \"patients\""),
        ] {
            let fields = Fields { placed: false, ..error(code, message) };
            assert_eq!(repeated(&fields, statement), repeats);
        }
        // Parsed where it is written: the statement's own words, and no row.
        assert!(repeated(&error("42P01", "relation \"jane\" does not exist"), "").contains("jane"));
        assert!(
            !repeated(&error("42P01", "relation \"jane doe\" does not exist"), "SELECT 'jane doe'::regclass")
                .contains("jane")
        );
        let operator = Fields {
            routine: Some("regoperin"),
            placed: false,
            ..error("42883", "operator does not exist: Jane")
        };
        assert!(!repeated(&operator, statement).contains("Jane"));
    }

    #[test]
    fn what_libpq_says_of_a_connection_string_is_not_repeated() {
        let detail = Some("missing \"=\" after \"hunter2\" in connection info string");
        let dblink = Fields {
            detail,
            routine: Some("dblink_get_conn"),
            ..error("08001", "could not establish connection")
        };
        assert_eq!(
            repeated(&dblink, "SELECT dblink('password=my hunter2')"),
            "could not establish connection"
        );
        for (code, routine, message) in [
            (
                "08006",
                "CreateSubscription",
                "could not connect to the publisher: missing \"=\" after \"hunter2\"",
            ),
            (
                "42601",
                "libpqrcv_check_conninfo",
                "invalid connection string syntax: missing \"=\" after \"hunter2\"",
            ),
            ("08006", "libpqrcv_connect", "could not connect: hunter2"),
            ("08006", "another", "subscription \"s\" could not connect to the publisher: hunter2"),
        ] {
            let fields = Fields { routine: Some(routine), ..error(code, message) };
            assert!(
                !repeated(&fields, "CREATE SUBSCRIPTION s CONNECTION 'password=my hunter2'")
                    .contains("hunter2"),
                "{routine}"
            );
        }
        let own = Fields {
            routine: Some(WIRE),
            ..error("08006", "the connection to the server broke: reset by peer")
        };
        assert!(repeated(&own, "").ends_with("reset by peer"));
    }

    #[test]
    fn what_names_objects_keeps_its_detail_and_hint() {
        let fields = Fields {
            detail: Some("view v depends on table t"),
            hint: Some("Use DROP ... CASCADE"),
            ..error("2BP01", "cannot drop table t")
        };
        assert_eq!(
            repeated(&fields, ""),
            "cannot drop table t; view v depends on table t; Use DROP ... CASCADE"
        );
    }
}
