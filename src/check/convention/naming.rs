//! Whether a name has a style or fits a template. PURE.

use crate::api::Style;

/// The longest name that PostgreSQL keeps.
const LONGEST: usize = 63;

/// Whether a name has the style.
pub(super) fn has_style(name: &str, style: Style) -> bool {
    let starts = |upper: bool| {
        name.starts_with(|c: char| if upper { c.is_ascii_uppercase() } else { c.is_ascii_lowercase() })
    };
    let joined = |letter: fn(&u8) -> bool| {
        let word =
            |word: &str| !word.is_empty() && word.bytes().all(|byte| letter(&byte) || byte.is_ascii_digit());
        name.split('_').all(word)
    };
    match style {
        Style::PascalCase => starts(true) && name.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        Style::CamelCase => starts(false) && name.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        Style::SnakeCase => starts(false) && joined(u8::is_ascii_lowercase),
        Style::UpperSnakeCase => starts(true) && joined(u8::is_ascii_uppercase),
    }
}

/// The style as the manifest writes it.
pub(super) const fn name_of(style: Style) -> &'static str {
    match style {
        Style::PascalCase => "PascalCase",
        Style::CamelCase => "camelCase",
        Style::SnakeCase => "snake_case",
        Style::UpperSnakeCase => "UPPER_SNAKE_CASE",
    }
}

/// The name that a template gives; without columns where one of them is an expression, which has no name.
pub(super) fn fill(template: &str, table: &str, columns: Option<&[String]>) -> String {
    template
        .replace("{table}", table)
        .replace("{columns}", &columns.map_or_else(|| "…".to_owned(), |columns| columns.join("_")))
}

/// Whether a name is the one that a template gives. Where that is too long, every tool shortens it
/// differently, and where a column is an expression there is no telling: then what stands before and behind
/// must be right.
pub(super) fn fits(name: &str, template: &str, table: &str, columns: Option<&[String]>) -> bool {
    let full = fill(template, table, columns);
    if columns.is_some() && full.len() <= LONGEST {
        return name == full;
    }
    let before = template.split('{').next().unwrap_or_default();
    let behind = template.rsplit('}').next().unwrap_or_default();
    let short = full.get(..LONGEST).is_some_and(|short| short == name);
    short || (name.len() >= before.len() + behind.len() && name.starts_with(before) && name.ends_with(behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_style_takes_its_own_names_and_no_others() {
        for (name, styles) in [
            ("LabResult", vec![Style::PascalCase]),
            ("labResult", vec![Style::CamelCase]),
            ("lab_result", vec![Style::SnakeCase]),
            ("LAB_RESULT", vec![Style::UpperSnakeCase]),
            ("patients", vec![Style::CamelCase, Style::SnakeCase]),
            ("URL2", vec![Style::PascalCase, Style::UpperSnakeCase]),
            ("Lab_Result", vec![]),
            ("_x", vec![]),
            ("x__y", vec![]),
            ("x_", vec![]),
            ("2x", vec![]),
            ("patiënt", vec![]),
            ("", vec![]),
        ] {
            let all = [Style::PascalCase, Style::CamelCase, Style::SnakeCase, Style::UpperSnakeCase];
            let has: Vec<_> = all.into_iter().filter(|style| has_style(name, *style)).collect();
            assert_eq!(has, styles, "{name}");
        }
    }

    #[test]
    fn a_template_is_filled_with_table_and_columns() {
        let columns = ["userId".to_owned(), "createdAt".to_owned()];
        assert!(fits("Visit_userId_createdAt_idx", "{table}_{columns}_idx", "Visit", Some(&columns)));
        assert!(fits("idx_Visit_userId_createdAt", "idx_{table}_{columns}", "Visit", Some(&columns)));
        assert!(!fits("Visit_createdAt_userId_idx", "{table}_{columns}_idx", "Visit", Some(&columns)));
        assert!(!fits("Visit_userId_createdAt", "{table}_{columns}_idx", "Visit", Some(&columns)));
    }

    #[test]
    fn a_name_that_had_to_be_shortened_needs_the_right_ends() {
        let columns = ["a".repeat(70)];
        let shortened = format!("Visit_{}_idx", "a".repeat(53));
        assert!(fits(&shortened, "{table}_{columns}_idx", "Visit", Some(&columns)));
        assert!(!fits("whatever", "{table}_{columns}_idx", "Visit", Some(&columns)));
        assert!(fits("Visit_lower_idx", "{table}_{columns}_idx", "Visit", None), "an expression has no name");
    }
}
