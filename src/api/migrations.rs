//! The section `migrations`: where the files are, and which format they have.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{History, Phase};

/// Where the migrations are, and how they are written. Exactly one of `configMaps` and `image`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.image) != (has(self.configMaps) && size(self.configMaps) > \
    0)").message("spec.migrations needs exactly one source: either image or configMaps"))]
#[x_kube(validation = Rule::new("!has(self.image) || self.image.contains('@sha256:') || \
    (self.image.matches(':[^/]+$') && !self.image.endsWith(':latest'))").message("spec.migrations.image must \
    say which one: name a digest (@sha256:…) or a version, not :latest and not nothing"))]
#[x_kube(validation = Rule::new("!has(self.phases) || self.phases.all(phase, self.phases.exists_one(other, \
    other.name == phase.name))").message("two phases of spec.migrations.phases have the same name"))]
#[x_kube(validation = Rule::new("!has(self.phases) || has(self.image) || self.phases.all(phase, \
    !has(phase.path))").message("the path of a phase is a folder of spec.migrations.image: without an image, \
    give the phase configMaps"))]
pub struct Migrations {
    /// How the folder is laid out and which history it keeps. Default: `Prisma`.
    #[serde(default)]
    pub format: Format,

    /// An image that holds the migrations, mounted read-only as an image volume. Prefer a digest: a tag that
    /// moves is not noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    pub image: Option<String>,

    /// ConfigMaps of this namespace that together hold the migrations: the key `NAME.sql` is the migration
    /// NAME, the key `migration_lock.toml` the lock file. A change of any of them is noticed at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 253)))]
    pub config_maps: Vec<String>,

    /// The folder of the migrations inside the image. Default: the image's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    #[x_kube(validation = Rule::new("self.startsWith('/') && \
        !self.contains('..')").message("spec.migrations.path must be absolute and must not contain '..'"))]
    pub path: Option<String>,

    /// Folders of SQL beside the migrations, in the order in which they apply: what the format's own tool
    /// cannot express.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub phases: Vec<Phase>,

    /// Stop after this migration. Default: the newest in the source. Never skips: everything before it is
    /// applied too. Phases are not stopped by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub target: Option<String>,

    /// What is done where source and history differ: late, edited and missing migrations.
    #[serde(default)]
    pub history: History,

    /// The folder may hold no migration at all. Otherwise that is an error, because a wrong path looks the
    /// same. Default: false.
    #[serde(default)]
    pub allow_empty: bool,

    /// What to do with rows that an earlier tool left failed (Prisma's P3009). Each entry is carried out
    /// once, before anything else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub resolve: Vec<Resolve>,

    /// Adopt a database that has tables and no history: the migrations up to this one are recorded as
    /// applied, without running them, when the schema is equal to what they make. Ignored where there is a
    /// history, or no table. The migration role needs CREATEDB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
}

impl Migrations {
    /// The ConfigMaps of the migrations and of the phases.
    pub fn sources(&self) -> impl Iterator<Item = &String> {
        self.config_maps.iter().chain(self.phases.iter().flat_map(|phase| &phase.config_maps))
    }
}

/// The layout of the folder and the history that goes with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Format {
    /// Prisma Migrate: `NAME/migration.sql` beside `migration_lock.toml`, history `_prisma_migrations`.
    #[default]
    Prisma,
    /// Plain SQL: `NAME.sql`, history `sluice.migrations`.
    Sql,
}

/// What an existing database already has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Baseline {
    /// The newest migration whose effects are there, with those of all before it.
    #[schemars(length(min = 1, max = 255))]
    pub up_to: String,

    /// For each phase of which something is there: the newest file whose effects are, with those of all
    /// before it in that phase, as `PHASE/FILE`. The files of a phase that is not named here are run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(min = 1, max = 296)))]
    pub phases: Vec<String>,
}

/// A verdict on one failed row of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resolve {
    /// The migration whose row failed.
    #[schemars(length(min = 1, max = 296))]
    pub name: String,
    /// What became of it.
    #[serde(rename = "as")]
    pub verdict: ResolveAs,
}

/// What became of a failed migration, as a person found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ResolveAs {
    /// Its effects are all there: record it as applied, do not run it.
    Applied,
    /// Nothing of it is there: forget the failed row and run it again.
    RolledBack,
}
