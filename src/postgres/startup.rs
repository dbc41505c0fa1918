//! What a session begins with, whatever the role, the database and the environment have as their defaults.
//! The driver's sessions and the client tools get the same.
//!
//! Not for taste: each of these either ends a session whose client is gone, or decides how text is read. On a
//! unix socket the settings of TCP are without effect. A pooler drops or refuses them, and is recognised by
//! that.

use super::url::ConnectionUrl;

/// The back end of a Pod that died must not go on and commit. A session that lacks it went through a pooler.
pub(super) const CHECK_INTERVAL: (&str, &str) = ("client_connection_check_interval", "500ms");

/// A session whose client cannot be reached any more is ended by the server within 15 s, and its locks with
/// it. The server's own default is two hours. `client_connection_check_interval` sees a connection that was
/// closed, and only while a statement runs.
const UNREACHABLE: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "2"),
    // What was sent and is not acknowledged: then there are no keepalives.
    ("tcp_user_timeout", "15s"),
];

/// For how long the locks of a session can outlive its client: keepalives, and the time in which the server
/// acts on them.
pub(super) const OUTLIVES_CLIENT_SECONDS: f64 = 30.0;

/// How text is read. A migration is split as the standard says; where the role has the old rules, a string
/// would end elsewhere, and what the splitter took for a string could be a COMMIT.
const TEXT: [(&str, &str); 2] = [("standard_conforming_strings", "on"), ("backslash_quote", "safe_encoding")];

/// The same in a session that is open, and in which what a file ran may have changed it. The driver speaks
/// UTF-8.
pub(super) const READ_TEXT: &str =
    "SET standard_conforming_strings = on; SET backslash_quote = safe_encoding; SET client_encoding = 'UTF8'";

/// What the role's own limits are for is other work; the deadline of the run bounds this.
const LIMITS: [(&str, &str); 2] = [("lock_timeout", "10s"), ("statement_timeout", "0")];

/// A session that queries many times a second and has fallen silent has no owner any more.
pub(super) const SILENT: (&str, &str) = ("idle_session_timeout", "30s");

/// Every setting of a session of Sluice's own.
pub(super) fn session() -> impl Iterator<Item = (&'static str, &'static str)> {
    std::iter::once(CHECK_INTERVAL).chain(UNREACHABLE).chain(TEXT).chain(LIMITS)
}

/// The protocol, 3.0.
const PROTOCOL: [u8; 4] = [0, 3, 0, 0];

/// The first message of a session, whole: nothing of it comes from the driver, which takes `PGOPTIONS` from
/// the environment. There, `-c session_replication_role=replica` would switch off triggers and foreign keys;
/// and which names a time zone and styles of its own, where the team's statements are to have those of the
/// role and the database. PURE.
pub(super) fn message(url: &ConnectionUrl, application: &str, settings: &[(&str, &str)]) -> Vec<u8> {
    let path =
        url.schema.as_ref().map(|schema| ("search_path", format!("\"{}\"", schema.replace('"', "\"\""))));
    let option = |name: &str, value: &str| format!("-c {name}={}", escaped(value));
    let mut options: Vec<String> = session().map(|(name, value)| option(name, value)).collect();
    options.extend(path.iter().map(|(name, value)| option(name, value)));
    options.extend(settings.iter().map(|(name, value)| option(name, value)));
    let parameters = [
        ("user", url.user.as_str()),
        ("database", url.database.as_str()),
        ("client_encoding", "UTF8"),
        ("application_name", application),
        ("options", &options.join(" ")),
    ];
    let mut body = PROTOCOL.to_vec();
    for text in parameters.into_iter().flat_map(|(name, value)| [name, value]) {
        // A zero would end the value, and what follows it would be another parameter.
        body.extend(text.bytes().map(|byte| if byte == 0 { b'?' } else { byte }));
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [length.to_be_bytes().as_slice(), &body].concat()
}

/// A value within `options`, where a blank begins the next one.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        if c.is_whitespace() || c == '\\' {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// The settings of a client tool, as libpq's `PGOPTIONS`. It has limits of its own.
pub(super) fn client_tool() -> String {
    let settings = std::iter::once(CHECK_INTERVAL).chain(UNREACHABLE).chain(TEXT);
    settings.map(|(name, value)| format!("-c {name}={value}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_begins_with_what_sluice_says_and_nothing_slips_in_between() {
        let url = ConnectionUrl::parse("postgres://app:pw@h/records")
            .expect("parses")
            .or_schema("a b\\\"c\0user\0postgres");
        let message = message(&url, "sluice", &[("lock_timeout", "1s")]);
        assert_eq!(message[..4], u32::try_from(message.len()).expect("short").to_be_bytes());
        let texts: Vec<&str> = std::str::from_utf8(&message[8..]).expect("text").split('\0').collect();
        assert_eq!(texts.len(), 12, "five parameters and the end: {texts:?}");
        assert_eq!(texts[..4], ["user", "app", "database", "records"]);
        let options = texts[9];
        assert!(
            options.contains(" -c search_path=\"a\\ b\\\\\"\"c?user?postgres\" -c lock_timeout=1s"),
            "{options}"
        );
        assert!(!message.windows(2).any(|two| two == b"pw"), "the password is no part of it");
    }

    #[test]
    fn how_text_is_read_is_the_same_later_as_at_the_start() {
        for (name, value) in TEXT {
            assert!(READ_TEXT.contains(&format!("SET {name} = {value};")), "{name}");
        }
    }
}
