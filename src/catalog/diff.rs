//! Differences as a text for people, in the manner of `diff`: `-` is what the migrations make, `+` what the
//! database has. PURE.

use std::fmt::Write as _;

use super::{Change, Difference, Part};

/// The whole list, one paragraph for each object, nothing left out.
pub fn text(differences: &[Difference]) -> String {
    let mut text = String::new();
    for Difference { kind, name, change } in differences {
        let (sign, rest) = match change {
            Change::Missing(properties) => ("-", all('-', properties)),
            Change::Extra(properties) => ("+", all('+', properties)),
            Change::Different(parts) => ("~", parts.iter().map(both).collect()),
            Change::Reordered(part) => ("~", both(part)),
        };
        push(&mut text, format_args!("{sign} {} {name}\n{rest}", kind.word()));
    }
    text
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    // A String takes every text.
    let _ = text.write_fmt(what);
}

fn all(sign: char, properties: &[(&'static str, String)]) -> String {
    properties.iter().map(|(word, value)| format!("    {word}\n{}", lines(sign, value))).collect()
}

fn lines(sign: char, value: &str) -> String {
    value.lines().map(|line| format!("      {sign} {line}\n")).collect()
}

/// Both sides; of long texts, the lines that are the same on both sides at the beginning and at the end are
/// left out.
fn both(part: &Part) -> String {
    let (expected, actual) =
        (part.expected.as_deref().unwrap_or("(none)"), part.actual.as_deref().unwrap_or("(none)"));
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), actual.lines().collect());
    let before = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let most = old.len().min(new.len()) - before;
    let after = old.iter().rev().zip(new.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    let mut text = format!("    {}", part.word);
    if before > 0 {
        push(&mut text, format_args!(", from line {}", before + 1));
    }
    text.push('\n');
    text.push_str(&lines('-', &old[before..old.len() - after].join("\n")));
    text.push_str(&lines('+', &new[before..new.len() - after].join("\n")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Kind;

    #[test]
    fn a_difference_reads_like_a_diff() {
        let part = Part { word: "default", expected: Some("'x'".to_owned()), actual: None };
        let body = Part {
            word: "definition",
            expected: Some("CREATE\n a\n b\nEND".to_owned()),
            actual: Some("CREATE\n a\n c\n d\nEND".to_owned()),
        };
        let differences = [
            Difference {
                kind: Kind::Table,
                name: "public.t".into(),
                change: Change::Missing(vec![("is", "a table".to_owned())]),
            },
            Difference {
                kind: Kind::Column,
                name: "public.t.c".into(),
                change: Change::Different(vec![part]),
            },
            Difference {
                kind: Kind::Function,
                name: "public.f()".into(),
                change: Change::Different(vec![body]),
            },
        ];
        assert_eq!(
            text(&differences),
            "- table public.t\n    is\n      - a table\n\
             ~ column public.t.c\n    default\n      - 'x'\n      + (none)\n\
             ~ function public.f()\n    definition, from line 3\n      -  b\n      +  c\n      +  d\n"
        );
    }

    #[test]
    fn a_line_that_was_only_added_or_repeated_is_told() {
        let part = Part {
            word: "definition",
            expected: Some("a\na".to_owned()),
            actual: Some("a\na\na".to_owned()),
        };
        assert_eq!(both(&part), "    definition, from line 3\n      + a\n");
    }
}
