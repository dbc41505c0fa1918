//! Whether a condition of a policy lets through rows of one tenant only, told from its text. What is not
//! recognized is not proven. PURE.

use crate::sql::{TokenKind, Tokens};

/// What a condition has to compare.
pub(super) struct Comparison<'a> {
    /// The tenant column.
    pub(super) column: &'a str,
    /// The tenant's setting.
    pub(super) setting: &'a str,
    /// Functions without arguments that answer with the setting: by their names, as [`Comparison::is_value`]
    /// found.
    pub(super) functions: &'a [String],
}

type Word<'a> = (TokenKind, &'a str);

impl Comparison<'_> {
    /// Whether the condition holds only where the tenant column equals the setting: each of what is joined by
    /// OR, and one of what is joined by AND.
    pub(super) fn is_made_by(&self, condition: &str) -> bool {
        self.holds_for_one(&words(condition))
    }

    /// Whether a query, as it stands in a function, answers with the setting, and nothing else.
    pub(super) fn is_value(&self, query: &str) -> bool {
        let mut query = words(query);
        if query.last().is_some_and(|last| is(*last, ';')) {
            query.pop();
        }
        query.first().is_some_and(|first| keyword(*first, "select")) && self.value(&query)
    }

    fn holds_for_one(&self, condition: &[Word]) -> bool {
        let condition = bare(condition);
        if condition.iter().any(|word| keyword(*word, "case")) {
            return false;
        }
        let either = parts(condition, |word| keyword(word, "or"));
        if either.len() > 1 {
            return either.into_iter().all(|part| self.holds_for_one(part));
        }
        let both = parts(condition, |word| keyword(word, "and"));
        if both.len() > 1 {
            return both.into_iter().any(|part| self.holds_for_one(part));
        }
        matches!(condition, [one] if keyword(*one, "false")) || self.compares(condition)
    }

    fn compares(&self, condition: &[Word]) -> bool {
        // A longer operator is several symbols: one of them would be left over at a side, and no side may
        // begin or end with a symbol.
        match parts(condition, |word| is(word, '=')).as_slice() {
            [left, right] => {
                (self.is_column(left) && self.value(right)) || (self.is_column(right) && self.value(left))
            }
            _ => false,
        }
    }

    /// The column, or its text: two tenants must not become the same by a cast.
    fn is_column(&self, side: &[Word]) -> bool {
        let side = bare(side);
        if let Some((before, kind)) = cast(side) {
            let keeps = matches!(kind, [one] if keyword(*one, "text") || keyword(*one, "numeric"))
                || matches!(kind, [one, two] if keyword(*one, "character") && keyword(*two, "varying"));
            return keeps && self.is_column(before);
        }
        matches!(side, [one] if name(*one).as_deref() == Some(self.column))
    }

    fn value(&self, side: &[Word]) -> bool {
        let side = bare(side);
        if let Some((before, kind)) = cast(side) {
            return is_type(kind) && self.value(before);
        }
        match side {
            [first, rest @ ..] if keyword(*first, "select") => {
                let rest = match rest {
                    [inner @ .., marker, alias] if keyword(*marker, "as") && name(*alias).is_some() => inner,
                    _ => rest,
                };
                !rest.is_empty() && self.value(rest)
            }
            [schema, dot, rest @ ..] if keyword(*schema, "pg_catalog") && is(*dot, '.') => self.value(rest),
            [function, inner @ ..] if keyword(*function, "nullif") => {
                matches!(parts(bare(inner), |word| is(word, ',')).as_slice(), [value, empty] if self.value(value) && text(empty) == Some("''"))
            }
            [function, inner @ ..] if keyword(*function, "current_setting") => {
                self.reads_setting(bare(inner))
            }
            [.., function, open, close] if is(*open, '(') && is(*close, ')') => {
                name(*function).is_some_and(|name| self.functions.contains(&name))
                    && is_qualified(&side[..side.len() - 2])
            }
            _ => false,
        }
    }

    fn reads_setting(&self, arguments: &[Word]) -> bool {
        let arguments = parts(arguments, |word| is(word, ','));
        let known =
            |words: &[Word]| matches!(words, [one] if keyword(*one, "true") || keyword(*one, "false"));
        let is_ours = arguments
            .first()
            .and_then(|first| text(first))
            .is_some_and(|literal| is_literal(literal, self.setting));
        is_ours && arguments.get(1).is_none_or(|second| known(second)) && arguments.len() <= 2
    }
}

