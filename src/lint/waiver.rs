//! `-- sluice: allow RULE reason="…"`: why a rule is not kept here. Before the first statement it is about the
//! whole file, else about the statement that follows. One without a reason, and one that nothing needs, is an
//! objection itself.

use std::ops::Range;

use super::Objection;
use crate::{migrations::Migration, sql};

#[derive(Debug)]
struct Waiver {
    rule: String,
    reason: Option<String>,
    /// Where it stands.
    place: Range<usize>,
    /// Where it is about.
    scope: Range<usize>,
    used: bool,
}

/// The waivers of a file.
#[derive(Debug, Default)]
pub(super) struct Waivers(Vec<Waiver>);

impl Waivers {
    pub(super) fn read(migration: &Migration) -> Self {
        let pieces = sql::split(&migration.sql);
        let first = pieces.statements.first().map_or(usize::MAX, |statement| statement.start);
        let waivers = pieces.remarks.into_iter().filter_map(|place| {
            let comment = migration.sql[place.clone()].strip_prefix("--")?.trim_start();
            let (rule, reason) = read(comment.strip_prefix("sluice:")?.trim())?;
            let next = pieces.statements.iter().find(|statement| statement.end > place.start);
            let scope =
                if place.start < first { 0..migration.sql.len() } else { next.map_or(0..0, Range::clone) };
            Some(Waiver { rule, reason, place, scope, used: false })
        });
        Self(waivers.collect())
    }

    /// Why a rule is waived at a place.
    pub(super) fn reason(&mut self, rule: &str, place: &Range<usize>) -> Option<String> {
        let found = self.0.iter_mut().find(|waiver| {
            waiver.rule == rule
                && waiver.reason.is_some()
                && waiver.scope.start <= place.start
                && place.end <= waiver.scope.end
        })?;
        found.used = true;
        found.reason.clone()
    }

    /// What is wrong with those that waived nothing, other than of rules that are `off`.
    pub(super) fn objections<'a>(
        &self,
        migration: &'a Migration,
        off: impl Fn(&str) -> bool,
    ) -> Vec<Objection<'a>> {
        let idle = self.0.iter().filter(|waiver| !waiver.used && !off(&waiver.rule));
        idle.filter_map(|waiver| {
            let rule = if waiver.reason.is_none() { "waiver-without-reason" } else { "unused-waiver" };
            let objection = Objection::new(rule, migration, waiver.place.clone())?;
            Some(Objection { name: Some(waiver.rule.clone()), ..objection })
        })
        .collect()
    }
}

/// The rule of a waiver, and its reason.
fn read(text: &str) -> Option<(String, Option<String>)> {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    if word != "allow" {
        return None;
    }
    let (rule, rest) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
    let reason = rest.trim().strip_prefix("reason=\"").and_then(|rest| rest.split_once('"'));
    let reason = reason.map(|(reason, _)| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    Some((rule.to_owned(), reason))
}

#[cfg(test)]
mod tests {
    use super::super::{Preset, Tables, Weight, said};

    fn of(sql: &str) -> Vec<(String, Weight, Option<String>)> {
        said(&[sql], &Tables::default(), Preset::Standard)
    }

    const WAIVER: &str = "-- sluice: allow ban-drop-column reason=\"unused since 2.3\"\n";

    #[test]
    fn a_waiver_is_about_the_next_statement_and_at_the_head_about_the_file() {
        let (a, b) = ("ALTER TABLE t DROP COLUMN a;\n", "ALTER TABLE t DROP COLUMN b;\n");
        let waived = |sql: String| of(&sql).into_iter().map(|(_, weight, _)| weight).collect::<Vec<_>>();
        assert_eq!(waived(format!("{WAIVER}{a}{b}")), [Weight::Off, Weight::Off]);
        assert_eq!(waived(format!("{a}{WAIVER}{b}{a}")), [Weight::Approve, Weight::Off, Weight::Approve]);
        assert_eq!(of(&format!("{WAIVER}{a}"))[0].2.as_deref(), Some("unused since 2.3"));
    }

    #[test]
    fn a_waiver_without_a_reason_waives_nothing_and_one_that_nothing_needs_is_named() {
        let ids = |sql: &str| of(sql).into_iter().map(|(id, ..)| id).collect::<Vec<_>>();
        for waiver in ["-- sluice: allow ban-drop-column", "-- sluice: allow ban-drop-column reason=\"\""] {
            assert_eq!(
                ids(&format!("{waiver}\nALTER TABLE t DROP COLUMN a;")),
                ["waiver-without-reason", "ban-drop-column"]
            );
        }
        assert_eq!(ids(&format!("{WAIVER}SELECT 1;")), ["unused-waiver"]);
        assert_eq!(ids("-- sluice: allow ban-drop-colum reason=\"a typo\"\nSELECT 1;"), ["unused-waiver"]);
    }

    #[test]
    fn a_waiver_of_a_table_that_the_release_makes_itself_is_needed_later() {
        let made = "CREATE TABLE t (a int, b int);";
        let files = [made, &format!("{WAIVER}ALTER TABLE t DROP COLUMN a;")];
        assert_eq!(said(&files, &Tables::default(), Preset::Standard), []);
    }

    #[test]
    fn what_stands_in_a_body_or_a_text_waives_nothing() {
        let drop = "ALTER TABLE t DROP COLUMN a;";
        for sql in [format!("DO $$\n{WAIVER}$$; {drop}"), format!("SELECT '\n{WAIVER}'; {drop}")] {
            assert!(of(&sql).iter().any(|(_, weight, _)| *weight == Weight::Approve), "{sql}");
        }
    }
}
