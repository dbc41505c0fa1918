//! Differences as findings: one for each object, with both sides, short enough for a status. PURE.

use super::{Change, Difference, Part};
use crate::api::{CheckId, Finding, Severity};

/// What a reader can do about each kind of difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedies {
    /// The id of the check.
    pub check: CheckId,
    /// The database lacks something.
    pub missing: &'static str,
    /// The database has more.
    pub extra: &'static str,
    /// The database has something else.
    pub different: &'static str,
}

/// The most characters of one side.
const MOST: usize = 240;

/// One finding for each difference. `up_to` is the newest migration that was replayed.
pub fn findings(differences: &[Difference], up_to: &str, remedies: &Remedies) -> Vec<Finding> {
    differences.iter().map(|difference| finding(difference, up_to, remedies)).collect()
}

fn finding(Difference { kind, name, change }: &Difference, up_to: &str, remedies: &Remedies) -> Finding {
    let kind = kind.word();
    let (severity, message, remedy) = match change {
        Change::Missing(properties) => {
            let message = format!("missing {kind}: the migrations up to {up_to} make it{}", list(properties));
            (Severity::Error, message, remedies.missing)
        }
        Change::Extra(properties) => {
            let message = format!("extra {kind}: no migration up to {up_to} makes it{}", list(properties));
            (Severity::Error, message, remedies.extra)
        }
        Change::Different(parts) => {
            let parts: Vec<String> = parts.iter().map(sides).collect();
            (Severity::Error, format!("different {kind}: {}", parts.join("; ")), remedies.different)
        }
        Change::Reordered(part) => {
            let message = format!("the columns are in another order: {}", sides(part));
            (
                Severity::Information,
                message,
                "nothing to do, where every statement names the columns it writes and reads",
            )
        }
    };
    Finding {
        check: remedies.check.clone(),
        object: name.clone(),
        severity,
        message,
        remedy: remedy.to_owned(),
    }
}

fn list(properties: &[(&'static str, String)]) -> String {
    let known: Vec<String> = properties
        .iter()
        .filter(|(word, _)| *word != super::compare::ORDER)
        .map(|(word, value)| format!("{word} {}", one_line(value, MOST)))
        .collect();
    if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) }
}

fn sides(part: &Part) -> String {
    let (expected, actual) = apart(part.expected.as_deref(), part.actual.as_deref());
    format!("{}: the migrations make {expected}, the database has {actual}", part.word)
}

/// Both sides, cut around the first place where they differ, so that a long body shows what matters.
fn apart(expected: Option<&str>, actual: Option<&str>) -> (String, String) {
    let (Some(one), Some(other)) = (expected, actual) else {
        let side = |value: Option<&str>| value.map_or("none".to_owned(), |value| one_line(value, MOST));
        return (side(expected), side(actual));
    };
    let same = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let skip =
        if one.chars().count().max(other.chars().count()) > MOST { same.saturating_sub(MOST / 4) } else { 0 };
    let side = |value: &str| {
        let rest: String = value.chars().skip(skip).collect();
        if skip > 0 { format!("…{}", one_line(&rest, MOST)) } else { one_line(&rest, MOST) }
    };
    (side(one), side(other))
}

fn one_line(text: &str, most: usize) -> String {
    let text = text.trim().replace('\n', "⏎ ");
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Kind;

    const REMEDIES: Remedies =
        Remedies { check: CheckId::SchemaDrift, missing: "m", extra: "e", different: "d" };

    #[test]
    fn a_finding_names_the_object_and_both_sides_even_when_they_are_long() {
        let long = |end: &str| Some(format!("{}{end}{}", "x".repeat(5000), "y".repeat(5000)));
        let part = Part { word: "definition", expected: long("ONE"), actual: long("TWO") };
        let difference = Difference {
            kind: Kind::Function,
            name: "public.f()".into(),
            change: Change::Different(vec![part]),
        };
        let found = findings(&[difference], "2_two", &REMEDIES).remove(0);
        assert!(found.message.contains("ONE") && found.message.contains("TWO"), "{}", found.message);
        assert!(found.message.chars().count() < 700);
        assert_eq!(
            (found.check, found.remedy.as_str(), found.severity),
            (CheckId::SchemaDrift, "d", Severity::Error)
        );
    }

    #[test]
    fn what_is_missing_or_extra_is_described() {
        let column = |change| Difference { kind: Kind::Column, name: "public.t.drifted".into(), change };
        let like = vec![("type", "text".to_owned())];
        let found = findings(
            &[column(Change::Extra(like.clone())), column(Change::Missing(like))],
            "1_one",
            &REMEDIES,
        );
        assert_eq!(found[0].message, "extra column: no migration up to 1_one makes it (type text)");
        assert_eq!(found[1].message, "missing column: the migrations up to 1_one make it (type text)");
        assert_eq!((found[0].remedy.as_str(), found[1].remedy.as_str()), ("e", "m"));
    }
}
