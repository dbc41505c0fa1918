//! One attempt: a statement as some role, with a tenant set or not, inside a savepoint. Its refusal is an
//! answer, not an error.

use std::time::Instant;

use futures::StreamExt;
use sqlx::{AssertSqlSafe, Either, PgConnection, Row as _, postgres::PgDatabaseError};

use crate::{
    inspect::{CheckError, QueryContext, sql},
    postgres::said_by,
};

/// Who tries, and how the session looks to the policies.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Identity<'a> {
    /// As the application's role; otherwise as the caller.
    pub(super) app: bool,
    /// The tenant that the session says it is; `Some("")` is an empty setting, `None` leaves the setting
    /// alone.
    pub(super) tenant: Option<&'a str>,
    /// Without triggers and foreign keys, where the role may do that.
    pub(super) replica: bool,
}

impl<'a> Identity<'a> {
    /// The application, for this tenant.
    pub(super) const fn app(tenant: &'a str) -> Self {
        Self { app: true, tenant: Some(tenant), replica: false }
    }

    /// The caller, for this tenant: the setting matters where row-level security binds the migration role
    /// too.
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

/// Stands where the SQLSTATE of an answer would be.
const TOO_LATE: &str = "too late";

impl Refusal {
    fn of(error: &PgDatabaseError) -> Self {
        let routine = error.routine().unwrap_or_default().to_owned();
        Self { code: error.code().to_owned(), routine, message: said_by(error) }
    }

    /// Nothing was sent, because the time of the whole check was over.
    fn late() -> Self {
        Self { code: TOO_LATE.to_owned(), routine: String::new(), message: String::new() }
    }

    /// Whether nothing was sent.
    pub(super) fn is_late(&self) -> bool {
        self.code == TOO_LATE
    }

