//! Where the folders of phases are: mounted one by one in a Pod, beside the folder of migrations on a laptop.

use std::path::{Path, PathBuf};

use crate::{
    migrations::PhaseFolder,
    validate::{CustomPhase, PhaseSource, Source, ValidatedMigration},
};

/// In a Pod: what a phase comes from is mounted at `ROOT/NAME`.
pub(super) fn mounted(manifest: &ValidatedMigration, root: &Path) -> Vec<PhaseFolder> {
    let folder = |phase: &CustomPhase| match &phase.source {
        PhaseSource::Folder(path) => root.join(&phase.name).join(path),
        PhaseSource::ConfigMaps(_) => root.join(&phase.name),
    };
    manifest.phases.iter().map(|phase| with(phase, folder(phase))).collect()
}

/// Beside a folder that stands for the manifest's migrations: a phase with a path is as far from it as in the
/// image; one from ConfigMaps is its neighbour, called as the phase is.
pub(super) fn beside(manifest: &ValidatedMigration, migrations: &Path) -> Vec<PhaseFolder> {
    let own = if let Source::Image { path, .. } = &manifest.source { path.as_str() } else { "" };
    let folder = |phase: &CustomPhase| match &phase.source {
        PhaseSource::Folder(path) => migrations.join(way(own, path)),
        PhaseSource::ConfigMaps(_) => migrations.join("..").join(&phase.name),
    };
    manifest.phases.iter().map(|phase| with(phase, folder(phase))).collect()
}

fn with(phase: &CustomPhase, folder: PathBuf) -> PhaseFolder {
    let shown = if let PhaseSource::Folder(path) = &phase.source { path } else { &phase.name };
    PhaseFolder {
        name: phase.name.clone(),
        folder,
        shown: shown.clone(),
        when: phase.when,
        repeatable: phase.repeatable,
    }
}

/// The path from one folder of an image to another.
fn way(from: &str, to: &str) -> PathBuf {
    let parts = |path: &'_ str| {
        path.split('/').filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let (from, to) = (parts(from), parts(to));
    let common = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
    let up = std::iter::repeat_n("..".to_owned(), from.len() - common);
    up.chain(to.into_iter().skip(common)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::DatabaseMigration, validate::validate};

    fn manifest() -> ValidatedMigration {
        let object: DatabaseMigration = serde_json::from_value(serde_json::json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": "records"},
            "spec": {
                "database": {"secretRef": {"name": "records-db"}}, "snapshot": {"none": {"reason": "a \
                    database of a test"}},
                "migrations": {"image": "records:1", "path": "/app/prisma/migrations", "phases": [
                    {"name": "security", "path": "/app/sql/security"}, {"name": "grants", "configMaps": ["grants"]},
                ]},
            },
        }))
        .expect("a manifest");
        validate(&object).expect("valid")
    }

    fn folders(phases: &[PhaseFolder]) -> Vec<(&Path, &str)> {
        phases.iter().map(|phase| (phase.folder.as_path(), phase.shown.as_str())).collect()
    }

    #[test]
    fn a_laptop_has_phases_as_far_from_the_migrations_as_the_image_has() {
        let phases = beside(&manifest(), Path::new("prisma/migrations"));
        let expected = [
            (Path::new("prisma/migrations/../../sql/security"), "app/sql/security"),
            (Path::new("prisma/migrations/../grants"), "grants"),
        ];
        assert_eq!(folders(&phases), expected);
        assert_eq!(way("", "security"), Path::new("security"), "the migrations are the image's root");
    }

    #[test]
    fn a_pod_has_each_phase_mounted_under_its_name() {
        let phases = mounted(&manifest(), Path::new("/phases"));
        let expected = [
            (Path::new("/phases/security/app/sql/security"), "app/sql/security"),
            (Path::new("/phases/grants"), "grants"),
        ];
        assert_eq!(folders(&phases), expected);
    }
}
