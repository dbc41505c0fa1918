//! From a connection URL to a session.

use sqlx::{
    ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};

use super::{
    frame::IN_CLEAR,
    own_settings,
    said::said_at_log_in,
    startup,
    url::{CONNECT_TIMEOUT, ConnectionUrl, InvalidUrl},
    wire::{Wire, WireError},
};
use crate::api::Reason;

/// No session could be had.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL cannot be read.
    #[error(transparent)]
    Url(InvalidUrl),
    /// The URL leads through a pooler.
    #[error(
        "the connection URL leads through a pooler ({0}): locks and sessions do not hold there; give the URL \
            of the server itself"
    )]
    Pooled(&'static str),
    /// The server has no database of this name.
    #[error(
        "the server has no database {0:?}: Sluice never creates one; create it, or correct the URL in the \
            Secret"
    )]
    NoDatabase(String),
    /// The connection is not encrypted as it must be.
    #[error("cannot connect to {place} with sslmode={mode}: {cause}")]
    Tls {
        /// `host:port/database`.
        place: String,
        /// What was asked for.
        mode: &'static str,
        /// What is wrong, and what to do.
        cause: String,
    },
    /// The server does not know what a session begins with.
    #[error(
        "the server at {place} is older than PostgreSQL 15, and Sluice needs 15 or newer ({cause}): upgrade \
            the server"
    )]
    TooOld {
        /// `host:port/database`.
        place: String,
        /// What it said.
        cause: String,
    },
    /// The role may not connect, whatever its password is.
    #[error("cannot connect to {place}: {cause}; {remedy}")]
    Forbidden {
        /// `host:port/database`.
        place: String,
        /// What the server said.
        cause: String,
        /// The statement that mends it.
        remedy: String,
    },
    /// The server cannot be reached, has no room, or does not know the role or its password: the Secret may
    /// be corrected at any time, and only another attempt can see that.
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
            Self::Tls { .. } => Reason::TlsFailed,
            Self::TooOld { .. } => Reason::ServerTooOld,
            Self::Forbidden { .. } => Reason::PrivilegesMissing,
            Self::Unreachable { .. } => Reason::ConnectionFailed,
        }
    }
}

/// What the driver needs to prove which role connects. It reads `PGOPTIONS` and other variables whatever it
/// is told, so what a session begins with is not taken from it: the wire sends [`startup::message`] in its
/// place.
fn options(url: &ConnectionUrl) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .username(&url.user)
        .password(url.password.as_deref().unwrap_or_default())
        // Encrypted or not is decided below the driver.
        .ssl_mode(PgSslMode::Disable)
        // A migration may say DEALLOCATE ALL, and the cache would not notice.
        .statement_cache_capacity(0)
        .disable_statement_logging()
}

/// What the driver says of a name or a password that RFC 4013 forbids.
const SASLPREP: &str = "the user or the password has a character that SASLprep, by which SCRAM compares \
    passwords, does not know or allows in \
                        no password: give the role another password (ALTER ROLE … PASSWORD …), in ASCII";

/// Opens a session that dies with its client, for Sluice's own statements. The search path that the URL or
/// the role asks for is the session's default, to which [`Session`](super::Session) goes back for the team's
/// statements.
pub async fn connect(url: &ConnectionUrl, application: &str) -> Result<PgConnection, ConnectError> {
    connect_with(url, application, &[]).await
}

/// The same, with these defaults where another database's sessions have them. What every session of Sluice's
/// begins with stays, and the schema of the URL.
pub async fn connect_like(
    url: &ConnectionUrl,
    application: &str,
    defaults: &[(String, String)],
) -> Result<PgConnection, ConnectError> {
    let own = |name: &str| {
        startup::session().any(|(own, _)| own == name) || (name == "search_path" && url.schema.is_some())
    };
    let settings =
        defaults.iter().filter(|(name, _)| !own(name)).map(|(name, value)| (name.as_str(), value.as_str()));
    connect_with(url, application, &settings.collect::<Vec<_>>()).await
}

/// The same, with more settings from the start.
pub(super) async fn connect_with(
    url: &ConnectionUrl,
    application: &str,
    settings: &[(&str, &str)],
) -> Result<PgConnection, ConnectError> {
    if let Some(why) = url.pooled() {
        return Err(ConnectError::Pooled(why));
    }
    let begin = startup::message(url, application, settings);
    let connected = async {
        let wire =
            Wire::open(&url.host, url.port, url.tls()).await.map_err(|error| not_reached(url, error))?;
        let (folder, port) =
            wire.offer(begin).map_err(|error| not_reached(url, WireError::Network(error)))?;
        let options = options(url).socket(folder).port(port);
        let mut connection =
            PgConnection::connect_with(&options).await.map_err(|error| refused(url, &error))?;
        sqlx::raw_sql(own_settings!())
            .execute(&mut connection)
            .await
            .map_err(|error| refused(url, &error))?;
        Ok(connection)
    };
    tokio::time::timeout(CONNECT_TIMEOUT, connected).await.unwrap_or_else(|_| {
        let cause = format!("no answer within {} s", CONNECT_TIMEOUT.as_secs());
        Err(ConnectError::Unreachable { place: url.place(), cause })
    })
}

fn not_reached(url: &ConnectionUrl, error: WireError) -> ConnectError {
    match error {
        WireError::Network(error) => {
            ConnectError::Unreachable { place: url.place(), cause: error.to_string() }
        }
        WireError::Tls(cause) => tls(url, &cause),
    }
}

fn tls(url: &ConnectionUrl, cause: &str) -> ConnectError {
    ConnectError::Tls {
        place: url.place(),
        mode: url.tls().mode().name(),
        cause: format!("{cause}{}", url.tls().hint()),
    }
}

/// The server answered, and would not.
fn refused(url: &ConnectionUrl, error: &sqlx::Error) -> ConnectError {
    if let sqlx::Error::Configuration(error) = error {
        // The driver's own words repeat the character.
        let what = if error.to_string().contains("saslprep") {
            SASLPREP
        } else {
            "the driver cannot use the user or the password of the URL"
        };
        return ConnectError::Unreachable { place: url.place(), cause: what.to_owned() };
    }
    let cause = said_at_log_in(error);
    let database = error.as_database_error();
    let code = database.and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
    let message = database.map_or("", sqlx::error::DatabaseError::message);
    let forbidden = |remedy| ConnectError::Forbidden { place: url.place(), cause: cause.clone(), remedy };
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    match code.as_ref() {
        // The same code says that pg_hba.conf has no line for the client, or that the role does not exist.
        "28000" if message.contains("is not permitted to log in") => {
            forbidden(format!("ALTER ROLE {} LOGIN", quoted(&url.user)))
        }
        "42501" if message.contains("permission denied for database") => {
            forbidden(format!("GRANT CONNECT ON DATABASE {} TO {}", quoted(&url.database), quoted(&url.user)))
        }
        "3D000" => ConnectError::NoDatabase(url.database.clone()),
        // PostgreSQL 13 and older.
        "42704" => ConnectError::TooOld { place: url.place(), cause },
        "08P01" if message == IN_CLEAR => tls(url, IN_CLEAR),
        _ if message.contains("unsupported startup parameter") => {
            ConnectError::Pooled("it refuses the settings of a session")
        }
        _ => ConnectError::Unreachable { place: url.place(), cause },
    }
}
