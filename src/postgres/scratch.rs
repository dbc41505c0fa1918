//! A scratch database: created beside the real one, used, dropped. It is dropped also when its creator was
//! killed.
//!
//! The creator holds an advisory lock whose key stands in the database's name, from before the database
//! exists until it is gone. The server gives the lock up when the session ends, for whatever reason. So a
//! scratch database whose lock no session holds is left over, and the creator of the next one removes it
//! first. The comment on it is for people.

use sqlx::{AssertSqlSafe, PgConnection};

use super::{ConnectionUrl, QueryContext, QueryError, query, query_as, query_scalar};

const PREFIX: &str = "sluice_scratch_";

/// A database that lives as long as this value is used.
pub struct Scratch {
    /// Holds the lock.
    keeper: PgConnection,
    name: String,
}

/// How the real database stores and sorts text; a scratch database does the same.
#[derive(serde::Deserialize)]
struct Locale {
    encoding: String,
    datcollate: Option<String>,
    datctype: Option<String>,
    /// `c` for libc, `i` for ICU, `b` for builtin.
    datlocprovider: String,
    /// PostgreSQL 17 and newer; before, ICU's had a column of its own.
    datlocale: Option<String>,
    daticulocale: Option<String>,
    daticurules: Option<String>,
}

/// The role, when it may not create databases. Read before anything is created.
pub async fn cannot_create_databases(connection: &mut PgConnection) -> Result<Option<String>, QueryError> {
    let text = "SELECT r.rolname::text FROM pg_catalog.pg_roles r WHERE r.rolname = current_user AND NOT \
        (r.rolcreatedb OR r.rolsuper)";
    query_scalar(text).fetch_optional(connection).await.context("read the role's right to create databases")
}

impl Scratch {
    /// Removes what earlier creators left, and makes a new database. `keeper` is a session on its server that
    /// nothing else uses, `real` one on the database that it stands for; `digest` is 8 characters that tell what
    /// it is for, `purpose` says so to people.
    pub async fn create(
        mut keeper: PgConnection,
        real: &mut PgConnection,
        (digest, purpose): (&str, &str),
    ) -> Result<Self, QueryError> {
        remove_left_over(&mut keeper).await?;
        // Not negative, so that it reads back from 16 hexadecimal digits.
        let key = i64::from_ne_bytes(fastrand::u64(..).to_ne_bytes()) & i64::MAX;
        let name = format!("{PREFIX}{digest}_{key:016x}");
        query("SELECT pg_catalog.pg_advisory_lock($1)")
            .bind(key)
            .execute(&mut keeper)
            .await
            .context("lock the name of the scratch database")?;
        let locale = locale(real).await?;
        let text = format!("CREATE DATABASE {name} TEMPLATE template0 {locale}");
        sqlx::raw_sql(AssertSqlSafe(text))
            .execute(&mut keeper)
            .await
            .context("create the scratch database")?;
        // What is in it need not survive the server.
        let text = format!(
            "ALTER DATABASE {name} SET synchronous_commit = off; COMMENT ON DATABASE {name} IS {}",
            literal(&format!("{purpose}. Sluice drops it; when no session is connected to it, so may you."))
        );
        let scratch = Self { keeper, name };
        let mut scratch = scratch;
        match sqlx::raw_sql(AssertSqlSafe(text))
            .execute(&mut scratch.keeper)
            .await
            .context("describe the scratch database")
        {
            Ok(_) => Ok(scratch),
            Err(error) => {
                scratch.drop().await?;
                Err(error)
            }
        }
    }

    /// Where it is.
    pub fn url(&self, of: &ConnectionUrl) -> ConnectionUrl {
        of.with_database(&self.name)
    }

    /// Drops it, also while sessions are still connected.
    pub async fn drop(mut self) -> Result<(), QueryError> {
        drop_database(&mut self.keeper, &self.name).await
    }
}

async fn drop_database(connection: &mut PgConnection, name: &str) -> Result<(), QueryError> {
    let text = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
    sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await.context("drop the scratch database")?;
    Ok(())
}

