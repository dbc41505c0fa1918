//! Every rule, as `rules.yaml` has it, and how much its objections weigh. PURE.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

use crate::api::{LintPreset as Preset, LintWeight as Weight};

/// One rule.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Stable; squawk's own where it is a rule of squawk's.
    pub id: String,
    /// What decides its weight.
    pub kind: Kind,
    /// What goes wrong.
    pub why: String,
    /// What to write instead.
    pub safe: String,
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// How long a table that exists is locked.
    Lock,
    /// That a lock is kept for longer than it has to be.
    Delay,
    /// What only a snapshot gives back.
    Loss,
    /// Whether the application that runs now goes on working.
    Break,
    /// Who may see or change rows.
    Access,
    /// That PostgreSQL refuses it, or that it does nothing, as the database is.
    Fails,
    /// What a team protects by name.
    Protected,
    /// Whether it does what it seems to say.
    Outcome,
    /// A matter of taste.
    Style,
    /// What Sluice does, however the file is written.
    Runner,
    /// Why a file cannot run.
    Refused,
    /// Worth knowing, and never more.
    Notice,
}

impl Kind {
    /// Whether it is about what is there already, so that it says nothing about a table of the same release.
    pub(super) const fn is_about_rows(self) -> bool {
        matches!(
            self,
            Self::Lock
                | Self::Delay
                | Self::Loss
                | Self::Break
                | Self::Access
                | Self::Fails
                | Self::Protected
        )
    }
}

/// How much objections of a kind weigh. Of locks: those of a large table.
const fn weight(preset: Preset, kind: Kind) -> Weight {
    match (kind, preset) {
        (Kind::Style | Kind::Runner, _) => Weight::Off,
        (Kind::Refused, _) => Weight::Fail,
        // The team has named it, whatever else it left to the preset.
        (Kind::Protected, _) => Weight::Approve,
        (Kind::Outcome | Kind::Delay | Kind::Notice, _)
        | (_, Preset::Lenient)
        | (Kind::Break, Preset::Standard) => Weight::Warn,
        (Kind::Lock | Kind::Fails, _) | (Kind::Access, Preset::Strict) => Weight::Fail,
        (Kind::Loss, _) | (Kind::Access, Preset::Standard) | (Kind::Break, Preset::Strict) => Weight::Approve,
    }
}

/// The weights in force: a preset, and rules that weigh more or less.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    /// Where a rule is not named.
    pub preset: Preset,
    /// By the id of the rule.
    pub rules: BTreeMap<String, Weight>,
}

impl Weights {
    /// How much an objection of this rule to a large table weighs.
    pub fn of(&self, rule: &Rule) -> Weight {
        self.rules.get(&rule.id).copied().unwrap_or_else(|| weight(self.preset, rule.kind))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    rules: Vec<Rule>,
}

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let document: Document = serde_saphyr::from_str(include_str!("rules.yaml")).expect("a test reads it");
    document.rules
});

/// Every rule, in the order of the document.
pub fn all() -> &'static [Rule] {
    &RULES
}

/// The rule of this id.
pub fn find(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rule_of_squawk_has_a_place_and_each_rule_has_one() {
        let ids: BTreeSet<&str> = all().iter().map(|rule| rule.id.as_str()).collect();
        assert_eq!(ids.len(), all().len(), "an id stands twice");
        let missing: Vec<String> = super::super::safety::of_squawk()
            .map(|rule| rule.to_string())
            .filter(|id| !ids.contains(id.as_str()))
            .collect();
        assert_eq!(missing, [""; 0], "rules.yaml lacks these");
    }

    #[test]
    fn each_rule_says_what_is_wrong_and_what_to_write_instead() {
        for rule in all() {
            assert!(!rule.why.is_empty() && !rule.safe.is_empty(), "{}", rule.id);
        }
    }

    #[test]
    fn a_preset_never_weighs_less_than_the_one_before_it() {
        for rule in all() {
            let [lenient, standard, strict] =
                [Preset::Lenient, Preset::Standard, Preset::Strict].map(|preset| weight(preset, rule.kind));
            assert!(lenient <= standard && standard <= strict, "{}", rule.id);
        }
    }

    #[test]
    fn a_manifest_names_the_rules_that_there_are() {
        let mut ids: Vec<&str> = all().iter().map(|rule| rule.id.as_str()).collect();
        ids.sort_unstable();
        assert_eq!(crate::api::LINT_RULES, ids);
    }

    #[test]
    fn a_rule_that_is_named_weighs_what_is_said_and_every_other_what_the_preset_says() {
        let weights =
            Weights { preset: Preset::Standard, rules: [("ban-drop-column".to_owned(), Weight::Off)].into() };
        assert_eq!(weights.of(find("ban-drop-column").expect("a rule")), Weight::Off);
        assert_eq!(weights.of(find("ban-drop-table").expect("a rule")), Weight::Approve);
    }
}
