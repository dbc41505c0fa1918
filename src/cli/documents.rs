//! Files on disk become the objects that are in them, and a DatabaseMigration finds the MigrationPolicy that
//! it names.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    Usage,
    manifest::{Problem, of_this_version, parse},
    place,
};
use crate::{api::DatabaseMigration, policy};

/// An object as it was written, and where.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) file: PathBuf,
    pub(super) value: Value,
}

/// Every object of some files.
#[derive(Debug, Default)]
pub(super) struct Documents(Vec<Document>);

impl Documents {
    /// Reads files of one or more documents. What `kubectl get -o yaml` prints, a List, counts as what is in
    /// it.
    pub(super) fn read<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Result<Self, Usage> {
        let mut found: Vec<Document> = Vec::new();
        for file in files {
            // One that is given twice is read once.
            if found.iter().any(|document| document.file == *file) {
                continue;
            }
            let text = fs::read_to_string(file)
                .map_err(|error| Usage(format!("cannot read {}: {error}", file.display())))?;
            let values: Vec<Value> = serde_saphyr::from_multiple(&text)
                .map_err(|error| Usage(format!("{} is not YAML: {error}", file.display())))?;
            for value in values.into_iter().flat_map(items) {
                found.push(Document { file: file.clone(), value });
            }
        }
        Ok(Self(found))
    }

    /// The objects of a kind.
    pub(super) fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Document> {
        self.0.iter().filter(move |document| document.value["kind"] == kind)
    }

    /// The one object of a kind in a file; what is in other files is passed over.
    pub(super) fn only<'a>(&'a self, kind: &'a str, file: &'a Path) -> Result<&'a Document, Usage> {
        let mut found = self.of_kind(kind).filter(|document| document.file == file);
        let document = found.next().ok_or_else(|| Usage(format!("{} holds no {kind}", file.display())))?;
        match found.next() {
            None => Ok(document),
            Some(_) => Err(Usage(format!(
                "{} holds more than one {kind}: put each into a file of its own",
                file.display()
            ))),
        }
    }

    /// The spec of the policy that a DatabaseMigration names.
    pub(super) fn policy_of(&self, migration: &Document) -> Result<Option<Value>, Usage> {
        let Some(name) = policy::named(&migration.value["spec"]) else { return Ok(None) };
        let shares = |document: &&Document| {
            let (theirs, own) =
                (&document.value["metadata"]["namespace"], &migration.value["metadata"]["namespace"]);
            theirs == own || theirs.is_null() || own.is_null()
        };
        let mut found = self
            .of_kind("MigrationPolicy")
            .filter(|document| document.value["metadata"]["name"] == name)
            .filter(shares);
        let Some(document) = found.next() else {
            return Err(Usage(format!(
                "{} names the MigrationPolicy {name:?} in spec.policyRef, which is in none of the files (in \
                    the same namespace): give its \
                 file too, or put it into the same one",
                migration.file.display()
            )));
        };
        if found.next().is_some() {
            return Err(Usage(format!(
                "the files hold the MigrationPolicy {name:?} more than once: leave one of them out"
            )));
        }
        let problem = |problem: String| {
            Usage(format!("{}, the MigrationPolicy {name:?}: {problem}", document.file.display()))
        };
        of_this_version(&document.value).map_err(problem)?;
        Ok(Some(document.value["spec"].clone()))
    }
}

impl Document {
    /// The DatabaseMigration with what its policy says.
    pub(super) fn in_force(&self, policy: Option<&Value>) -> Result<DatabaseMigration, Usage> {
        let told = |problem: Problem, of: String| {
            let at = problem.field.as_ref().and_then(|field| place(&self.file, field));
            let at = at.map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
            Usage(format!("{}{at}: {of}{problem}", self.file.display()))
        };
        let mut value = self.value.clone();
        value["spec"] = policy::in_force(&self.value["spec"], policy);
        parse(value).map_err(|problem| match policy::named(&self.value["spec"]) {
            Some(name) => told(problem, format!("with what the MigrationPolicy {name:?} says: ")),
            None => told(problem, String::new()),
        })
    }
}

