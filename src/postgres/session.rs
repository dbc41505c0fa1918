//! The one session that migrates: limits, transactions, and where exactly a statement failed.
//!
//! It runs two kinds of statements. Sluice's own look names up in `pg_catalog` alone; the team's look where
//! the team's do. Between two files the session is Sluice's, and [`Session::trusted`] is the only path to its
//! connection.

use std::time::{Duration, Instant};

use futures::StreamExt;
use sqlx::{
    AssertSqlSafe, Connection, Either, PgConnection, Row,
    postgres::{PgQueryResult, PgRow},
};

use super::{
    Holder, QueryContext, QueryError, Settings, SqlError, SqlErrorKind, TEAMS_SETTINGS,
    acquire_advisory_locks, own_settings, query, query_as, query_scalar, release_advisory_locks, search_path,
    startup::READ_TEXT, strong_locks::own_strong_locks,
};
use crate::{api::Span, limits::CANCEL_GRACE, sql::Isolation};

/// A session with limits on how long it may wait and work.
pub struct Session {
    /// Checks run on it too, inside the transaction.
    connection: PgConnection,
    /// Its process id on the server.
    pub pid: i32,
    /// False once it may still be busy with something that no caller waits for: the next query would hang.
    pub usable: bool,
    /// False once a migration gave up the locks that keep other tools away, where nothing else held those
    /// off.
    pub fenced: bool,
    /// The advisory locks that it holds.
    locks: Vec<i64>,
    /// The transaction that was begun and is to be committed, by PostgreSQL's number for it.
    transaction: Option<String>,
    lock_timeout: Span,
    statement_timeout: Span,
}

/// Puts back everything that a file may have changed for the next one. Cursors first: one that is open keeps
/// a temporary table.
const RESET: &str = concat!(
    "CLOSE ALL; RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; SET search_path = ",
    search_path!(),
    "; UNLISTEN *; DISCARD TEMP"
);
/// Checks what is deferred, and leaves it as it was: what is INITIALLY DEFERRED is deferred again for the
/// next file. By name, because SET CONSTRAINTS ALL would hold until the transaction ends, for constraints of
/// later files too. A name that a constraint shares with one that cannot be deferred cannot be told from it.
/// One in a schema that the role may not use cannot be named: COMMIT checks it. Triggers run under the search
/// path of the file, the query does not.
const CHECK_DEFERRED: &str = concat!(
    "DO $sluice$ DECLARE checked pg_catalog.text; again pg_catalog.text; \
       path pg_catalog.text := pg_catalog.current_setting('search_path'); BEGIN \
     PERFORM pg_catalog.set_config('search_path', '",
    search_path!(),
    "', true); SELECT pg_catalog.string_agg(DISTINCT name, ', '), pg_catalog.string_agg(DISTINCT name, ', ') \
        FILTER (WHERE deferred AND NOT shared) \
     INTO checked, again FROM (SELECT pg_catalog.format('%I.%I', n.nspname, c.conname) AS name, \
     c.condeferred AS deferred, \
         EXISTS (SELECT FROM pg_catalog.pg_constraint o WHERE o.connamespace = c.connamespace AND o.conname \
         = c.conname AND NOT o.condeferrable) AS shared \
       FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace \
       WHERE c.condeferrable AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')) AS found; \
     PERFORM pg_catalog.set_config('search_path', path, true); \
     IF checked IS NOT NULL THEN EXECUTE pg_catalog.format('SET CONSTRAINTS %s IMMEDIATE', checked); END IF; \
     IF again IS NOT NULL THEN EXECUTE pg_catalog.format('SET CONSTRAINTS %s DEFERRED', again); END IF; END \
     $sluice$"
);
/// The number of the transaction.
const TRANSACTION: &str = "SELECT pg_catalog.pg_current_xact_id()::pg_catalog.text";
/// What PostgreSQL calls a division by zero.
const ANOTHER: &str = "22012";

impl Session {
    /// Takes over a connection.
    pub async fn new(
        mut connection: PgConnection,
        lock_timeout: Span,
        statement_timeout: Span,
    ) -> Result<Self, QueryError> {
        let pid = query_scalar("SELECT pg_catalog.pg_backend_pid()")
            .fetch_one(&mut connection)
            .await
            .context("read the process id")?;
        Ok(Self {
            connection,
            pid,
            usable: true,
            fenced: true,
            locks: Vec::new(),
            transaction: None,
            lock_timeout,
            statement_timeout,
        })
    }

