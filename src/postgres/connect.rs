//! From a connection URL to a session. The URL holds a password: its `Debug` is redacted and it has no `Display`.

use std::{collections::BTreeMap, fmt, time::Duration};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use url::Url;

use super::{SEARCH_PATH, said, startup};
use crate::api::Reason;

/// Where the database is and who asks. Prisma's own parameters are understood or taken off.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionUrl {
    host: String,
    port: u16,
    user: String,
    password: Option<String>,
    database: String,
    /// libpq's parameters that are passed on, for instance `sslmode`.
    parameters: BTreeMap<String, String>,
    schema: Option<String>,
    pooled: Option<&'static str>,
}

/// The URL cannot be read. Never quotes the URL: it may hold a password.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidUrl {
    /// It is not a URL at all.
    #[error("the connection URL is not a URL: write postgres://user:password@host:5432/database, with special characters percent-encoded")]
    Syntax,
    /// It is a URL of something else.
    #[error("the connection URL has the scheme {0:?}: Sluice needs a direct postgres:// URL")]
    Scheme(String),
    /// The database is missing.
    #[error("the connection URL names no database: append /DATABASE")]
    NoDatabase,
    /// The user is missing.
    #[error("the connection URL names no user: write postgres://USER:password@…")]
    NoUser,
    /// A parameter cannot be used.
    #[error("the connection URL's parameter {0:?} has a value that cannot be used")]
    Parameter(String),
}

/// Schemes of other databases, which may be repeated: they are no part of a password.
const OTHERS: [&str; 8] = ["mysql", "mariadb", "sqlserver", "mongodb", "mongodb+srv", "sqlite", "file", "cockroachdb"];
/// Parameters of libpq that are passed on to it and to our own connection.
const PASSED_ON: [&str; 4] = ["sslmode", "sslrootcert", "sslcert", "sslkey"];
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl ConnectionUrl {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let url = Url::parse(text.trim()).or_else(|_| without_host(text)).map_err(|_| InvalidUrl::Syntax)?;
        let mut pooled = match url.scheme() {
            "postgres" | "postgresql" => None,
            "prisma" | "prisma+postgres" => Some("its scheme is Prisma Accelerate's"),
            other if OTHERS.contains(&other) => return Err(InvalidUrl::Scheme(other.to_owned())),
            // A Secret that holds something else: no part of it is repeated.
            _ => return Err(InvalidUrl::Syntax),
        };
        // A password with a bare / ? or # ends the part before the @, and the rest of it would be taken for a host or a database.
        if url.fragment().is_some() || url.path().contains('@') || url.username().is_empty() && url.as_str().contains('@') {
            return Err(InvalidUrl::Syntax);
        }
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        let host = query.get("host").cloned().or_else(|| url.host_str().map(decode)).filter(|host| !host.is_empty());
        let host = host.unwrap_or_else(|| "localhost".to_owned());
        if query.get("pgbouncer").is_some_and(|value| value == "true") {
            pooled = Some("its parameter pgbouncer is true");
        } else if host.split('.').next().is_some_and(|label| label.ends_with("-pooler")) {
            pooled = Some("its host is a pooler's");
        }
        let port = match query.get("port") {
            Some(port) => port.parse().map_err(|_| InvalidUrl::Parameter("port".to_owned()))?,
            None => url.port().unwrap_or(5432),
        };
        let database = decode(url.path().trim_start_matches('/'));
        let user = decode(url.username());
        if pooled.is_none() && database.is_empty() {
            return Err(InvalidUrl::NoDatabase);
        }
        if pooled.is_none() && user.is_empty() {
            return Err(InvalidUrl::NoUser);
        }
        let parameters = query.iter().filter(|(key, _)| PASSED_ON.contains(&key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
        let password = url.password().map(decode);
        Ok(Self { host, port, user, password, database, parameters, schema: query.get("schema").cloned(), pooled })
    }

    /// Why this URL leads through a pooler, if it can be told from the URL.
    pub fn pooled(&self) -> Option<&'static str> {
        self.pooled
    }

    /// Prisma's `schema` parameter: where the ledger is.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Where unqualified names go when the URL does not say; Prisma's engine puts them into `public`, whatever the role's default.
    #[must_use]
    pub fn or_schema(mut self, schema: &str) -> Self {
        self.schema.get_or_insert_with(|| schema.to_owned());
        self
    }

    /// The same server, user and parameters, another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// `host:port/database`, for messages.
    pub fn place(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.database)
    }

    #[cfg(test)]
    fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// As libpq's environment, so that no password stands in an argument list.
    pub fn libpq_environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = vec![
            ("PGHOST", self.host.clone()),
            ("PGPORT", self.port.to_string()),
            ("PGUSER", self.user.clone()),
            ("PGDATABASE", self.database.clone()),
            ("PGAPPNAME", "sluice-snapshot".to_owned()),
            ("PGCONNECT_TIMEOUT", CONNECT_TIMEOUT.as_secs().to_string()),
            ("PGOPTIONS", startup::client_tool()),
        ];
        if let Some(password) = &self.password {
            environment.push(("PGPASSWORD", password.clone()));
        }
        for (key, name) in [("sslmode", "PGSSLMODE"), ("sslrootcert", "PGSSLROOTCERT"), ("sslcert", "PGSSLCERT"), ("sslkey", "PGSSLKEY")] {
            if let Some(value) = self.parameters.get(key) {
                environment.push((name, value.clone()));
            }
        }
        environment
    }

    fn options(&self, application: &str) -> Result<PgConnectOptions, InvalidUrl> {
        let mut options = PgConnectOptions::new_without_pgpass()
            .port(self.port)
            .username(&self.user)
            .database(&self.database)
            .application_name(application)
            // A migration may say DEALLOCATE ALL, and the cache would not notice.
            .statement_cache_capacity(0)
            .options(startup::session())
            .disable_statement_logging();
        options = if self.host.starts_with('/') { options.socket(&self.host) } else { options.host(&self.host) };
        if let Some(schema) = &self.schema {
            options = options.options([("search_path", format!("\"{}\"", schema.replace('"', "\"\"")))]);
        }
        if let Some(password) = &self.password {
            options = options.password(password);
        }
        if let Some(mode) = self.parameters.get("sslmode") {
            let mode = mode.parse::<PgSslMode>().map_err(|_| InvalidUrl::Parameter("sslmode".to_owned()))?;
            options = options.ssl_mode(mode);
        }
        if let Some(path) = self.parameters.get("sslrootcert") {
            options = options.ssl_root_cert(path);
        }
        if let (Some(cert), Some(key)) = (self.parameters.get("sslcert"), self.parameters.get("sslkey")) {
            options = options.ssl_client_cert(cert).ssl_client_key(key);
        }
        Ok(options)
    }
}

