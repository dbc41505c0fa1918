//! `spec.migrations.history`: what is done where source and history do not tell the same story.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is done where the source and the database's history differ. The defaults are what `prisma migrate
/// deploy` does, but for edited migrations, which stop the run. A finding names whatever Sluice allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// A pending migration whose name sorts before that of an applied one, as after the merge of two
    /// branches: `Apply` applies it and says so in a Warning, `Refuse` stops with HistoryDiverged. Default:
    /// `Apply`.
    #[serde(default)]
    pub late: LateMigrations,

    /// An applied migration whose file is another one now: `Refuse` stops with HistoryDiverged, `Warn` goes
    /// on and says so in a Warning. Line endings make no difference, and comments and blanks none where
    /// Sluice applied the file itself. Default: `Refuse`.
    #[serde(default)]
    pub edited: EditedMigrations,

    /// An applied migration that the source does not have: `Warn` goes on and says so in a Warning, `Refuse`
    /// stops with HistoryDiverged. A source that lacks exactly the newest ones and has nothing pending is
    /// DatabaseAhead in both cases. A missing file of a phase, and a source that has none of the applied
    /// migrations, are always refused. Default: `Warn`.
    #[serde(default)]
    pub missing: MissingMigrations,

    /// Edited or missing migrations that a person has reviewed: each is information from then on, whatever
    /// the fields above say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub accept: Vec<AcceptedMigration>,
}

impl History {
    /// Why a migration that differs was accepted.
    pub fn accepted(&self, name: &str) -> Option<&str> {
        self.accept.iter().find(|accepted| accepted.name == name).map(|accepted| accepted.reason.as_str())
    }
}

/// What is done with a pending migration that sorts before an applied one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LateMigrations {
    /// Apply it, with a Warning.
    #[default]
    Apply,
    /// Stop.
    Refuse,
}

/// What is done when the file of an applied migration was edited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EditedMigrations {
    /// Stop.
    #[default]
    Refuse,
    /// Go on, with a Warning.
    Warn,
}

/// What is done when an applied migration is missing from the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MissingMigrations {
    /// Go on, with a Warning.
    #[default]
    Warn,
    /// Stop.
    Refuse,
}

/// A migration that differs from the history, and why that is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AcceptedMigration {
    /// The migration; the file of a phase as `PHASE/FILE`.
    #[schemars(length(min = 1, max = 296))]
    pub name: String,
    /// Why it may differ; it stands in the finding.
    #[schemars(length(min = 1, max = 500))]
    pub reason: String,
}