    /// Takes advisory locks for the rest of the session, or says who holds one when the time is up.
    pub async fn lock(
        &mut self,
        application: &str,
        keys: &[i64],
        until: Instant,
    ) -> Result<Result<(), Option<Holder>>, QueryError> {
        let taken = acquire_advisory_locks(self.trusted().await?, application, keys, until).await?;
        if taken.is_ok() {
            self.locks.extend(keys);
        }
        Ok(taken)
    }

    /// Gives some of them up.
    pub async fn unlock(&mut self, keys: &[i64]) -> Result<(), QueryError> {
        release_advisory_locks(self.trusted().await?, keys).await?;
        self.locks.retain(|key| !keys.contains(key));
        Ok(())
    }

    /// One SELECT with an expression for each lock; nothing without locks.
    fn of_locks(&self, expression: impl Fn(i64) -> String) -> String {
        let each: Vec<String> = self.locks.iter().map(|key| expression(*key)).collect();
        if each.is_empty() {
            String::new()
        } else {
            format!("SELECT pg_catalog.concat_ws(' ', {});", each.join(", "))
        }
    }

    /// Gives every lock up and takes it again, in a transaction that holds it as well, so that no other
    /// session gets it in between. A migration can call `pg_advisory_unlock_all`: then the first half says
    /// false.
    fn renew_locks(&self) -> String {
        self.of_locks(|key| {
            format!("pg_catalog.pg_advisory_unlock({key}), pg_catalog.pg_try_advisory_lock({key})")
        })
    }

    /// One SELECT that says whether the session still holds every lock. It only reads: a session that gives a
    /// lock up to take it again hands it to the next session that waits.
    fn look_for_locks(&self) -> String {
        let keys: Vec<String> = self.locks.iter().map(ToString::to_string).collect();
        format!(
            "SELECT (pg_catalog.count(DISTINCT (l.classid::pg_catalog.int8 OPERATOR(pg_catalog.<<) 32) \
                OPERATOR(pg_catalog.|) l.objid::pg_catalog.int8) \
               OPERATOR(pg_catalog.=) {})::pg_catalog.text FROM pg_catalog.pg_locks l WHERE l.locktype \
               OPERATOR(pg_catalog.=) 'advisory' AND l.granted \
               AND l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.objsubid \
               OPERATOR(pg_catalog.=) 1::pg_catalog.int2 \
               AND (l.classid::pg_catalog.int8 OPERATOR(pg_catalog.<<) 32) OPERATOR(pg_catalog.|) \
               l.objid::pg_catalog.int8 \
                 OPERATOR(pg_catalog.=) ANY (ARRAY[{}]::pg_catalog.int8[])",
            keys.len(),
            keys.join(", ")
        )
    }

    /// After what ran outside a transaction: whether the locks were held all the time.
    pub async fn check_locks(&mut self) -> Result<(), SqlError> {
        let answers = self.run_and_read(&self.look_for_locks(), Some(Instant::now() + CANCEL_GRACE)).await?;
        self.fenced &= answers == ["true"];
        Ok(())
    }

    /// The connection, for Sluice's own statements: whatever a file or a trigger has set, names are looked up
    /// in `pg_catalog` alone, and values are in Sluice's own form.
    pub async fn trusted(&mut self) -> Result<&mut PgConnection, QueryError> {
        let text = format!("{}; {READ_TEXT}", own_settings!());
        sqlx::raw_sql(AssertSqlSafe(text))
            .execute(&mut self.connection)
            .await
            .context("set the search path")?;
        Ok(&mut self.connection)
    }

    /// What comes next is the team's: names are looked up and times are read as the URL, the role and the
    /// database say. Until [`end_file`](Self::end_file), [`reset`](Self::reset), or the transaction is rolled
    /// back.
    pub async fn hand_over(&mut self) -> Result<(), SqlError> {
        self.run(&format!("{TEAMS_SETTINGS}; {READ_TEXT}"), None).await
    }

    /// Before a file goes on in another message: PostgreSQL reads each by what was set when it came, and the
    /// file was split by the standard.
    pub async fn go_on(&mut self, until: Instant) -> Result<(), SqlError> {
        self.run(READ_TEXT, Some(until)).await
    }

