//! Conventions of the manifest: how things are named, and what every table has. One file per check; what they
//! share is here.

mod audit_columns;
mod columns;
mod enum_values;
mod foreign_keys;
mod indexes;
mod migrations;
mod naming;
mod primary_key;
mod tables;

use super::Check;
use crate::{
    api::{ConventionSeverity, Conventions, Finding, Severity},
    inspect::{CheckError, Meta, QueryContext, owned, sql},
    postgres::query_as,
};

/// The checks of this shelf.
pub(super) static CHECKS: &[Check] = &[
    primary_key::CHECK,
    audit_columns::CHECK,
    tables::CHECK,
    columns::CHECK,
    enum_values::CHECK,
    indexes::CHECK,
    foreign_keys::CHECK,
    migrations::CHECK,
];

/// Something that does not follow a convention.
struct Deviation {
    /// What an exemption may name: the object itself, and what it is part of.
    names: Vec<String>,
    object: String,
    message: String,
    remedy: String,
}

/// Findings, with what is exempt as information: it stays visible.
fn report(
    meta: &Meta,
    conventions: &Conventions,
    deviations: impl Iterator<Item = Deviation>,
) -> Vec<Finding> {
    let severity = match conventions.severity {
        ConventionSeverity::Error => Severity::Error,
        ConventionSeverity::Warning => Severity::Warning,
    };
    let finding = |deviation: Deviation| {
        let exempt = is_exempt(conventions, &deviation.names);
        let Deviation { object, message, remedy, .. } = deviation;
        if exempt {
            let remedy =
                "nothing: take it out of spec.verify.conventions.except when it follows the convention";
            let message = format!("exempt by spec.verify.conventions.except: {message}");
            Finding { severity: Severity::Information, ..meta.finding(object, message, remedy) }
        } else {
            Finding { severity, ..meta.finding(object, message, remedy) }
        }
    };
    deviations.map(finding).collect()
}

fn is_exempt(conventions: &Conventions, names: &[String]) -> bool {
    names.iter().any(|name| conventions.except.contains(name))
}

/// `schema.table` and `table`, and the same with what is inside.
fn names(schema: &str, outer: &str, inner: Option<&str>) -> Vec<String> {
    let own = [format!("{schema}.{outer}"), outer.to_owned()];
    let inside =
        inner.into_iter().flat_map(|inner| [format!("{schema}.{outer}.{inner}"), format!("{outer}.{inner}")]);
    own.into_iter().chain(inside).collect()
}

/// What an exemption may name, and the texts of what deviates.
type Part = (Vec<String>, Vec<String>);

/// What is inside one table or enum, split by whether it is exempt: so that what is exempt does not hide the
/// rest.
fn by_exemption<'a>(
    conventions: &Conventions,
    schema: &str,
    outer: &str,
    inside: impl Iterator<Item = (&'a str, String)>,
) -> Vec<Part> {
    let (mut exempt, mut bound) = (Part::default(), Part::default());
    for (inner, text) in inside {
        let all = names(schema, outer, Some(inner));
        let place = if is_exempt(conventions, &all) { &mut exempt } else { &mut bound };
        place.0.extend(all);
        place.1.push(text);
    }
    [bound, exempt].into_iter().filter(|(_, texts)| !texts.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: Meta = Meta {
        id: crate::api::CheckId::ConventionTables,
        title: "",
        condition: "",
        effect: "",
        remedy: "",
        severity: Severity::Error,
        aspect: crate::inspect::Aspect::Structure,
    };

    fn conventions(json: serde_json::Value) -> Conventions {
        serde_json::from_value(json).expect("conventions")
    }

    fn severities(conventions: &Conventions) -> Vec<Severity> {
        let deviation = |table: &str| Deviation {
            names: names("s", table, Some("inner")),
            object: table.to_owned(),
            message: String::new(),
            remedy: String::new(),
        };
        report(&META, conventions, ["a", "b"].map(deviation).into_iter())
            .into_iter()
            .map(|finding| finding.severity)
            .collect()
    }

    #[test]
    fn what_is_exempt_stays_visible_as_information() {
        use Severity::{Error, Information, Warning};
        assert_eq!(severities(&conventions(serde_json::json!({}))), [Error, Error]);
        assert_eq!(severities(&conventions(serde_json::json!({"severity": "Warning"}))), [Warning, Warning]);
        for except in ["a", "s.a", "a.inner", "s.a.inner"] {
            assert_eq!(
                severities(&conventions(serde_json::json!({"except": [except]}))),
                [Information, Error],
                "{except}"
            );
        }
    }

    #[test]
    fn an_exemption_of_one_column_does_not_hide_the_others() {
        let conventions = conventions(serde_json::json!({"except": ["t.a"]}));
        let split =
            by_exemption(&conventions, "s", "t", [("a", "A".to_owned()), ("b", "B".to_owned())].into_iter());
        assert_eq!(split.into_iter().map(|(_, texts)| texts).collect::<Vec<_>>(), [["B"], ["A"]]);
    }
}