impl fmt::Debug for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionUrl({}, password redacted)", self.place())
    }
}

/// `postgres://user@/database?host=/socket` has an empty host, which the URL standard does not allow.
fn without_host(text: &str) -> Result<Url, url::ParseError> {
    Url::parse(&text.trim().replacen("@/", "@localhost/", 1).replacen(":///", "://localhost/", 1))
}

fn decode(text: &str) -> String {
    // form_urlencoded would turn "+" into a space, which a password may hold.
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok()).and_then(|two| u8::from_str_radix(two, 16).ok());
        if let (b'%', Some(byte)) = (first, hex) {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// No session could be had.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL cannot be read.
    #[error(transparent)]
    Url(InvalidUrl),
    /// The URL leads through a pooler.
    #[error("the connection URL leads through a pooler ({0}): locks and sessions do not hold there; give the URL of the server itself")]
    Pooled(&'static str),
    /// The server has no database of this name.
    #[error("the server has no database {0:?}: Sluice never creates one; create it, or correct the URL in the Secret")]
    NoDatabase(String),
    /// The server cannot be reached, or refuses the login.
    #[error("cannot connect to {place}: {cause}")]
    Unreachable {
        /// `host:port/database`.
        place: String,
        /// What the server or the network said.
        cause: String,
    },
}

impl ConnectError {
    /// The reason of the condition it becomes.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Url(_) => Reason::ConnectionInvalid,
            Self::Pooled(_) => Reason::DirectConnectionRequired,
            Self::NoDatabase(_) => Reason::DatabaseNotFound,
            Self::Unreachable { .. } => Reason::ConnectionFailed,
        }
    }
}