    /// For messages to people.
    pub(super) fn display(&self) -> String {
        match self.code.as_str() {
            TOO_LATE => "there was no time left for it".to_owned(),
            "57014" => "it took longer than 5 s".to_owned(),
            "55P03" => "another session held a lock for longer than 500 ms".to_owned(),
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

/// The session in which attempts are made. Between attempts its state is that of the last
/// [`keep`](Self::keep).
pub(super) struct Attempts<'c> {
    connection: &'c mut PgConnection,
    role: String,
    setting: String,
    /// Where rows are counted that a statement reaches. Its name is another one each time, so that no policy
    /// can ask for it.
    counter: String,
    /// When the time of the whole check is over.
    until: Instant,
    /// Savepoints to set and release before the next attempt: they travel with its message.
    first: String,
}

impl<'c> Attempts<'c> {
    /// Prepares the session: limits for every attempt, and row-level security and the search path as the
    /// application has them, because its triggers and functions run.
    pub(super) async fn begin(
        connection: &'c mut PgConnection,
        role: &str,
        setting: &str,
        until: Instant,
    ) -> Result<Self, CheckError> {
        let limits = "SET LOCAL statement_timeout = '5s'; SET LOCAL lock_timeout = '500ms'; SET LOCAL \
            row_security = on; SET LOCAL search_path TO DEFAULT; SET LOCAL application_name TO ''";
        sqlx::raw_sql(limits)
            .execute(&mut *connection)
            .await
            .context("set the limits of the isolation probe")?;
        let word = || std::iter::repeat_with(fastrand::lowercase).take(8).collect::<String>();
        let (role, setting, counter) =
            (sql::identifier(role), sql::setting(setting), format!("{}.{}", word(), word()));
        Ok(Self { connection, role, setting, counter, until, first: String::new() })
    }

    /// A condition that counts rows that a statement reaches and lets it write one at most. Whose operators
    /// these are is said, because attempts are made under the team's search path. It names no column, so that
    /// no policy for SELECT is added, and is volatile, so that PostgreSQL evaluates it for each row that the
    /// policies let through.
    pub(super) fn first_row_only(&self) -> String {
        let counter = &self.counter;
        format!(
            "pg_catalog.set_config('{counter}', (pg_catalog.current_setting('{counter}')::pg_catalog.int4 \
                OPERATOR(pg_catalog.+) 1)::pg_catalog.text, true)\
             ::pg_catalog.int4 OPERATOR(pg_catalog.<=) 1"
        )
    }

    /// Begins with a table: everything until [`close`](Self::close) is undone together, so that locks do not
    /// add up.
    pub(super) fn open(&mut self) {
        self.first
            .push_str("SAVEPOINT sluice_table; SET CONSTRAINTS ALL DEFERRED; SAVEPOINT sluice_attempt; ");
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
    pub(super) async fn make(
        &mut self,
        identity: Identity<'_>,
        statement: &str,
    ) -> Result<Answer, CheckError> {
        let text = format!("{}{statement}", self.put_on(identity));
        Ok(self.send(&text).await?.map(|(mut rows, touched)| Done { row: rows.pop(), touched }))
    }

    /// Makes several attempts in one message, each as another role or tenant: their rows in order, and how
    /// many rows were written in all. One that is refused refuses them all.
    pub(super) async fn make_all(
        &mut self,
        attempts: &[(Identity<'_>, String)],
    ) -> Result<Option<(Vec<Row>, u64)>, CheckError> {
        let text: String = attempts
            .iter()
            .map(|(identity, statement)| format!("{}{statement}; ", self.put_on(*identity)))
            .collect();
        Ok(self.send(&text).await?.ok())
    }

    /// Makes attempts that write with the condition [`first_row_only`](Self::first_row_only), in one message:
    /// how many rows were written, and how many each reached, which are more where something skipped a row
    /// that the policies let through.
    pub(super) async fn make_counted(
        &mut self,
        attempts: &[(Identity<'_>, String)],
    ) -> Result<Result<(u64, Vec<u64>), Refusal>, CheckError> {
        let counted = format!("SELECT pg_catalog.current_setting('{}')", self.counter);
        let text: String = attempts
            .iter()
            .map(|(identity, statement)| format!("{}{statement}; {counted}; ", self.put_on(*identity)))
            .collect();
        Ok(self.send(&text).await?.map(|(rows, touched)| {
            let reached: Vec<_> = rows
                .iter()
                .map(|row| row.first().and_then(|text| text.as_ref()?.parse().ok()).unwrap_or(u64::MAX))
                .collect();
            (touched.saturating_sub(reached.len() as u64), reached)
        }))
    }

    /// Makes an attempt as the application and reads what it left as the caller, in one message; for tables
    /// with triggers that may have changed the row.
    pub(super) async fn make_and_read(
        &mut self,
        identity: Identity<'_>,
        statement: &str,
        caller: &str,
        look: (&str, &str),
    ) -> Result<Answer, CheckError> {
        let back = if caller == "none" { "NONE".to_owned() } else { sql::identifier(caller) };
        let queries = self.put_on(Identity::caller(Some(look.0)));
        let tries = self.put_on(identity);
        let text = format!("{tries}{statement}; SET LOCAL ROLE {back}; {queries}{}", look.1);
        Ok(self.send(&text).await?.map(|(mut rows, touched)| Done { row: rows.pop(), touched }))
    }

    /// The settings of a guise; the role last, because it may not be allowed the others.
    fn put_on(&self, identity: Identity<'_>) -> String {
        let tenant =
            identity.tenant.map(|tenant| format!("SET LOCAL {} TO {}; ", self.setting, sql::literal(tenant)));
        let replica = if identity.replica { "SET LOCAL session_replication_role = replica; " } else { "" };
        let app = if identity.app { format!("SET LOCAL ROLE {}; ", self.role) } else { String::new() };
        format!("SET LOCAL {} TO '0'; {}{replica}{app}", self.counter, tenant.unwrap_or_default())
    }

    async fn send(&mut self, text: &str) -> Result<Result<(Vec<Row>, u64), Refusal>, CheckError> {
        if Instant::now() >= self.until {
            return Ok(Err(Refusal::late()));
        }
        let text = format!("{}ROLLBACK TO SAVEPOINT sluice_attempt; {text}", std::mem::take(&mut self.first));
        let (mut rows, mut touched) = (Vec::new(), 0);
        let mut results = sqlx::raw_sql(AssertSqlSafe(text)).fetch_many(&mut *self.connection);
        while let Some(result) = results.next().await {
            match result {
                Ok(Either::Left(result)) => touched += result.rows_affected(),
                Ok(Either::Right(row)) => {
                    let columns = (0..row.len())
                        .map(|at| row.try_get::<Option<String>, _>(at))
                        .collect::<Result<Vec<_>, _>>();
                    rows.push(columns.context("read an answer of the isolation probe")?);
                }
                Err(sqlx::Error::Database(error)) => return Ok(Err(Refusal::of(error.downcast_ref()))),
                Err(cause) => return Err(CheckError { action: "go on with the isolation probe", cause }),
            }
        }
        Ok(Ok((rows, touched)))
    }
}
