//! A session of which PostgreSQL has said that a transaction is open in it.

use sqlx::PgConnection;

use super::{QueryContext, QueryError};

/// A transaction that is open. What must leave nothing behind takes one in place of a session, so that it
/// cannot be given a session in which every statement commits by itself:
///
/// ```compile_fail
/// # use sluice::inspect::{Aspect, Scope};
/// # async fn outside(session: &mut sqlx::PgConnection, scope: &Scope) {
/// let found = sluice::check::run(session, scope, &[Aspect::Index]).await;
/// # }
/// ```
///
/// ```
/// # use sluice::{inspect::{Aspect, Scope}, postgres::Transaction};
/// # async fn inside(session: &mut sqlx::PgConnection, scope: &Scope) -> Result<(), Box<dyn std::error::Error>> {
/// let mut transaction = Transaction::begin(session).await?;
/// let found = sluice::check::run(&mut transaction, scope, &[Aspect::Index]).await?;
/// transaction.roll_back().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Transaction<'c> {
    connection: &'c mut PgConnection,
}

impl<'c> Transaction<'c> {
    /// Begins one. One that is dropped ends with its session.
    pub async fn begin(connection: &'c mut PgConnection) -> Result<Self, QueryError> {
        sqlx::raw_sql("BEGIN").execute(&mut *connection).await.context("begin a transaction")?;
        Ok(Self { connection })
    }

    /// The one that is open in a session, whatever began it: PostgreSQL takes a savepoint in no other place.
    pub async fn of_open(connection: &'c mut PgConnection) -> Result<Self, QueryError> {
        sqlx::raw_sql("SAVEPOINT sluice_open; RELEASE SAVEPOINT sluice_open")
            .execute(&mut *connection)
            .await
            .context("work inside an open transaction")?;
        Ok(Self { connection })
    }

    /// The session, for statements that leave the transaction open.
    pub fn session(&mut self) -> &mut PgConnection {
        self.connection
    }

    /// Ends it, and leaves nothing behind.
    pub async fn roll_back(self) -> Result<(), QueryError> {
        sqlx::raw_sql("ROLLBACK").execute(self.connection).await.context("roll a transaction back")?;
        Ok(())
    }
}