/// Opens a session that dies with its client, for Sluice's own statements. The search path that the URL or the role asks for is the
/// session's default, to which [`Session`](super::Session) goes back for the team's statements.
pub async fn connect(url: &ConnectionUrl, application: &str) -> Result<PgConnection, ConnectError> {
    connect_with(url, application, &[]).await
}

/// The same, with more settings from the start.
pub(super) async fn connect_with(url: &ConnectionUrl, application: &str, settings: &[(&str, &str)]) -> Result<PgConnection, ConnectError> {
    if let Some(why) = url.pooled() {
        return Err(ConnectError::Pooled(why));
    }
    let options = url.options(application).map_err(ConnectError::Url)?.options(settings.iter().copied());
    let unreachable = |cause: String| ConnectError::Unreachable { place: url.place(), cause };
    let work = async {
        let mut connection = PgConnection::connect_with(&options).await?;
        sqlx::raw_sql(AssertSqlSafe(format!("SET search_path = {SEARCH_PATH}"))).execute(&mut connection).await?;
        Ok(connection)
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, work).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(sqlx::Error::Database(error))) if error.code().as_deref() == Some("3D000") => {
            Err(ConnectError::NoDatabase(url.database.clone()))
        }
        Ok(Err(error)) if error.to_string().contains("unsupported startup parameter") => {
            Err(ConnectError::Pooled("it refuses the settings of a session"))
        }
        Ok(Err(error)) => Err(unreachable(said(&error))),
        Err(_) => Err(unreachable(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_never_shows_in_debug_output() {
        let url = ConnectionUrl::parse("postgres://app:s3cr%40t+x@db:5433/records?schema=clinical&connection_limit=5").expect("parses");
        assert_eq!(format!("{url:?}"), "ConnectionUrl(db:5433/records, password redacted)");
        assert_eq!((url.password(), url.schema()), (Some("s3cr@t+x"), Some("clinical")));
    }

    #[test]
    fn parameters_of_prisma_are_not_passed_on_to_libpq() {
        let url = ConnectionUrl::parse("postgresql://u:p@h/d?schema=x&pgbouncer=false&sslmode=require").expect("parses");
        let names: Vec<_> = url.libpq_environment().into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGAPPNAME", "PGCONNECT_TIMEOUT", "PGOPTIONS", "PGPASSWORD", "PGSSLMODE"]
        );
    }

    #[test]
    fn poolers_are_told_from_the_url() {
        for text in
            ["prisma://accelerate.example/?api_key=k", "postgres://u:p@h/d?pgbouncer=true", "postgres://u:p@ep-1-pooler.eu.example/d"]
        {
            assert!(ConnectionUrl::parse(text).expect("parses").pooled().is_some(), "{text}");
        }
        assert_eq!(ConnectionUrl::parse("postgres://u:p@pooler-free.example/d").expect("parses").pooled(), None);
    }

    #[test]
    fn a_socket_folder_is_a_host() {
        for text in ["postgres://u@/d?host=/run/pg&port=5544", "postgres://u@%2Frun%2Fpg:5544/d"] {
            let url = ConnectionUrl::parse(text).expect("parses");
            assert_eq!(url.place(), "/run/pg:5544/d", "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_connection_is_refused_with_the_remedy() {
        assert_eq!(ConnectionUrl::parse("postgres://u:p@h/"), Err(InvalidUrl::NoDatabase));
        assert_eq!(ConnectionUrl::parse("postgres://h/d"), Err(InvalidUrl::NoUser));
        assert_eq!(ConnectionUrl::parse("mysql://u@h/d"), Err(InvalidUrl::Scheme("mysql".into())));
        let with_passwords =
            ["postgres://u:12/s3cret@h/d", "postgres://u:12#s3cret@h/d", "postgres://u:12?s3cret@h/d", "s3cret:word", "https://s3cret/"];
        for text in with_passwords.into_iter().chain(["not a url"]) {
            assert_eq!(ConnectionUrl::parse(text), Err(InvalidUrl::Syntax), "{text}");
        }
    }
}
