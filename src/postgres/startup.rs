//! What a session begins with, whatever the role, the database and the environment have as their defaults. The driver's sessions and
//! the client tools get the same.
//!
//! Not for taste: each of these either ends a session whose client is gone, or decides how text is read. On a unix socket the settings
//! of TCP are without effect. A pooler drops or refuses them, and is recognised by that.

/// The back end of a Pod that died must not go on and commit. A session that lacks it went through a pooler.
pub(super) const CHECK_INTERVAL: (&str, &str) = ("client_connection_check_interval", "500ms");

/// A session whose client cannot be reached any more is ended by the server within 15 s, and its locks with it. The server's own
/// default is two hours. `client_connection_check_interval` sees a connection that was closed, and only while a statement runs.
const UNREACHABLE: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "2"),
    // What was sent and is not acknowledged: then there are no keepalives.
    ("tcp_user_timeout", "15s"),
];

/// For how long the locks of a session can outlive its client: keepalives, and the time in which the server acts on them.
pub(super) const OUTLIVES_CLIENT_SECONDS: f64 = 30.0;

/// How text is read. A migration is split as the standard says; where the role has the old rules, a string would end elsewhere, and
/// what the splitter took for a string could be a COMMIT.
const TEXT: [(&str, &str); 2] = [("standard_conforming_strings", "on"), ("backslash_quote", "safe_encoding")];

/// What the role's own limits are for is other work; the deadline of the run bounds this.
const LIMITS: [(&str, &str); 2] = [("lock_timeout", "10s"), ("statement_timeout", "0")];

/// A session that asks many times a second and has fallen silent has no owner any more.
pub(super) const SILENT: (&str, &str) = ("idle_session_timeout", "30s");

/// Every setting of a session of Sluice's own.
pub(super) fn session() -> impl Iterator<Item = (&'static str, &'static str)> {
    std::iter::once(CHECK_INTERVAL).chain(UNREACHABLE).chain(TEXT).chain(LIMITS)
}

/// The settings of a client tool, as libpq's `PGOPTIONS`. It has limits of its own.
pub(super) fn client_tool() -> String {
    let settings = std::iter::once(CHECK_INTERVAL).chain(UNREACHABLE).chain(TEXT);
    settings.map(|(name, value)| format!("-c {name}={value}")).collect::<Vec<_>>().join(" ")
}