/// What a condition reads beside the row and the tenant's setting, in words: who is connected, and other
/// settings.
pub(super) fn asks(condition: &str, setting: &str) -> Vec<String> {
    const WHO: [&str; 10] = [
        "session_user",
        "current_user",
        "current_role",
        "user",
        "pg_has_role",
        "inet_client_addr",
        "inet_server_addr",
        "pg_backend_pid",
        "current_database",
        "current_query",
    ];
    let words = words(condition);
    let mut expected = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let before_name = words.get(at.wrapping_sub(1)).is_some_and(|before| is(*before, '.'));
        let plain = name(*word).filter(|_| word.0 == TokenKind::Word && !before_name);
        match plain {
            Some(name) if WHO.contains(&name.as_str()) => expected.push(name),
            Some(name) if name == "current_setting" => match words.get(at + 2) {
                Some((TokenKind::Text, literal)) if is_literal(literal, setting) => {}
                Some((TokenKind::Text, literal)) => {
                    expected.push(format!("the setting {}", literal.trim_matches('\'')));
                }
                _ => expected.push("a setting whose name it makes up".to_owned()),
            },
            _ => {}
        }
    }
    expected.sort();
    expected.dedup();
    expected
}

fn words(condition: &str) -> Vec<Word<'_>> {
    let tokens = Tokens::of(condition)
        .filter(|token| !matches!(token.kind, TokenKind::LineComment | TokenKind::BlockComment));
    tokens.map(|token| (token.kind, &condition[token.start..token.end])).collect()
}

fn is((kind, _): Word, symbol: char) -> bool {
    matches!(kind, TokenKind::Symbol(byte) if char::from(byte) == symbol)
}

fn keyword((kind, text): Word, keyword: &str) -> bool {
    kind == TokenKind::Word && text.eq_ignore_ascii_case(keyword)
}

/// A name as the catalog has it.
fn name((kind, text): Word) -> Option<String> {
    match kind {
        TokenKind::Word => Some(text.to_lowercase()),
        TokenKind::Quoted => Some(text.strip_prefix('"')?.strip_suffix('"')?.replace("\"\"", "\"")),
        _ => None,
    }
}

/// A literal of this name of a setting, whatever its case.
fn is_literal(literal: &str, setting: &str) -> bool {
    literal
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
        .is_some_and(|name| name.eq_ignore_ascii_case(setting))
}

/// The literal that these words are, cast to text or not.
fn text<'a>(words: &[Word<'a>]) -> Option<&'a str> {
    match words {
        [(TokenKind::Text, literal)] => Some(literal),
        [(TokenKind::Text, literal), one, two, kind]
            if is(*one, ':') && is(*two, ':') && keyword(*kind, "text") =>
        {
            Some(literal)
        }
        _ => None,
    }
}

/// How deep in parentheses each word is; a parenthesis counts as what is around it.
fn depths<'a>(words: &'a [Word]) -> impl Iterator<Item = usize> + 'a {
    let mut depth = 0_usize;
    words.iter().map(move |word| {
        if is(*word, ')') || is(*word, ']') {
            depth = depth.saturating_sub(1);
        }
        let here = depth;
        if is(*word, '(') || is(*word, '[') {
            depth += 1;
        }
        here
    })
}

/// Without the parentheses around all of it.
fn bare<'w, 'a>(words: &'w [Word<'a>]) -> &'w [Word<'a>] {
    match words {
        [open, inner @ .., close] if is(*open, '(') && is(*close, ')') => {
            let around = depths(words).skip(1).take(inner.len()).all(|depth| depth > 0);
            if around { bare(inner) } else { words }
        }
        _ => words,
    }
}

/// What stands between the separators that are in no parentheses.
fn parts<'w, 'a>(words: &'w [Word<'a>], separates: impl Fn(Word) -> bool) -> Vec<&'w [Word<'a>]> {
    let mut from = 0;
    let mut parts = Vec::new();
    for (at, depth) in depths(words).enumerate() {
        if depth == 0 && separates(words[at]) {
            parts.push(&words[from..at]);
            from = at + 1;
        }
    }
    parts.push(&words[from..]);
    parts
}

/// What is cast, and the type, where the last thing done is a cast.
fn cast<'w, 'a>(words: &'w [Word<'a>]) -> Option<(&'w [Word<'a>], &'w [Word<'a>])> {
    let depths: Vec<_> = depths(words).collect();
    let at = (1..words.len())
        .rev()
        .find(|at| depths[*at] == 0 && is(words[*at], ':') && is(words[*at - 1], ':'))?;
    Some((&words[..at - 1], &words[at + 1..]))
}

/// The name of a type, qualified or of two words, with a length or without. An array is none: it holds
/// several tenants.
fn is_type(words: &[Word]) -> bool {
    let mut depths = depths(words);
    !words.is_empty()
        && words.iter().all(|word| {
            let inside = depths.next().is_some_and(|depth| depth > 0);
            let is_name = name(*word)
                .is_some_and(|name| !["and", "or", "collate", "operator", "at"].contains(&name.as_str()));
            if inside {
                word.0 == TokenKind::Number || is(*word, ',')
            } else {
                is_name || ['.', '(', ')'].iter().any(|symbol| is(*word, *symbol))
            }
        })
}