    /// Between two statements of a file: the relations that the transaction has locked so that writers wait.
    pub async fn strong_locks(&mut self, until: Instant) -> Result<Vec<i64>, SqlError> {
        let text = format!("{READ_TEXT}; {}", own_strong_locks());
        let relations = self.run_and_read(&text, Some(until)).await?;
        Ok(relations.iter().filter_map(|relation| relation.parse().ok()).collect())
    }

    /// Sets again what the earlier steps of a file have set, and begins to watch; after
    /// [`hand_over`](Self::hand_over).
    pub async fn restore(&mut self, settings: &mut Settings, in_transaction: bool) -> Result<(), SqlError> {
        Ok(settings.restore(&mut self.connection, in_transaction).await?)
    }

    /// Sets it again in a transaction whose statements set nothing that a later one needs.
    pub async fn set_again(&mut self, settings: &Settings) -> Result<(), SqlError> {
        Ok(settings.set_again(&mut self.connection, true).await?)
    }

    /// Notes what a step has set, before it is put back.
    pub async fn note(&mut self, settings: &mut Settings) -> Result<(), SqlError> {
        self.run(READ_TEXT, None).await?;
        Ok(settings.note(&mut self.connection).await?)
    }

    /// The relation that the file means by a name. Nothing in the query is defined better by another schema:
    /// a function by its full name, and casts that no search path changes.
    pub async fn resolve(&mut self, relation: &str) -> Result<Option<i64>, QueryError> {
        let text = "SELECT pg_catalog.to_regclass($1)::pg_catalog.oid::pg_catalog.int8";
        query_scalar(text).bind(relation).fetch_one(&mut self.connection).await.context("find a relation")
    }

    /// The role that the file works as, where row-level security hides rows of this relation from it.
    pub async fn role_without_all_rows(&mut self, relation: i64) -> Result<Option<String>, QueryError> {
        let text = "SELECT current_user::pg_catalog.text WHERE \
            pg_catalog.row_security_active($1::pg_catalog.int8::pg_catalog.oid)";
        let role = query_scalar(text).bind(relation).fetch_optional(&mut self.connection);
        role.await.context("find out whether policies hide rows")
    }

