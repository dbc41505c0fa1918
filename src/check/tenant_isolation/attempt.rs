//! One attempt: a statement as somebody, with a tenant set or not, inside a savepoint. Its refusal is an answer, not an error.

use futures::StreamExt;
use sqlx::{AssertSqlSafe, Either, PgConnection, Row as _, postgres::PgDatabaseError};

use super::super::{Asked, CheckError, sql};
use crate::postgres::said_by;

/// Who tries, and how the session looks to the policies.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Guise<'a> {
    /// As the application's role; otherwise as the caller.
    pub(super) app: bool,
    /// The tenant that the session says it is; `Some("")` is an empty setting, `None` leaves the setting alone.
    pub(super) tenant: Option<&'a str>,
    /// Without triggers and foreign keys, where the role may do that.
    pub(super) replica: bool,
}

impl<'a> Guise<'a> {
    /// The application, for this tenant.
    pub(super) const fn app(tenant: &'a str) -> Self {
        Self { app: true, tenant: Some(tenant), replica: false }
    }

    /// The caller, for this tenant: the setting matters where row-level security binds the migration role too.
    pub(super) const fn caller(tenant: Option<&'a str>) -> Self {
        Self { app: false, tenant, replica: false }
    }
}

/// What PostgreSQL said no with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// SQLSTATE.
    pub(super) code: String,
    /// The function of the server that refused; unlike the message it is not translated.
    pub(super) routine: String,
    /// The server's message.
    pub(super) message: String,
}

impl Refusal {
    fn of(error: &PgDatabaseError) -> Self {
        let routine = error.routine().unwrap_or_default().to_owned();
        Self { code: error.code().to_owned(), routine, message: said_by(error) }
    }

    /// For messages to people.
    pub(super) fn display(&self) -> String {
        match self.code.as_str() {
            "57014" => "it took longer than 5 s".to_owned(),
            "55P03" => "somebody else held a lock for longer than 500 ms".to_owned(),
            code => format!("{} (SQLSTATE {code})", self.message),
        }
    }
}

/// The columns of a row, which are all texts.
pub(super) type Row = Vec<Option<String>>;

/// What came of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Done {
    /// Its last row.
    pub(super) row: Option<Row>,
    /// How many rows were written, or else shown.
    pub(super) touched: u64,
}

pub(super) type Answer = Result<Done, Refusal>;

/// The session in which attempts are made. Between attempts its state is that of the last [`keep`](Self::keep).
pub(super) struct Attempts<'c> {
    connection: &'c mut PgConnection,
    role: String,
    setting: String,
    /// Savepoints to set and release before the next attempt: they travel with its message.
    first: String,
}

/// Counts rows that a statement reaches and lets it write one at most. Whose operators these are is said, because attempts are made under
/// the team's search path. It names no column, so that no policy for SELECT is added, and is
/// volatile, so that PostgreSQL asks it for each row that the policies let through.
pub(super) const FIRST_ROW_ONLY: &str = "pg_catalog.set_config('sluice.reached', (pg_catalog.current_setting('sluice.reached')::pg_catalog.int4 OPERATOR(pg_catalog.+) 1)::pg_catalog.text, true)\
     ::pg_catalog.int4 OPERATOR(pg_catalog.<=) 1";

impl<'c> Attempts<'c> {
    /// Prepares the session: limits for every attempt, and row-level security and the search path as the application has them, because
    /// its triggers and functions run.
    pub(super) async fn begin(connection: &'c mut PgConnection, role: &str, setting: &str) -> Result<Self, CheckError> {
        let limits = "SET LOCAL statement_timeout = '5s'; SET LOCAL lock_timeout = '500ms'; SET LOCAL row_security = on; SET LOCAL search_path TO DEFAULT";
        sqlx::raw_sql(limits).execute(&mut *connection).await.asked("set the limits of the isolation probe")?;
        Ok(Self { connection, role: sql::identifier(role), setting: sql::setting(setting), first: String::new() })
    }

