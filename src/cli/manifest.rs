//! A file on disk becomes a DatabaseMigration. Stricter than the API server's pruning: a field that does not
//! exist is an error.

use std::path::PathBuf;

use serde_ignored::Path as Field;
use serde_json::Value;

use super::{
    Usage,
    documents::{Documents, place},
    fields,
    phase::{self, PhaseArg},
    since::Since,
};
use crate::{
    api::DatabaseMigration,
    stage::Context,
    telemetry::{self, Rows},
    validate::{ValidatedMigration, Violation, validate},
};

/// The arguments that `run` and `plan` share.
#[derive(Debug, clap::Args)]
pub(super) struct Inputs {
    #[command(flatten)]
    place: Place,

    /// How to print: text or json.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

/// What is carried out, and where. `verify` has these, too.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// A file with one DatabaseMigration, and the MigrationPolicy it names if there is one; other objects in
    /// it are passed over.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,

    /// A file with the MigrationPolicy that the DatabaseMigration names, where that is not in the same file.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// The folder of migrations, in place of the image or the ConfigMaps of the manifest.
    #[arg(long, value_name = "DIR")]
    pub(super) source: PathBuf,

    /// The folder of a phase. Default: as far from the folder of migrations as in the image; for one from
    /// ConfigMaps ../NAME.
    #[arg(long = "phase", value_name = "NAME=DIR", value_parser = phase::parse)]
    phases: Vec<PhaseArg>,

    /// Where the database is: postgres://user:password@host:5432/name. Arguments can be seen by others:
    /// prefer the variable.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,

    /// Where snapshots go, in place of the manifest's volume.
    #[arg(long, value_name = "DIR", default_value = "sluice-snapshots")]
    snapshot_dir: PathBuf,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    /// For people.
    Text,
    /// The status object, for programs.
    Json,
}

impl Inputs {
    /// Reads the manifest and prepares the run.
    pub(super) fn context(self) -> Result<(DatabaseMigration, Context), Usage> {
        self.place.context()
    }
}

impl Place {
    /// The folders beside what they were in a commit of Git's.
    pub(super) fn since(&self, reference: &str) -> Result<Since, Usage> {
        Since::of(reference, &self.source, &self.phases).map_err(Usage)
    }

    /// Reads the manifest and prepares the run.
    pub(super) fn context(self) -> Result<(DatabaseMigration, Context), Usage> {
        let object = read(&self.file, self.policy.as_ref())?;
        let manifest = validate(&object).map_err(|violations| {
            let told = |violation: &Violation| match place(&self.file, &violation.field) {
                Some((line, _)) => format!("\n  line {line}: {violation}"),
                None => format!("\n  {violation}"),
            };
            let list: String = violations.iter().map(told).collect();
            Usage(format!("{} cannot be used:{list}", self.file.display()))
        })?;
        start_logging(&manifest);
        if !self.source.is_dir() {
            return Err(Usage(format!("--source {} is no folder", self.source.display())));
        }
        let mut context = Context::new(manifest, &self.database_url, self.source, self.snapshot_dir);
        context.by_hand = true;
        for PhaseArg { name, folder } in self.phases {
            if !context.set_phase(&name, folder) {
                return Err(Usage(format!(
                    "--phase {name}=…: {} has no phase {name:?} in spec.migrations.phases",
                    self.file.display()
                )));
            }
        }
        Ok((object, context.with_elsewhere(|name| std::env::var(name).ok())))
    }
}

/// Verbs for people say by themselves what they do. With RUST_LOG they log as well, as a Pod does.
fn start_logging(manifest: &ValidatedMigration) {
    let rows = if manifest.log_data { Rows::Included } else { Rows::LeftOut };
    if std::env::var_os("RUST_LOG").is_some() || manifest.log_data {
        telemetry::start_logging(rows, telemetry::ONLY_DATA);
    }
}

/// The one DatabaseMigration of a file, with what its policy says.
fn read(file: &PathBuf, policy: Option<&PathBuf>) -> Result<DatabaseMigration, Usage> {
    let documents = Documents::read([file].into_iter().chain(policy))?;
    let document = documents.only("DatabaseMigration", file)?;
    let found = documents.policy_of(document)?;
    if let (Some(policy), None) = (policy, &found) {
        let (policy, file) = (policy.display(), file.display());
        return Err(Usage(format!(
            "--policy {policy} is given and {file} names no MigrationPolicy: write spec.policyRef, or leave \
                --policy out"
        )));
    }
    document.in_force(found.as_ref())
}

/// Why a document cannot be read as a DatabaseMigration.
#[derive(Debug, thiserror::Error)]
#[error("{told}")]
pub(super) struct Problem {
    /// The field, as kubectl writes it; none where it is about the whole document.
    pub(super) field: Option<String>,
    told: String,
}