/// Drops scratch databases of this role whose creators are gone. What cannot be dropped now is dropped
/// another time.
async fn remove_left_over(connection: &mut PgConnection) -> Result<(), QueryError> {
    let rows: Vec<(String,)> = query_as(
        "SELECT d.datname::text FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba \
         WHERE r.rolname = current_user AND d.datname ~ '^sluice_scratch_[0-9a-f]+_[0-9a-f]{16}$' AND NOT \
         EXISTS ( \
           SELECT FROM pg_catalog.pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
             AND pg_catalog.lpad(pg_catalog.to_hex(l.classid::bigint), 8, '0') || \
             pg_catalog.lpad(pg_catalog.to_hex(l.objid::bigint), 8, '0') \
                 = pg_catalog.right(d.datname::text, 16)) ORDER BY 1",
    )
    .fetch_all(&mut *connection)
    .await
    .context("find left-over scratch databases")?;
    for (name,) in rows {
        match drop_database(connection, &name).await {
            Ok(()) => tracing::info!(database = %name, "dropped a scratch database whose creator is gone"),
            Err(error) => {
                tracing::warn!(database = %name, %error, "a left-over scratch database stays for now");
            }
        }
    }
    Ok(())
}

async fn locale(connection: &mut PgConnection) -> Result<String, QueryError> {
    let text: String = query_scalar(
        "SELECT (pg_catalog.to_jsonb(d) - 'datacl' || pg_catalog.jsonb_build_object('encoding', \
            pg_catalog.pg_encoding_to_char(d.encoding)))::text \
         FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()",
    )
    .fetch_one(connection)
    .await
    .context("read how the database stores and sorts text")?;
    let locale: Result<Locale, _> = serde_json::from_str(&text);
    let locale = locale.map_err(|error| QueryError {
        action: "read how the database stores and sorts text",
        cause: sqlx::Error::Decode(Box::new(error)),
    })?;
    Ok(locale.options())
}

impl Locale {
    /// The options of CREATE DATABASE. PURE.
    fn options(&self) -> String {
        let mut options = format!("ENCODING {}", literal(&self.encoding));
        let mut add = |option: &str, value: Option<&str>| {
            if let Some(value) = value {
                options.push_str(&format!(" {option} {}", literal(value)));
            }
        };
        let own = self.datlocale.as_deref().or(self.daticulocale.as_deref());
        match self.datlocprovider.as_str() {
            "i" => {
                add("LOCALE_PROVIDER", Some("icu"));
                add("ICU_LOCALE", own);
                add("ICU_RULES", self.daticurules.as_deref());
            }
            "b" => {
                add("LOCALE_PROVIDER", Some("builtin"));
                add("BUILTIN_LOCALE", own);
            }
            _ => add("LOCALE_PROVIDER", Some("libc")),
        }
        add("LC_COLLATE", self.datcollate.as_deref());
        add("LC_CTYPE", self.datctype.as_deref());
        options
    }
}

/// A string constant that means the same whatever `standard_conforming_strings` is.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_database_sorts_as_the_real_one_does() {
        let read = |text: &str| serde_json::from_str::<Locale>(text).expect("a row").options();
        assert_eq!(
            read(
                r#"{"encoding": "UTF8", "datcollate": "C.UTF-8", "datctype": "C.UTF-8", "datlocprovider": "c", "daticulocale": null, "oid": 5}"#
            ),
            "ENCODING E'UTF8' LOCALE_PROVIDER E'libc' LC_COLLATE E'C.UTF-8' LC_CTYPE E'C.UTF-8'"
        );
        assert_eq!(
            read(
                r#"{"encoding": "UTF8", "datcollate": "C", "datctype": "C", "datlocprovider": "i", "daticulocale": "de"}"#
            ),
            "ENCODING E'UTF8' LOCALE_PROVIDER E'icu' ICU_LOCALE E'de' LC_COLLATE E'C' LC_CTYPE E'C'"
        );
        assert_eq!(
            read(
                r#"{"encoding": "UTF8", "datcollate": "C", "datctype": "C", "datlocprovider": "b", "datlocale": "C.UTF-8"}"#
            ),
            "ENCODING E'UTF8' LOCALE_PROVIDER E'builtin' BUILTIN_LOCALE E'C.UTF-8' LC_COLLATE E'C' LC_CTYPE \
                E'C'"
        );
    }
}