/// `name` or `schema.name`.
fn is_qualified(words: &[Word]) -> bool {
    match words {
        [_] => true,
        [schema, dot, _] => name(*schema).is_some() && is(*dot, '.'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: &str = "NULLIF(current_setting('app.tenant'::text, true), ''::text)";

    fn comparison(functions: &[String]) -> Comparison<'_> {
        Comparison { column: "tenant_id", setting: "app.tenant", functions }
    }

    fn is_made_by(condition: &str) -> bool {
        comparison(&["tenant".to_owned()]).is_made_by(&condition.replace("{read}", READ))
    }

    #[test]
    fn a_comparison_with_the_setting_is_recognized_in_each_of_its_forms() {
        for condition in [
            "(tenant_id = {read})",
            "(tenant_id = ({read})::uuid)",
            "(({read})::uuid = tenant_id)",
            "(tenant_id = ( SELECT ({read})::uuid AS \"nullif\"))",
            "((tenant_id)::text = current_setting('APP.tenant'::text, true))",
            "((tenant_id)::text = ({read})::character varying(20))",
            "(tenant_id = (current_setting('app.tenant'::text))::public.tenant)",
            "((tenant_id = {read}) AND (note <> 'or'::text))",
            "((tenant_id = {read}) AND ((note = 'x'::text) OR (SESSION_USER = 'y'::name)))",
            "(((tenant_id = {read}) AND a) OR ((tenant_id = {read}) AND b))",
            "(tenant_id = tenant())",
            "(tenant_id = ( SELECT app.tenant() AS tenant))",
            "false",
        ] {
            assert!(is_made_by(condition), "{condition}");
        }
    }

    #[test]
    fn whatever_else_may_let_a_row_through_is_not() {
        for condition in [
            "true",
            "(SESSION_USER = 'app'::name)",
            "((tenant_id = {read}) OR (note = 'x'::text))",
            "((tenant_id = {read}) OR (current_setting('app.admin'::text, true) = 'on'::text))",
            "(current_setting('app.tenant'::text, true) = 'master'::text)",
            "(tenant_id ~~ ({read} || '%'::text))",
            "(tenant_id <= {read})",
            "(tenant_id >= {read})",
            "(tenant_id <> {read})",
            "(NOT (tenant_id = {read}))",
            "(NOT (tenant_id IS DISTINCT FROM {read}))",
            "(tenant_id OPERATOR(public.=) {read})",
            "(tenant_id = current_setting('app.other'::text, true))",
            "(tenant_id = COALESCE({read}, 'master'::text))",
            "(tenant_id = ANY ((string_to_array({read}, ','::text))::text[]))",
            "((tenant_id)::character(1) = {read})",
            "(\"left\"(tenant_id, 1) = {read})",
            "(other_id = {read})",
            "(tenant_id = tenant_id)",
            "(tenant_id = theirs())",
            "(tenant_id = ( SELECT {read} AS \"nullif\" FROM members))",
            "(EXISTS ( SELECT 1 FROM members m WHERE (m.tenant_id = {read})))",
            "CASE WHEN a THEN (tenant_id = {read}) ELSE b END",
            "((tenant_id = {read}) IS NOT TRUE)",
            "(tenant_id = {read}) = false",
            "(\"Tenant_id\" = {read})",
        ] {
            assert!(!is_made_by(condition), "{condition}");
        }
    }

    #[test]
    fn a_function_that_answers_with_the_setting_is_told_from_others() {
        let is_value = |query: &str| comparison(&[]).is_value(query);
        assert!(is_value("SELECT NULLIF(current_setting('app.tenant', true), '')::uuid"));
        assert!(is_value(
            "\n  select nullif(pg_catalog.current_setting('app.tenant', true), '')::uuid; -- the tenant\n"
        ));
        for query in [
            "SELECT 1",
            "SELECT current_setting('app.other')",
            "SELECT current_setting('app.tenant') FROM x",
            "VALUES (1)",
            "",
        ] {
            assert!(!is_value(query), "{query}");
        }
    }

    #[test]
    fn what_it_asks_beside_the_tenant_is_named() {
        assert_eq!(
            asks(
                "((SESSION_USER = 'x'::name) OR (tenant_id = current_setting('app.tenant'::text)))",
                "app.tenant"
            ),
            ["session_user"]
        );
        assert_eq!(
            asks("(current_setting('app.admin'::text, true) = 'on'::text)", "app.tenant"),
            ["the setting app.admin"]
        );
        assert_eq!(
            asks("(current_setting(name, true) = 'session_user'::text)", "app.tenant"),
            ["a setting whose name it makes up"]
        );
    }

    #[test]
    fn unreadable_text_is_not_proven_and_breaks_nothing() {
        for text in [
            "",
            "(",
            ")",
            "((",
            "())",
            "\"",
            "'",
            "= =",
            "tenant_id =",
            ":: ::",
            "::text",
            "nullif",
            "select",
            "current_setting(",
        ] {
            assert!(!is_made_by(text), "{text}");
            assert!(!comparison(&[]).is_value(text), "{text}");
        }
    }
}
