//! A file on disk becomes a DatabaseMigration. Stricter than the API server's pruning: a field that does not exist is an error.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Usage;
use crate::{
    api::{DatabaseMigration, database_migration_crd},
    stage::Context,
    validate::validate,
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
    /// A file with one DatabaseMigration; other objects in it are passed over.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,

    /// The folder of migrations, in place of the image or the ConfigMaps of the manifest.
    #[arg(long, value_name = "DIR")]
    source: PathBuf,

    /// Where the database is: postgres://user:password@host:5432/name. Arguments can be seen by others: prefer the variable.
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
    /// Reads the manifest and prepares the run.
    pub(super) fn context(self) -> Result<(DatabaseMigration, Context), Usage> {
        let object = read(&self.file)?;
        let manifest = validate(&object).map_err(|violations| {
            let list = violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ");
            Usage(format!("{} cannot be used:\n  {list}", self.file.display()))
        })?;
        if !self.source.is_dir() {
            return Err(Usage(format!("--source {} is no folder", self.source.display())));
        }
        let context = Context::new(manifest, &self.database_url, self.source, self.snapshot_dir);
        Ok((object, context.with_elsewhere(|name| std::env::var(name).ok())))
    }
}

/// The one DatabaseMigration of a file.
pub(super) fn read(file: &Path) -> Result<DatabaseMigration, Usage> {
    let text = std::fs::read_to_string(file).map_err(|error| Usage(format!("cannot read {}: {error}", file.display())))?;
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).map_err(|error| Usage(format!("{} is not YAML: {error}", file.display())))?;
    let mut found = documents.into_iter().filter(|document| document["kind"] == "DatabaseMigration");
    let document = found.next().ok_or_else(|| Usage(format!("{} holds no DatabaseMigration", file.display())))?;
    if found.next().is_some() {
        return Err(Usage(format!("{} holds more than one DatabaseMigration: put each into a file of its own", file.display())));
    }
    parse(document).map_err(|problem| Usage(format!("{}: {problem}", file.display())))
}

/// A DatabaseMigration from JSON, without unknown fields.
pub(super) fn parse(document: Value) -> Result<DatabaseMigration, String> {
    if document["apiVersion"] != "sluice.dev/v1alpha1" {
        return Err(format!("apiVersion is {}, not \"sluice.dev/v1alpha1\"", document["apiVersion"]));
    }
    let crd = database_migration_crd();
    let schema = crd.spec.versions.first().and_then(|version| version.schema.as_ref()).and_then(|schema| schema.open_api_v3_schema.clone());
    let schema = serde_json::to_value(schema).map_err(|error| error.to_string())?;
    if let Some(field) = unknown_field(&document["spec"], &schema["properties"]["spec"], "spec") {
        return Err(format!("there is no field {field}; `kubectl explain dbm.spec --recursive` lists them"));
    }
    serde_json::from_value(document).map_err(|error| error.to_string())
}

fn unknown_field(value: &Value, schema: &Value, path: &str) -> Option<String> {
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, inner)| {
            let path = format!("{path}.{name}");
            match schema["properties"].get(name) {
                Some(inner_schema) => unknown_field(inner, inner_schema, &path),
                None => Some(path),
            }
        }),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(at, item)| unknown_field(item, &schema["items"], &format!("{path}[{at}]")))
        }
        _ => None,
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
        assert!(parse(typo).expect_err("is refused").contains("spec.database.secretRef.nmae"));
    }

    #[test]
    fn another_version_of_the_api_is_an_error() {
        let mut other = document();
        other["apiVersion"] = "sluice.dev/v2".into();
        assert!(parse(other).expect_err("is refused").contains("sluice.dev/v2"));
    }
}
