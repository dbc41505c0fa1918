//! `sluice policy show`: what is in force for a DatabaseMigration, and which of it the manifest, the policy,
//! a preset or a default says.

use std::{path::PathBuf, process::ExitCode};

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Usage,
    documents::{Document, Documents},
    print::{Kind, print_as},
};
use crate::{
    api::{DatabaseMigration, Pods},
    policy::{self, Field, Origin},
    validate::validate,
};

/// Arguments of `sluice policy`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Print what is in force for each DatabaseMigration of the files, and where each field came from.
    Show(Show),
}

#[derive(Debug, clap::Args)]
struct Show {
    /// A file with DatabaseMigrations, MigrationPolicies or both, as written or as `kubectl get -o yaml`
    /// prints them.
    #[arg(short, long, value_name = "FILE", required = true)]
    file: Vec<PathBuf>,

    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// A table of the fields.
    Text,
    /// One document for each DatabaseMigration: the manifest in force, and its fields.
    Yaml,
    /// The same as JSON, one value after the other.
    Json,
}

/// What is in force for one DatabaseMigration.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    manifest: Value,
    fields: Vec<Field>,
    /// What keeps it from being used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Usage> {
    let Verb::Show(show) = &args.verb;
    let documents = Documents::read(&show.file)?;
    let shown: Vec<Shown> = documents
        .of_kind("DatabaseMigration")
        .map(|document| shown(&documents, document))
        .collect::<Result<_, Usage>>()?;
    if shown.is_empty() {
        let files: Vec<String> = show.file.iter().map(|file| file.display().to_string()).collect();
        return Err(Usage(format!("{}: there is no DatabaseMigration in it", files.join(", "))));
    }
    let texts: Vec<String> = shown.iter().map(|one| form(one, show.output)).collect::<Result<_, Usage>>()?;
    let kind = if show.output == Output::Json { Kind::Json } else { Kind::Plain };
    print_as(kind, &texts.join(if show.output == Output::Text { "\n" } else { "" }))?;
    let usable = shown.iter().all(|one| one.problems.is_empty());
    Ok(if usable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn shown(documents: &Documents, document: &Document) -> Result<Shown, Usage> {
    let policy = documents.policy_of(document)?;
    let object = document.in_force(policy.as_ref())?;
    let spec = &document.value["spec"];
    let problems = validate(&object).err().into_iter().flatten().map(|violation| violation.to_string());
    let problems = problems.chain(policy::pods(&Pods::default(), policy.as_ref()).err()).collect();
    Ok(Shown {
        policy: policy::named(spec).map(str::to_owned),
        manifest: manifest(&object),
        fields: policy::fields(spec, policy.as_ref(), &object.spec),
        problems,
    })
}

/// Everything that is in force, so that it can be applied or run as it stands.
fn manifest(object: &DatabaseMigration) -> Value {
    let mut metadata = json!({"name": object.metadata.name});
    if let Some(namespace) = &object.metadata.namespace {
        metadata["namespace"] = json!(namespace);
    }
    json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": metadata, "spec": object.spec})
}

fn form(shown: &Shown, output: Output) -> Result<String, Usage> {
    match output {
        Output::Text => Ok(text(shown)),
        Output::Yaml => {
            let yaml = serde_saphyr::to_string(shown)
                .map_err(|error| Usage(format!("cannot write YAML: {error}")))?;
            Ok(format!("---\n{}\n", yaml.trim_end()))
        }
        Output::Json => Ok(serde_json::to_string_pretty(shown).unwrap_or_default() + "\n"),
    }
}

fn text(shown: &Shown) -> String {
    let metadata = &shown.manifest["metadata"];
    let name = [&metadata["namespace"], &metadata["name"]]
        .into_iter()
        .filter_map(Value::as_str)
        .collect::<Vec<_>>()
        .join("/");
    let head = match &shown.policy {
        Some(policy) => format!("DatabaseMigration {name}, with the MigrationPolicy {policy}\n\n"),
        None => format!("DatabaseMigration {name}, which names no MigrationPolicy\n\n"),
    };
    let mut rows = vec![["FIELD".to_owned(), "FROM".to_owned(), "VALUE".to_owned()]];
    rows.extend(
        shown
            .fields
            .iter()
            .map(|field| [field.field.clone(), from(field.from).to_owned(), value(&field.value)]),
    );
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let (first, second) = (width(0), width(1));
    let lines = rows.iter().map(|[field, from, value]| format!("{field:first$}  {from:second$}  {value}\n"));
    let problems = shown.problems.iter().map(|problem| format!("\ncannot be used: {problem}\n"));
    head + &lines.chain(problems).collect::<String>()
}

const fn from(origin: Origin) -> &'static str {
    match origin {
        Origin::Manifest => "manifest",
        Origin::Policy => "policy",
        Origin::Preset => "preset",
        Origin::Default => "default",
    }
}

/// On one line. A text stands as it is unless something in it cannot be seen or would steer the terminal.
fn value(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let quoted = format!("{text:?}");
            if text.is_empty() || quoted[1..quoted.len() - 1] != **text { quoted } else { text.clone() }
        }
        Value::Array(items) => format!("[{}]", items.iter().map(self::value).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, inner)| !inner.is_null());
            format!(
                "{{{}}}",
                fields
                    .map(|(name, inner)| format!("{name}: {}", self::value(inner)))
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_on_one_line() {
        assert_eq!(value(&json!(["a", {"table": "t", "unique": true}])), "[a, {table: t, unique: true}]");
        assert_eq!(
            (value(&json!("5m")), value(&json!("")), value(&json!("a\nb"))),
            ("5m".into(), "\"\"".into(), "\"a\\nb\"".into())
        );
        assert_eq!(value(&json!("\u{1b}[2J\u{202e}")), "\"\\u{1b}[2J\\u{202e}\"");
    }
}
