//! One try at something that PostgreSQL may refuse: inside a savepoint that is rolled back, with the refusal
//! as a value.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, error::DatabaseError};

use super::{CheckError, QueryContext, sql};
use crate::postgres::{SEARCH_PATH, SqlErrorKind, log_whole, said};

/// Why PostgreSQL refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// SQLSTATE.
    pub(crate) code: String,
    /// PostgreSQL's message.
    pub(crate) message: String,
}

impl Refusal {
    /// In words, with the time that was granted.
    pub(crate) fn explain(&self, granted: Duration) -> String {
        match self.code.as_str() {
            "57014" => format!("it did not end within {} s and was cancelled", granted.as_secs_f64()),
            "55P03" => format!("another session holds a lock that it needs: {}", self.message),
            "25006" => format!("it writes, and only reading is allowed: {}", self.message),
            "08P01" | "42P02" => "it has parameters, and there are no values for them".to_owned(),
            _ => self.message.clone(),
        }
    }
}

/// How long a query may take that has no timeout of its own; `apart` sets the same.
pub(crate) const GRANTED: Duration = Duration::from_mins(1);

/// Begins a try; whatever it does, [`end`] undoes it.
pub(crate) async fn begin(connection: &mut PgConnection) -> Result<(), CheckError> {
    sqlx::raw_sql("SAVEPOINT sluice_trial").execute(connection).await.context("set a savepoint")?;
    Ok(())
}

/// Begins a try that can only read, sees all rows or fails, and ends after so long. A policy that hides rows
/// would make a query about them pass, so PostgreSQL is told to refuse instead.
pub(crate) async fn begin_reading(
    connection: &mut PgConnection,
    granted: Duration,
) -> Result<(), CheckError> {
    begin(connection).await?;
    only_read(connection, granted).await
}

/// The same for the rest of a try that has begun.
pub(crate) async fn only_read(connection: &mut PgConnection, granted: Duration) -> Result<(), CheckError> {
    let settings = format!(
        "SET TRANSACTION READ ONLY; SET LOCAL row_security = off; SET LOCAL statement_timeout = {}",
        granted.as_millis().max(1)
    );
    sqlx::raw_sql(AssertSqlSafe(settings))
        .execute(connection)
        .await
        .context("prepare a query that only reads")?;
    Ok(())
}

/// As the role and the database have them, and as migrations ran.
const TEAMS_TIMES: &str = "SET LOCAL \"TimeZone\" TO DEFAULT; SET LOCAL \"DateStyle\" TO DEFAULT; SET LOCAL \
    \"IntervalStyle\" TO DEFAULT; \
    SET LOCAL extra_float_digits TO DEFAULT";

/// What follows is SQL of the manifest, which names what it uses as its schemas have it: until [`end`],
/// no query of Sluice's own may run whose operators these schemas could define better.
pub(crate) async fn look_in(connection: &mut PgConnection, schemas: &[String]) -> Result<(), CheckError> {
    let path: Vec<_> =
        schemas.iter().map(|schema| sql::identifier(schema)).chain(["pg_temp".to_owned()]).collect();
    let setting = format!("SET LOCAL search_path = {}; {TEAMS_TIMES}", path.join(", "));
    sqlx::raw_sql(AssertSqlSafe(setting))
        .execute(connection)
        .await
        .context("set the search path of the manifest")?;
    Ok(())
}

/// After [`look_in`], for statements of Sluice's own within the same try.
pub(crate) async fn look_in_catalog(connection: &mut PgConnection) -> Result<(), CheckError> {
    let setting = format!("SET LOCAL search_path = {SEARCH_PATH}");
    sqlx::raw_sql(AssertSqlSafe(setting)).execute(connection).await.context("set the search path")?;
    Ok(())
}

/// Ends a try and undoes what it did.
pub(crate) async fn end(connection: &mut PgConnection) -> Result<(), CheckError> {
    let undo = "ROLLBACK TO SAVEPOINT sluice_trial; RELEASE SAVEPOINT sluice_trial";
    sqlx::raw_sql(undo).execute(connection).await.context("undo an attempt")?;
    Ok(())
}

/// A refusal of PostgreSQL is an answer; a session that is gone, or an answer that cannot be read, is none.
pub(crate) fn answer<T>(
    result: Result<T, sqlx::Error>,
    action: &'static str,
) -> Result<Result<T, Refusal>, CheckError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error @ sqlx::Error::Database(_)) if SqlErrorKind::of(&error) != SqlErrorKind::Connection => {
            let code =
                error.as_database_error().and_then(DatabaseError::code).unwrap_or_default().into_owned();
            log_whole(&error);
            Ok(Err(Refusal { code, message: said(&error) }))
        }
        Err(cause) => Err(CheckError { action, cause }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_words() {
        let refusal = |code: &str| Refusal { code: code.into(), message: "m".into() };
        assert_eq!(
            refusal("57014").explain(Duration::from_millis(1500)),
            "it did not end within 1.5 s and was cancelled"
        );
        assert_eq!(refusal("25006").explain(GRANTED), "it writes, and only reading is allowed: m");
        assert_eq!(refusal("42P01").explain(GRANTED), "m");
    }
}
