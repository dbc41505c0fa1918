//! A connection URL, read. It holds a password: its `Debug` is redacted, it has no `Display`, and nothing of
//! one that cannot be read is ever quoted.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use url::Url;

use super::{
    startup,
    tls::{Tls, TlsMode, is_about_safety},
};

/// Where the database is and which role connects. Prisma's own parameters are understood or taken off.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionUrl {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) database: String,
    tls: Tls,
    pub(super) schema: Option<String>,
    pooled: Option<&'static str>,
}

/// The URL cannot be used. Never quotes it: it may hold a password, and in a place where no reader expects
/// one.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidUrl {
    /// It is not a URL at all.
    #[error(
        "the connection URL is not a URL: write postgres://user:password@host:5432/database, with special \
            characters percent-encoded \
         (@ is %40, / is %2F, # is %23)"
    )]
    Syntax,
    /// It is a URL of something else.
    #[error("the connection URL has the scheme {0:?}: Sluice needs a direct postgres:// URL")]
    Scheme(&'static str),
    /// The database is missing.
    #[error("the connection URL names no database: append /DATABASE")]
    NoDatabase,
    /// The user is missing.
    #[error("the connection URL names no user: write postgres://USER:password@…")]
    NoUser,
    /// A parameter cannot be used.
    #[error(
        "the connection URL's parameter {0:?} is not known, or its value is not: the names are libpq's, such \
            as sslmode, in small letters"
    )]
    Parameter(String),
    /// A parameter that decides where a connection leads, or how safe it is, stands there twice.
    #[error("the connection URL's parameter {0:?} stands there more than once: leave one")]
    Repeated(String),
    /// A NUL byte, behind which a server reads something else.
    #[error(
        "the connection URL has a NUL byte (%00) in its user, password, host, database or a parameter: \
            PostgreSQL takes none; remove it"
    )]
    Zero,
    /// What it says about TLS cannot be done.
    #[error("the connection URL's parameters for TLS cannot be used: {0}")]
    Tls(&'static str),
}

/// Schemes that are named in an error. Whatever else stands before a colon may be part of a password.
const OTHER_SCHEMES: [&str; 8] =
    ["mysql", "mariadb", "sqlserver", "mongodb", "mongodb+srv", "sqlite", "file", "cockroachdb"];
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

impl ConnectionUrl {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let url = Url::parse(text.trim()).or_else(|_| without_host(text)).map_err(|_| InvalidUrl::Syntax)?;
        let mut pooled = match url.scheme() {
            "postgres" | "postgresql" => None,
            "prisma" | "prisma+postgres" => Some("its scheme is Prisma Accelerate's"),
            other => {
                let known = OTHER_SCHEMES.into_iter().find(|known| *known == other);
                return Err(known.map_or(InvalidUrl::Syntax, InvalidUrl::Scheme));
            }
        };
        // A password with one of these characters, not encoded, ends the host too early: its rest would be
        // taken for something else.
        if url.fragment().is_some()
            || url.path().contains('@')
            || url.query().is_some_and(|query| query.contains('@'))
        {
            return Err(InvalidUrl::Syntax);
        }
        let query = parameters(&url)?;
        let host =
            query.get("host").cloned().or_else(|| url.host_str().map(decode)).filter(|host| !host.is_empty());
        let host = host.unwrap_or_else(|| "localhost".to_owned());
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
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
        let zero = |text: &str| text.contains('\0');
        if zero(&host)
            || zero(&user)
            || zero(&database)
            || url.password().is_some_and(|password| zero(&decode(password)))
        {
            return Err(InvalidUrl::Zero);
        }
        let (tls, password) = (Tls::of_parameters(&query)?, url.password().map(decode));
        let tls = if host.starts_with('/') { tls.on_a_socket()? } else { tls };
        Ok(Self { host, port, user, password, database, tls, schema: query.get("schema").cloned(), pooled })
    }

    /// Why this URL leads through a pooler, if it can be told from the URL.
    pub fn pooled(&self) -> Option<&'static str> {
        self.pooled
    }

    /// Prisma's `schema` parameter: where the history is.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Where unqualified names go when the URL does not say; Prisma's engine puts them into `public`,
    /// whatever the role's default.
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

    /// The server has to prove, by an authority of this file, that it is the one that the URL names.
    pub fn verified_by(self, authorities: PathBuf) -> Result<Self, InvalidUrl> {
        Ok(Self { tls: self.tls.verified_by(authorities)?, ..self })
    }

    /// How connections are encrypted.
    pub(super) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// How connections are encrypted, in libpq's words for it.
    pub fn encryption(&self) -> String {
        if self.host.starts_with('/') {
            "a unix socket".to_owned()
        } else {
            format!("sslmode={}", self.tls.mode().name())
        }
    }

    /// Whether a client that knows no better would send the password over a network that others can read.
    pub fn gives_password_in_clear(&self) -> bool {
        self.password.as_ref().is_some_and(|password| !password.is_empty())
            && !self.host.starts_with('/')
            && self.tls.mode() == TlsMode::Disable
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
        environment.extend(self.password.clone().map(|password| ("PGPASSWORD", password)));
        environment.extend(self.tls.libpq_environment());
        environment
    }
}

impl fmt::Debug for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionUrl({}, password redacted)", self.place())
    }
}