/// A DatabaseMigration from JSON, without unknown fields.
pub(super) fn parse(document: Value) -> Result<DatabaseMigration, Problem> {
    of_this_version(&document).map_err(|told| Problem { field: Some("apiVersion".to_owned()), told })?;
    let mut unknown = None;
    let mut note = |path: Field<'_>| {
        let path = dotted(&path);
        if path.starts_with("spec.") {
            unknown.get_or_insert(path);
        }
    };
    let object = serde_path_to_error::deserialize(serde_ignored::Deserializer::new(document, &mut note));
    match unknown {
        Some(field) => Err(unknown_field(field)),
        None => object.map_err(|error| misread(&error)),
    }
}

fn unknown_field(field: String) -> Problem {
    let told = match fields::meant(&field) {
        Some(meant) => format!("there is no field {field}; did you mean {meant}?"),
        None => format!("there is no field {field}; `kubectl explain dbm.spec --recursive` lists them"),
    };
    Problem { field: Some(field), told }
}

/// The field, and what it holds in place of what; in words of the manifest, not of the program.
fn misread(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let told = error.inner().to_string();
    let told = match told.split_once(", expected struct ") {
        Some((found, _)) => format!("{found}, expected an object with fields of its own"),
        None => told,
    };
    match error.path().to_string() {
        path if path == "." => Problem { field: None, told },
        path => {
            let told =
                format!("{path}: {told}; `kubectl explain dbm.{}` documents it", without_places(&path));
            Problem { field: Some(path), told }
        }
    }
}

/// A path without the places in lists, as `kubectl explain` wants it.
fn without_places(path: &str) -> String {
    let parts = path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest));
    parts.collect()
}

/// Whether it is an object of the version that this program knows.
pub(super) fn of_this_version(document: &Value) -> Result<(), String> {
    match &document["apiVersion"] {
        version if version == "sluice.dev/v1alpha1" => Ok(()),
        version => Err(format!("apiVersion is {version}, not \"sluice.dev/v1alpha1\"")),
    }
}

/// A path as kubectl writes it.
fn dotted(path: &Field<'_>) -> String {
    match path {
        Field::Root => String::new(),
        Field::Seq { parent, index } => format!("{}[{index}]", dotted(parent)),
        Field::Map { parent: Field::Root, key } => key.clone(),
        Field::Map { parent, key } => format!("{}.{key}", dotted(parent)),
        Field::Some { parent } | Field::NewtypeStruct { parent } | Field::NewtypeVariant { parent } => {
            dotted(parent)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        serde_json::json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": "records"},
            "spec": {"database": {"secretRef": {"name": "records-db"}}, "migrations": {"configMaps": ["records"]},
                     "snapshot": {"none": {"reason": "a throw-away database"}}}
        })
    }

    #[test]
    fn a_manifest_reads_with_its_defaults() {
        let object = parse(document()).expect("parses");
        assert_eq!(
            (object.spec.database.secret_ref.key.as_str(), object.spec.database.schemas.as_slice()),
            ("url", ["public".to_owned()].as_slice())
        );
    }

    #[test]
    fn a_field_that_does_not_exist_is_an_error_with_its_path() {
        let mut typo = document();
        typo["spec"]["database"]["secretRef"]["nmae"] = "x".into();
        let told = parse(typo).expect_err("is refused").to_string();
        let expected = "there is no field spec.database.secretRef.nmae; did you mean name?";
        assert!(told.starts_with(expected), "{told}");
        let mut foreign = document();
        foreign["spec"]["zzz"] = 1.into();
        let told = parse(foreign).expect_err("is refused").to_string();
        assert!(!told.contains("did you mean") && told.contains("spec.zzz"), "{told}");
    }

    #[test]
    fn a_value_of_another_type_is_an_error_with_the_path_of_its_field() {
        let mut waived = document();
        waived["spec"]["snapshot"] = "none".into();
        let told = parse(waived).expect_err("is refused").to_string();
        assert!(
            told.starts_with("spec.snapshot: invalid type: string \"none\", expected an object"),
            "{told}"
        );
        let mut listed = document();
        listed["spec"]["migrations"]["configMaps"] = serde_json::json!(["records", 5]);
        let told = parse(listed).expect_err("is refused").to_string();
        assert!(
            told.starts_with("spec.migrations.configMaps[1]: invalid type: integer `5`, expected a string"),
            "{told}"
        );
    }

    #[test]
    fn another_version_of_the_api_is_an_error() {
        let mut other = document();
        other["apiVersion"] = "sluice.dev/v2".into();
        assert!(parse(other).expect_err("is refused").to_string().contains("sluice.dev/v2"));
    }
}
