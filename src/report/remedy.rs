//! What of a remedy is SQL to copy, and what is a sentence. PURE.

/// What a statement begins with, in a remedy.
const VERBS: [&str; 12] = [
    "ALTER", "ANALYZE", "COMMENT", "CREATE", "DELETE", "DROP", "GRANT", "INSERT", "REINDEX", "REVOKE",
    "UPDATE", "VACUUM",
];
/// What stands between a statement and words about it.
const BETWEEN: [&str; 3] = ["; ", ": ", ", "];

/// The SQL with which a remedy begins, and the sentence behind it; either may be missing.
pub(super) fn parts(remedy: &str) -> (Option<&str>, Option<&str>) {
    if !is_sql(remedy) {
        return (None, Some(remedy));
    }
    let (mut quote, mut brackets) = (None, 0_usize);
    for (at, character) in remedy.char_indices() {
        match (quote, character) {
            (Some(begun), _) if begun == character => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, '(') => brackets += 1,
            (None, ')') => brackets = brackets.saturating_sub(1),
            (None, _) => {
                let words = BETWEEN.iter().find_map(|between| remedy[at..].strip_prefix(between));
                if let Some(words) = words.filter(|words| {
                    brackets == 0 && words.starts_with(|first: char| first.is_ascii_lowercase())
                }) {
                    return (Some(&remedy[..at]), Some(words));
                }
            }
        }
    }
    (Some(remedy), None)
}

/// A verb and what follows it, in capitals.
fn is_sql(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let is_capital = |word: &str| {
        word.len() > 1 && word.trim_end_matches(',').chars().all(|letter| letter.is_ascii_uppercase())
    };
    words.next().is_some_and(|verb| VERBS.contains(&verb)) && words.next().is_some_and(is_capital)
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn a_statement_is_code_and_the_words_behind_it_are_not() {
        for (remedy, sql, words) in [
            ("DROP INDEX CONCURRENTLY \"s\".\"i\"", Some("DROP INDEX CONCURRENTLY \"s\".\"i\""), None),
            (
                "CREATE INDEX CONCURRENTLY ON \"t\" (\"a\", \"b\"); alone",
                Some("CREATE INDEX CONCURRENTLY ON \"t\" (\"a\", \"b\")"),
                Some("alone"),
            ),
            ("ALTER TABLE \"a, b\" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY", None, None),
            (
                "REVOKE ALL ON \"x\" FROM \"y\", or name it in except",
                Some("REVOKE ALL ON \"x\" FROM \"y\""),
                Some("or name it in except"),
            ),
            ("ALTER POLICY \"p\" ON \"t\": compare", Some("ALTER POLICY \"p\" ON \"t\""), Some("compare")),
            ("GRANT SELECT, INSERT ON \"t\" TO \"r\"", None, None),
        ] {
            let sql = if sql.is_none() { Some(remedy) } else { sql };
            assert_eq!(parts(remedy), (sql, words), "{remedy}");
        }
    }

    #[test]
    fn a_sentence_is_no_code() {
        for remedy in [
            "let Sluice run: it applies what is pending",
            "FORCE ROW LEVEL SECURITY on them",
            "create it (CREATE ROLE app)",
            "ALTER it",
            "",
        ] {
            assert_eq!(parts(remedy), (None, Some(remedy)));
        }
    }
}