    /// Begins with a table: everything until [`close`](Self::close) is undone together, so that locks do not add up.
    pub(super) fn open(&mut self) {
        self.first.push_str("SAVEPOINT sluice_table; SET CONSTRAINTS ALL DEFERRED; SAVEPOINT sluice_attempt; ");
    }

    /// Ends with a table.
    pub(super) fn close(&mut self) {
        self.first.push_str("ROLLBACK TO SAVEPOINT sluice_table; RELEASE SAVEPOINT sluice_table; ");
    }

    /// Keeps what the last attempt did, until the table is closed.
    pub(super) fn keep(&mut self) {
        self.first.push_str("RELEASE SAVEPOINT sluice_attempt; SAVEPOINT sluice_attempt; ");
    }

    /// Undoes the attempt before and makes this one: one message to the server.
    pub(super) async fn make(&mut self, guise: Guise<'_>, statement: &str) -> Result<Answer, CheckError> {
        let text = format!("{}{statement}", self.put_on(guise));
        Ok(self.send(&text).await?.map(|(mut rows, touched)| Done { row: rows.pop(), touched }))
    }

    /// Makes several attempts in one message, each as somebody else: their rows in order, and how many rows were written in all. One that
    /// is refused refuses them all.
    pub(super) async fn make_all(&mut self, attempts: &[(Guise<'_>, String)]) -> Result<Option<(Vec<Row>, u64)>, CheckError> {
        let text: String = attempts.iter().map(|(guise, statement)| format!("{}{statement}; ", self.put_on(*guise))).collect();
        Ok(self.send(&text).await?.ok())
    }

    /// Makes an attempt as the application and looks at what it left as the caller, in one message; for tables with triggers that
    /// may have changed the row on its way.
    pub(super) async fn make_and_look(
        &mut self,
        guise: Guise<'_>,
        statement: &str,
        caller: &str,
        look: (&str, &str),
    ) -> Result<Answer, CheckError> {
        let back = if caller == "none" { "NONE".to_owned() } else { sql::identifier(caller) };
        let looks = self.put_on(Guise::caller(Some(look.0)));
        let tries = self.put_on(guise);
        let text = format!("{tries}{statement}; SET LOCAL ROLE {back}; {looks}{}", look.1);
        Ok(self.send(&text).await?.map(|(mut rows, touched)| Done { row: rows.pop(), touched }))
    }

    /// The settings of a guise; the role last, because it may not be allowed the others.
    fn put_on(&self, guise: Guise<'_>) -> String {
        let tenant = guise.tenant.map(|tenant| format!("SET LOCAL {} TO {}; ", self.setting, sql::literal(tenant)));
        let replica = if guise.replica { "SET LOCAL session_replication_role = replica; " } else { "" };
        let app = if guise.app { format!("SET LOCAL sluice.reached TO '0'; SET LOCAL ROLE {}; ", self.role) } else { String::new() };
        format!("{}{replica}{app}", tenant.unwrap_or_default())
    }

    async fn send(&mut self, text: &str) -> Result<Result<(Vec<Row>, u64), Refusal>, CheckError> {
        let text = format!("{}ROLLBACK TO SAVEPOINT sluice_attempt; {text}", std::mem::take(&mut self.first));
        let (mut rows, mut touched) = (Vec::new(), 0);
        let mut results = sqlx::raw_sql(AssertSqlSafe(text)).fetch_many(&mut *self.connection);
        while let Some(result) = results.next().await {
            match result {
                Ok(Either::Left(result)) => touched += result.rows_affected(),
                Ok(Either::Right(row)) => {
                    let columns = (0..row.len()).map(|at| row.try_get::<Option<String>, _>(at)).collect::<Result<Vec<_>, _>>();
                    rows.push(columns.asked("read an answer of the isolation probe")?);
                }
                Err(sqlx::Error::Database(error)) => return Ok(Err(Refusal::of(error.downcast_ref()))),
                Err(cause) => return Err(CheckError { action: "go on with the isolation probe", cause }),
            }
        }
        Ok(Ok((rows, touched)))
    }
}