/// The parameters. Of two that differ the last would count, and a person who reads the first would believe
/// it.
fn parameters(url: &Url) -> Result<BTreeMap<String, String>, InvalidUrl> {
    let mut parameters = BTreeMap::new();
    for (name, value) in url.query_pairs().into_owned() {
        if value.contains('\0') || name.contains('\0') {
            return Err(InvalidUrl::Zero);
        }
        let decides =
            is_about_safety(&name) || ["host", "port", "schema", "pgbouncer"].contains(&name.as_str());
        if decides && parameters.contains_key(&name) {
            return Err(InvalidUrl::Repeated(
                name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect(),
            ));
        }
        parameters.insert(name, value);
    }
    Ok(parameters)
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
        let hex = tail
            .get(..2)
            .and_then(|two| std::str::from_utf8(two).ok())
            .and_then(|two| u8::from_str_radix(two, 16).ok());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_never_shows_in_debug_output() {
        let url = ConnectionUrl::parse(
            "postgres://app:s3cr%40t+x@db:5433/records?schema=clinical&connection_limit=5",
        )
        .expect("parses");
        assert_eq!(format!("{url:?}"), "ConnectionUrl(db:5433/records, password redacted)");
        assert_eq!((url.password(), url.schema()), (Some("s3cr@t+x"), Some("clinical")));
    }

    #[test]
    fn parameters_of_prisma_are_not_passed_on_to_libpq() {
        let url = ConnectionUrl::parse("postgresql://u:p@h/d?schema=x&pgbouncer=false&connection_limit=1")
            .expect("parses");
        let names: Vec<_> = url.libpq_environment().into_iter().map(|(name, _)| name).collect();
        assert!(names.iter().all(|name| name.starts_with("PG") && *name != "PGSERVICE"), "{names:?}");
        assert!(names.contains(&"PGPASSWORD") && names.contains(&"PGSSLMODE"), "{names:?}");
    }

    #[test]
    fn poolers_are_told_from_the_url() {
        for text in [
            "prisma://accelerate.example/?api_key=k",
            "postgres://u:p@h/d?pgbouncer=true",
            "postgres://u:p@ep-1-pooler.eu.example/d",
        ] {
            assert!(ConnectionUrl::parse(text).expect("parses").pooled().is_some(), "{text}");
        }
        assert_eq!(
            ConnectionUrl::parse("postgres://u:p@pooler-free.example/d").expect("parses").pooled(),
            None
        );
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
        assert_eq!(ConnectionUrl::parse("mysql://u@h/d"), Err(InvalidUrl::Scheme("mysql")));
        let with_passwords = [
            "postgres://u:12/s3cret@h/d",
            "postgres://u:12#s3cret@h/d",
            "postgres://u:12?s3cret@h/d",
            "s3cret:word",
            "https://s3cret/",
        ];
        for text in with_passwords.into_iter().chain(["not a url"]) {
            assert_eq!(ConnectionUrl::parse(text), Err(InvalidUrl::Syntax), "{text}");
        }
    }

    #[test]
    fn nothing_of_what_cannot_be_read_is_quoted_or_taken_for_a_host() {
        for text in [
            "hunter2:and-more",
            "hunter2",
            "secret-word://x@h/d",
            "postgres://u:hun/ter2@h/d",
            "postgres://u:1/hunter2@h/d",
            "postgres://u:1#hunter2@h/d",
            "postgres://u:1?hunter2@h/d",
            "postgres://u:p@hunter2/x@h/d",
            "postgres://u:p@hunter2#x@h/d",
            "postgres://hunter2@h",
        ] {
            let error = ConnectionUrl::parse(text).expect_err(text).to_string();
            assert!(!error.contains("hunter") && !error.contains("secret-word"), "{text}: {error}");
        }
    }

    #[test]
    fn nothing_is_said_twice_and_nothing_hides_behind_a_zero() {
        let of = |text: &str| ConnectionUrl::parse(text);
        for twice in [
            "sslmode=verify-full&sslmode=disable",
            "sslrootcert=/a&sslrootcert=/b",
            "host=/a&host=/b",
            "channel_binding=require&channel_binding=prefer",
        ] {
            assert!(
                matches!(of(&format!("postgres://u:p@h/d?{twice}")), Err(InvalidUrl::Repeated(_))),
                "{twice}"
            );
        }
        assert!(of("postgres://u:p@h/d?sslmode=require&connection_limit=1&connection_limit=2").is_ok());
        for zero in [
            "postgres://u%00search_path%00evil:p@h/d",
            "postgres://u:p%00@h/d",
            "postgres://u:p@h/d%00x",
            "postgres://u:p@h/d?schema=a%00b",
        ] {
            assert!(matches!(of(zero), Err(InvalidUrl::Zero)), "{zero}");
        }
    }

    #[test]
    fn a_password_is_in_danger_without_tls_on_a_network_only() {
        for (text, expected) in [
            ("postgres://u:p@h/d?sslmode=disable", true),
            ("postgres://u@h/d?sslmode=disable", false),
            ("postgres://u:p@h/d", false),
            ("postgres://u:p@/d?host=/run/postgresql&sslmode=disable", false),
        ] {
            assert_eq!(
                ConnectionUrl::parse(text).expect("parses").gives_password_in_clear(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn an_address_of_ipv6_is_a_host() {
        assert_eq!(ConnectionUrl::parse("postgres://u@[::1]:5433/d").expect("parses").place(), "::1:5433/d");
    }
}
