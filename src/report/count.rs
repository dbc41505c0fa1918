//! Numbers with their words. PURE.

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
    fn plurals() {
        assert_eq!(
            ["policy", "index", "table", "foreign key", "day"].map(|word| count(2, word)),
            ["2 policies", "2 indexes", "2 tables", "2 foreign keys", "2 days"]
        );
        assert_eq!(count(1, "policy"), "1 policy");
    }
}
