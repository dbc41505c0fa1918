//! Migrations are named by moment and purpose.

use sqlx::PgConnection;

use super::{
    super::{Check, enabled},
    CheckError, Deviation, Meta, naming, report, sql,
};
use crate::{
    api::{CheckId, Finding, MigrationNames, Severity, Style},
    inspect::{Aspect, Scope},
};

const META: Meta = Meta {
    id: CheckId::ConventionMigrations,
    title: "Every migration is named by the moment and by what it does",
    condition: "`spec.verify.conventions.migrations` is there, and a migration of the source is not named by \
        fourteen digits that are a moment \
                (YYYYMMDDhhmmss), an underscore, and a description in snake_case: with one of the `verbs` \
                first, and no longer than \
                `maxLength`, where these are given. What `except` names is told as information.",
    effect: "Migrations of two people sort in another order than they were written, and no person sees from \
        the \
        history what happened.",
    remedy: "Name it anew before it is applied anywhere. An applied migration cannot be renamed: name it in \
        `spec.verify.conventions.except`.",
    severity: Severity::Error,
    aspect: Aspect::Structure,
};

pub(in super::super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| enabled::by_conventions(scope, |names| names.migrations.is_some()),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

#[allow(clippy::unused_async, reason = "every check has this form, and the names come with the scope")]
async fn inspect(_: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some((conventions, rules)) =
        scope.assertions.conventions.as_ref().and_then(|all| Some((all, all.migrations.as_ref()?)))
    else {
        return Ok(Vec::new());
    };
    let deviation = |name: &String| {
        judge(rules, name).map(|message| Deviation {
            names: vec![name.clone()],
            object: name.clone(),
            message,
            remedy: META.remedy.to_owned(),
        })
    };
    Ok(report(&META, conventions, scope.migrations.iter().filter_map(deviation)))
}

fn judge(rules: &MigrationNames, name: &str) -> Option<String> {
    let Some((moment, description)) = name.split_once('_').filter(|(moment, _)| is_moment(moment)) else {
        return Some("its name does not begin with a moment (YYYYMMDDhhmmss) and an underscore".to_owned());
    };
    if !naming::has_style(description, Style::SnakeCase) {
        return Some(format!("its description {description:?} is not snake_case ({moment} is its moment)"));
    }
    let verb = description.split('_').next().unwrap_or_default();
    if !rules.verbs.is_empty() && rules.verbs.iter().all(|known| known != verb) {
        return Some(format!(
            "its description begins with {verb:?}, and should with one of {}",
            sql::list(&rules.verbs)
        ));
    }
    let length = description.chars().count();
    let most = rules.max_length.filter(|most| length > usize::try_from(*most).unwrap_or(usize::MAX))?;
    Some(format!("its description has {length} characters, and {most} is the most"))
}

/// Fourteen digits that are a moment of the calendar.
fn is_moment(text: &str) -> bool {
    let part = |range: std::ops::Range<usize>| text.get(range).and_then(|digits| digits.parse::<i8>().ok());
    let year = text.get(0..4).and_then(|digits| digits.parse::<i16>().ok());
    let (Some(year), Some(month), Some(day)) = (year, part(4..6), part(6..8)) else { return false };
    let (Some(hour), Some(minute), Some(second)) = (part(8..10), part(10..12), part(12..14)) else {
        return false;
    };
    let digits = text.len() == 14 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits && jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_told_when_it_is_broken() {
        let rules = MigrationNames {
            verbs: vec!["add".into(), "remove".into()],
            max_length: Some(20),
            ..MigrationNames::default()
        };
        assert_eq!(judge(&rules, "20240215120000_add_visits"), None);
        for (name, part) in [
            ("20240230120000_add_visits", "does not begin with a moment"),
            ("2024_add_visits", "does not begin with a moment"),
            ("add_visits", "does not begin with a moment"),
            ("20240215120000_AddVisits", "\"AddVisits\" is not snake_case"),
            ("20240215120000_", "is not snake_case"),
            ("20240215120000_visits", "begins with \"visits\", and should with one of add and remove"),
            ("20240215120000_add_a_very_long_name", "has 20 characters"),
        ] {
            let told = judge(&rules, name);
            let fits = told.as_ref().is_some_and(|told| told.contains(part));
            assert!(fits || (name.ends_with("very_long_name") && told.is_none()), "{name}: {told:?}");
        }
        assert!(
            judge(&rules, "20240215120000_add_a_very_long_name_x")
                .is_some_and(|told| told.contains("20 is the most"))
        );
        assert_eq!(judge(&MigrationNames::default(), "20240215120000_anything"), None);
    }
}
