//! What the application's login brings besides its role: the settings that `ALTER ROLE … SET` and `ALTER
//! DATABASE … SET` gave it. A policy may read them, and `SET ROLE` does not set them.

use sqlx::PgConnection;

use super::META;
use crate::{
    api::{Finding, Severity},
    inspect::{CheckError, QueryContext, trial},
    postgres::query_as,
};

/// Settings that a policy may read: those of the team's own, and a few of PostgreSQL's. Not those that limit
/// or log.
const SETTINGS: &str = "\
    SELECT DISTINCT ON (pg_catalog.split_part(c.pair, '=', 1)) pg_catalog.split_part(c.pair, '=', 1), \
           pg_catalog.substr(c.pair, pg_catalog.strpos(c.pair, '=') + 1) \
    FROM pg_catalog.pg_db_role_setting s CROSS JOIN pg_catalog.unnest(s.setconfig) AS c(pair) \
    WHERE s.setrole IN (0, (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = $1)) \
      AND s.setdatabase IN (0, (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = \
      pg_catalog.current_database())) \
      AND (c.pair LIKE '%.%=%' AND pg_catalog.strpos(c.pair, '.') < pg_catalog.strpos(c.pair, '=') \
        OR pg_catalog.lower(pg_catalog.split_part(c.pair, '=', 1)) IN ('datestyle', 'intervalstyle', \
        'timezone')) \
    ORDER BY 1, s.setrole <> 0 DESC, s.setdatabase <> 0 DESC";

/// Puts them on until the check ends, or says which one could not be put on.
pub(super) async fn put_on(connection: &mut PgConnection, app: &str) -> Result<Option<Finding>, CheckError> {
    let settings: Vec<(String, String)> = query_as(SETTINGS)
        .bind(app)
        .fetch_all(&mut *connection)
        .await
        .context("read the settings of the application's role")?;
    for (name, value) in settings {
        trial::begin(connection).await?;
        let set: Result<(String,), _> = query_as("SELECT pg_catalog.set_config($1, $2, true)")
            .bind(&name)
            .bind(&value)
            .fetch_one(&mut *connection)
            .await;
        match trial::answer(set, "put on a setting of the application's role")? {
            Ok(_) => {
                sqlx::raw_sql("RELEASE SAVEPOINT sluice_trial")
                    .execute(&mut *connection)
                    .await
                    .context("keep a setting")?;
            }
            Err(refusal) => {
                trial::end(connection).await?;
                return Ok(Some(refused(app, &name, &refusal.code)));
            }
        }
    }
    Ok(None)
}

fn refused(app: &str, name: &str, code: &str) -> Finding {
    let message = format!(
        "{}{app:?} logs in with the setting {name}, which the migration role may not set (SQLSTATE {code}), \
            so no attempt ran as it does",
        Finding::UNPROVEN
    );
    let remedy = format!("ALTER ROLE the application's role RESET {name}, or let the migration role set it");
    Finding { severity: Severity::Warning, ..META.finding(app, message, remedy) }
}