    /// Runs one statement of the file with values as parameters, in place of those that a text would show:
    /// how many rows it changed.
    pub async fn change(&mut self, text: &str, values: &[String], until: Instant) -> Result<u64, SqlError> {
        let query = values.iter().fold(query(AssertSqlSafe(text)), |query, value| query.bind(value.clone()));
        let left = until.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, query.execute(&mut self.connection)).await {
            Ok(done) => done.map(|done| done.rows_affected()).map_err(|error| SqlError::of(&error, 0, text)),
            Err(_) => Err(deadline(0)),
        }
    }

    /// The same for a statement of which one row tells how many rows it changed, and the key of one that it
    /// left as it was.
    pub async fn change_and_tell(
        &mut self,
        text: &str,
        values: &[String],
        until: Instant,
    ) -> Result<(i64, Option<Vec<String>>), SqlError> {
        let query =
            values.iter().fold(query_as(AssertSqlSafe(text)), |query, value| query.bind(value.clone()));
        let left = until.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, query.fetch_one(&mut self.connection)).await {
            Ok(told) => told.map_err(|error| SqlError::of(&error, 0, text)),
            Err(_) => Err(deadline(0)),
        }
    }

    /// Sluice's own query in the middle of a file, whose search path is put back.
    pub async fn interject<T>(
        &mut self,
        query_: impl AsyncFnOnce(&mut PgConnection) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        let path: String = query_scalar("SELECT pg_catalog.current_setting('search_path')")
            .fetch_one(&mut self.connection)
            .await
            .context("read the search path")?;
        // Nothing else is set: the file may have set it, too.
        let own = concat!("SET search_path = ", search_path!());
        sqlx::raw_sql(own).execute(&mut self.connection).await.context("set the search path")?;
        let answer = query_(&mut self.connection).await?;
        let back = query("SELECT pg_catalog.set_config('search_path', $1, false)").bind(path);
        back.execute(&mut self.connection).await.context("put the search path back")?;
        Ok(answer)
    }

    fn limits(&self, set: &str) -> String {
        let (lock, statement) =
            (self.lock_timeout.duration().as_millis(), self.statement_timeout.duration().as_millis());
        format!(
            "{set} lock_timeout = '{lock}ms'; {set} statement_timeout = '{statement}ms'; {set} \
                idle_in_transaction_session_timeout = '60s'"
        )
    }

    /// Begins a transaction with the limits of the manifest, and with the locks once more: what a transaction
    /// holds, no statement in it can give up.
    pub async fn begin(&mut self) -> Result<(), SqlError> {
        self.begin_at(None, &[]).await
    }

    /// Begins one of this isolation level. Only a transaction that did nothing yet takes it. On these tables
    /// no session creates a trigger until it ends; they are locked before the transaction sees anything, so
    /// it sees every trigger that there is.
    pub async fn begin_at(
        &mut self,
        isolation: Option<Isolation>,
        tables: &[String],
    ) -> Result<(), SqlError> {
        let level =
            isolation.map(|isolation| format!(" ISOLATION LEVEL {}", isolation.sql())).unwrap_or_default();
        let locks = self.of_locks(|key| format!("pg_catalog.pg_try_advisory_xact_lock({key})"));
        let tables = if tables.is_empty() {
            String::new()
        } else {
            format!("LOCK TABLE ONLY {} IN ROW EXCLUSIVE MODE;", tables.join(", ONLY "))
        };
        let text = format!("BEGIN{level}; {}; {tables} {locks} {TRANSACTION}", self.limits("SET LOCAL"));
        let mut answers = self.run_and_read(&text, None).await?;
        self.transaction = answers.pop();
        if answers.iter().any(|answer| answer.contains('f')) {
            self.fenced = false;
            return Err(SqlError::other(
                SqlErrorKind::Lock,
                "another session took the migration lock".to_owned(),
            ));
        }
        Ok(())
    }

    /// A statement that fails, with [`ANOTHER`], where the transaction is not the one that was begun.
    /// PostgreSQL gives a number once.
    fn still(&self) -> String {
        format!(
            "SELECT 1 OPERATOR(pg_catalog./) CASE WHEN pg_catalog.pg_current_xact_id() \
                OPERATOR(pg_catalog.=) '{}'::pg_catalog.xid8 THEN 1 ELSE 0 END",
            self.transaction.as_deref().unwrap_or("0")
        )
    }

    /// Runs what must be part of the transaction that was begun. An error does not count the check of it.
    async fn run_in_it(&mut self, text: &str, until: Option<Instant>) -> Result<Vec<String>, SqlError> {
        let text = format!("{}; {text}", self.still());
        self.run_and_read(&text, until).await.map(|answers| answers.into_iter().skip(1).collect()).map_err(
            |error| {
                if error.completed == 0 && error.sqlstate == ANOTHER {
                    return SqlError::other(
                        SqlErrorKind::Escaped,
                        "the file ended the transaction that it ran in".to_owned(),
                    );
                }
                SqlError { completed: error.completed.saturating_sub(1), offset: None, ..error }
            },
        )
    }

    /// The end of a file inside its transaction, in one message: the transaction is still the one that was
    /// begun, deferred constraints are checked, so that they are blamed on the file, what it changed is put
    /// back, and `record` is written down. `defers` says that constraints which can be deferred may exist. An
    /// error says 0 statements completed when a deferred constraint is its cause.
    pub async fn end_file(&mut self, defers: bool, record: &str, until: Instant) -> Result<(), SqlError> {
        let deferred = if defers { CHECK_DEFERRED } else { "SELECT" };
        let text = format!("{deferred}; {RESET}; {}; {record}", self.limits("SET LOCAL"));
        self.run_in_it(&text, Some(until)).await.map(|_| ())
    }

    /// Checks what is deferred, as COMMIT would, and leaves it deferred.
    pub async fn check_deferred(&mut self, until: Instant) -> Result<(), SqlError> {
        self.run(CHECK_DEFERRED, Some(until)).await.map_err(|error| SqlError { offset: None, ..error })
    }

    /// The limits of statements outside a transaction. CONCURRENTLY makes no session queue, waits for long
    /// and must not be cut short: it leaves an invalid index. Nor is the session ended while it is idle, because
    /// older transactions are waited for. The role's own defaults are overruled, too.
    pub async fn limit_alone(&mut self, concurrently: bool) -> Result<(), SqlError> {
        let text = if concurrently {
            "SET lock_timeout = 0; SET statement_timeout = 0; SET idle_session_timeout = 0".to_owned()
        } else {
            self.limits("SET")
        };
        self.run(&text, None).await
    }

    /// Puts back what statements outside a transaction changed.
    pub async fn reset(&mut self) -> Result<(), SqlError> {
        let done = self.run(RESET, Some(Instant::now() + CANCEL_GRACE)).await;
        self.usable &= done.is_ok();
        done
    }

    /// Sluice's own query before COMMIT, in the transaction that was begun: the first column of each row.
    pub async fn select(&mut self, statement: &str, until: Instant) -> Result<Vec<String>, SqlError> {
        self.run_in_it(&format!("{}; {READ_TEXT}; {statement}", own_settings!()), Some(until)).await
    }

    /// Commits what was begun, and nothing else. Locks that a migration gave up are taken again while the
    /// transaction still keeps others from them.
    pub async fn commit(&mut self) -> Result<(), SqlError> {
        let text = format!("{} COMMIT", self.renew_locks());
        let answers = self.run_in_it(&text, None).await?;
        self.transaction = None;
        if answers.iter().any(|answer| answer.contains('f')) {
            tracing::warn!("a migration gave up the migration lock; it was taken again before COMMIT");
        }
        Ok(())
    }

    /// Rolls back; a broken connection has done so already. One that does not answer is given up: the server
    /// ends it when the client is gone. False where the server says that what was begun has been committed.
    pub async fn rollback(&mut self) -> bool {
        let begun = self
            .transaction
            .take()
            .map(|number| format!("; SELECT pg_catalog.pg_xact_status('{number}'::pg_catalog.xid8)"));
        let text = format!("ROLLBACK; {}{}", self.look_for_locks(), begun.unwrap_or_default());
        match self.run_and_read(&text, Some(Instant::now() + CANCEL_GRACE)).await {
            Ok(answers) => {
                self.fenced &= answers.first().is_some_and(|held| held == "true");
                answers.get(1).is_none_or(|became| became != "committed")
            }
            Err(error) => {
                tracing::debug!(message = %error.message, "the connection is gone, and its transaction with \
                    it");
                self.usable = false;
                true
            }
        }
    }

    /// Runs a text of one or more statements, and says where it stopped.
    pub async fn run(&mut self, text: &str, until: Option<Instant>) -> Result<(), SqlError> {
        self.run_each(text, until, |_| ()).await
    }

    /// The same for one statement: how many rows it wrote or answered, as PostgreSQL counts them.
    pub async fn run_and_count(&mut self, text: &str, until: Instant) -> Result<u64, SqlError> {
        let mut rows = 0;
        let count = |result: Either<PgQueryResult, PgRow>| {
            rows += result.left().map_or(0, |done| done.rows_affected());
        };
        self.run_each(text, Some(until), count).await?;
        Ok(rows)
    }

    /// The same for a text of Sluice's own: the first column of each row, as text.
    async fn run_and_read(&mut self, text: &str, until: Option<Instant>) -> Result<Vec<String>, SqlError> {
        let mut answers = Vec::new();
        let read = |result: Either<PgQueryResult, PgRow>| {
            answers.extend(result.right().and_then(|row| row.try_get_unchecked::<String, _>(0).ok()));
        };
        self.run_each(text, until, read).await?;
        Ok(answers)
    }

    async fn run_each(
        &mut self,
        text: &str,
        until: Option<Instant>,
        mut each: impl FnMut(Either<PgQueryResult, PgRow>),
    ) -> Result<(), SqlError> {
        let mut completed = 0;
        let connection = &mut self.connection;
        let work = async {
            let mut results = sqlx::raw_sql(AssertSqlSafe(text)).fetch_many(connection);
            while let Some(result) = results.next().await {
                let result = result?;
                completed += usize::from(result.is_left());
                each(result);
            }
            Ok(())
        };
        let ended = match until {
            Some(until) => tokio::time::timeout(until.saturating_duration_since(Instant::now()), work).await,
            None => Ok(work.await),
        };
        match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(SqlError::of(&error, completed, text)),
            Err(_) => Err(deadline(completed)),
        }
    }

    /// Says good-bye, so that the server need not find out.
    pub async fn close(self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.connection.close()).await;
    }
}

/// The time is up behind so many statements.
fn deadline(completed: usize) -> SqlError {
    SqlError {
        completed,
        ..SqlError::other(SqlErrorKind::Overrun, "the deadline of the run has passed".to_owned())
    }
}
