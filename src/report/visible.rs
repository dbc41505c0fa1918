//! What would steer a terminal, a parser or the eye is shown instead of obeyed. PURE.

/// The text with control characters and those that turn the direction of writing spelled out. Names in a database may hold any of them.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Control characters, marks and overrides of direction, separators of lines, and what no XML document may hold.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// `1 table`, `2 tables`.
pub(super) fn count(n: usize, one: &str) -> String {
    let many = match one.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if one.ends_with('x') => format!("{one}es"),
        _ => format!("{one}s"),
    };
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal_and_everything_else_stays() {
        assert_eq!(visible("a\u{1b}[31m\nb\u{202e}c"), "a\\u{1b}[31m\\nb\\u{202e}c");
        assert_eq!(visible("naïve “𝛼” 🏥 <&>"), "naïve “𝛼” 🏥 <&>");
    }

    #[test]
    fn plurals() {
        assert_eq!(
            ["policy", "index", "table", "foreign key", "day"].map(|word| count(2, word)),
            ["2 policies", "2 indexes", "2 tables", "2 foreign keys", "2 days"]
        );
        assert_eq!(count(1, "policy"), "1 policy");
    }
}