/// Line and column of a field of the DatabaseMigration in a file; none where the file does not have it, but the
/// policy or the defaults.
pub(super) fn place(file: &Path, field: &str) -> Option<(usize, usize)> {
    place::of(&fs::read_to_string(file).ok()?, "DatabaseMigration", field)
}

fn items(value: Value) -> Vec<Value> {
    match value["kind"].as_str() {
        Some(kind) if kind.ends_with("List") => value["items"].as_array().cloned().unwrap_or_default(),
        _ => vec![value],
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const HOUSE: &str = "apiVersion: sluice.dev/v1alpha1\nkind: MigrationPolicy\nmetadata: {name: \
        house}\nspec:\n  apply: {deadline: 5m}\n";
    const RECORDS: &str = "apiVersion: sluice.dev/v1alpha1\nkind: DatabaseMigration\nmetadata: {name: \
        records, namespace: medical}\nspec:\n  \
                           policyRef: {name: house}\n  database: {secretRef: {name: db}}\n  migrations: \
                           {configMaps: [m]}\n";

    fn read(texts: &[&str]) -> Result<Documents, Usage> {
        let folder = tempfile::tempdir().expect("a folder");
        let paths: Vec<PathBuf> =
            (0..texts.len()).map(|at| folder.path().join(format!("{at}.yaml"))).collect();
        for (path, text) in paths.iter().zip(texts) {
            fs::write(path, text).expect("writes");
        }
        Documents::read(&paths)
    }

    fn policy_in(texts: &[&str]) -> Result<Option<Value>, String> {
        let documents = read(texts).expect("reads");
        let migration = documents.of_kind("DatabaseMigration").next().expect("a DatabaseMigration").clone();
        documents.policy_of(&migration).map_err(|usage| usage.to_string())
    }

    #[test]
    fn a_policy_is_found_in_another_file_in_the_same_one_and_in_a_list() {
        let indented = |text: &str| format!("- {}", text.trim_end().replace('\n', "\n  "));
        let list =
            format!("apiVersion: v1\nkind: List\nitems:\n{}\n{}\n", indented(HOUSE), indented(RECORDS));
        for texts in [vec![RECORDS, HOUSE], vec![&format!("{RECORDS}---\n{HOUSE}")], vec![&list]] {
            let spec = policy_in(&texts).expect("found").expect("a policy");
            assert_eq!(spec["apply"]["deadline"], "5m");
        }
    }

    #[test]
    fn a_policy_that_is_not_there_or_of_another_namespace_or_there_twice_is_told() {
        let elsewhere = HOUSE.replace("{name: house}", "{name: house, namespace: other}");
        for (texts, part) in [
            (vec![RECORDS], "names the MigrationPolicy \"house\""),
            (vec![RECORDS, &elsewhere], "in none of the files"),
            (vec![RECORDS, &HOUSE.replace("name: house", "name: hause")], "in none of the files"),
            (vec![RECORDS, HOUSE, HOUSE], "more than once"),
            (vec![RECORDS, &HOUSE.replace("v1alpha1", "v2")], "apiVersion is \"sluice.dev/v2\""),
        ] {
            let told = policy_in(&texts).expect_err(part);
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn a_manifest_with_what_its_policy_says_is_read_as_one() {
        let documents = read(&[RECORDS]).expect("reads");
        let document = documents.of_kind("DatabaseMigration").next().expect("one");
        let object =
            document.in_force(Some(&serde_json::json!({"apply": {"deadline": "5m"}}))).expect("reads");
        assert_eq!((object.spec.apply.deadline.to_string().as_str(), object.spec.policy_ref), ("5m", None));
        let told = document
            .in_force(Some(&serde_json::json!({"apply": {"deadline": 5}})))
            .expect_err("a number")
            .to_string();
        assert!(told.contains("MigrationPolicy \"house\""), "{told}");
        let told = document
            .in_force(Some(&serde_json::json!({"apply": {"deadlines": "5m"}})))
            .expect_err("a typing error")
            .to_string();
        assert!(
            told.contains("MigrationPolicy \"house\"")
                && told.contains("there is no field spec.apply.deadlines"),
            "{told}"
        );
    }
}
