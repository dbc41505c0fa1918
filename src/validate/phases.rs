//! The phases beside the migrations, as meant. PURE.

use std::collections::BTreeSet;

use super::{Source, ValidatedMigration, Violation};
use crate::api::{Migrations, PhaseWhen};

/// A folder of SQL beside the migrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomPhase {
    /// The first half of its files' versions.
    pub name: String,
    /// Where its files are.
    pub source: PhaseSource,
    /// On which side of the migrations it runs.
    pub when: PhaseWhen,
    /// A file whose text has changed runs again.
    pub repeatable: bool,
}

/// Where the files of a phase are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PhaseSource {
    /// This folder of the migrations' image, without a leading slash.
    Folder(String),
    /// These ConfigMaps together.
    ConfigMaps(Vec<String>),
}

impl ValidatedMigration {
    /// Every ConfigMap that holds migrations or a phase, each once.
    pub fn config_maps(&self) -> Vec<&str> {
        let migrations = if let Source::ConfigMaps(names) = &self.source { names.as_slice() } else { &[] };
        let phases = self.phases.iter().flat_map(|phase| match &phase.source {
            PhaseSource::ConfigMaps(names) => names.as_slice(),
            PhaseSource::Folder(_) => &[],
        });
        let mut seen = BTreeSet::new();
        migrations.iter().chain(phases).map(String::as_str).filter(|name| seen.insert(*name)).collect()
    }
}

pub(super) fn phases(migrations: &Migrations, violations: &mut Vec<Violation>) -> Vec<CustomPhase> {
    let mut complain =
        |problem: String| violations.push(Violation { field: "spec.migrations.phases".into(), problem });
    let mut names = BTreeSet::new();
    let mut folders = BTreeSet::from([folder(migrations.path.as_deref().unwrap_or("/"))]);
    let mut phases = Vec::new();
    for phase in &migrations.phases {
        let name = &phase.name;
        if !names.insert(name) {
            complain(format!("two phases are called {name:?}: their files would have the same versions"));
        }
        if !is_name(name) {
            complain(format!("{name:?} is no name for a phase: lower-case letters, digits and inner dashes"));
        }
        let source = match (&phase.path, phase.config_maps.as_slice()) {
            (Some(path), []) if migrations.image.is_some() => {
                if !folders.insert(folder(path)) {
                    complain(format!(
                        "{name:?} has the folder {path:?}, whose files run already: give each phase a folder \
                            of its own"
                    ));
                }
                PhaseSource::Folder(folder(path))
            }
            (Some(_), []) => {
                complain(format!(
                    "{name:?} has a path, which is a folder of spec.migrations.image: without an image, give \
                        it configMaps"
                ));
                continue;
            }
            (None, names @ [_, ..]) => PhaseSource::ConfigMaps(names.to_vec()),
            _ => {
                complain(format!("{name:?} needs exactly one source: either path or configMaps"));
                continue;
            }
        };
        phases.push(CustomPhase {
            name: name.clone(),
            source,
            when: phase.when,
            repeatable: phase.repeatable,
        });
    }
    phases
}

fn folder(path: &str) -> String {
    path.trim_matches('/').to_owned()
}

/// The name becomes part of a volume's name and of a version, so it has the characters that both allow.
fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=40).contains(&name.len())
        && name.chars().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(migrations: &Value) -> (Vec<CustomPhase>, Vec<String>) {
        let migrations: Migrations = serde_json::from_value(migrations.clone()).expect("a section");
        let mut violations = Vec::new();
        let phases = phases(&migrations, &mut violations);
        (phases, violations.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn phases_keep_their_order_and_run_after_the_migrations_unless_they_say_otherwise() {
        let (phases, violations) = read(&json!({"image": "records:1", "path": "/migrations", "phases": [
            {"name": "structure", "path": "/sql/structure", "when": "Before"}, {"name": "security", "configMaps": ["policies"], "repeatable": true},
        ]}));
        assert_eq!(violations, Vec::<String>::new());
        let [structure, security] = phases.as_slice() else { panic!("{phases:?}") };
        assert_eq!(
            (structure.when, &structure.source),
            (PhaseWhen::Before, &PhaseSource::Folder("sql/structure".into()))
        );
        assert_eq!((security.when, security.repeatable), (PhaseWhen::After, true));
    }

    #[test]
    fn each_contradiction_is_told_with_the_name_of_the_phase() {
        let cases = [
            (json!({"configMaps": ["m"], "phases": [{"name": "a", "path": "/a"}]}), "without an image"),
            (json!({"configMaps": ["m"], "phases": [{"name": "a"}]}), "exactly one source"),
            (
                json!({"image": "i:1", "phases": [{"name": "a", "path": "/a", "configMaps": ["m"]}]}),
                "exactly one source",
            ),
            (
                json!({"image": "i:1", "phases": [{"name": "a", "path": "/a"}, {"name": "a", "path": "/b"}]}),
                "two phases are called",
            ),
            (
                json!({"image": "i:1", "phases": [{"name": "a", "path": "/a"}, {"name": "b", "path": "/a/"}]}),
                "a folder of its own",
            ),
            (
                json!({"image": "i:1", "path": "/m", "phases": [{"name": "a", "path": "/m"}]}),
                "a folder of its own",
            ),
            (json!({"image": "i:1", "phases": [{"name": "a/b", "path": "/a"}]}), "is no name"),
        ];
        for (section, part) in cases {
            let (_, violations) = read(&section);
            assert!(violations.len() == 1 && violations[0].contains(part), "{part}: {violations:?}");
            let named = ["\"a\"", "\"a/b\"", "\"b\""].iter().any(|name| violations[0].contains(name));
            assert!(violations[0].starts_with("spec.migrations.phases: ") && named, "{violations:?}");
        }
    }
}
