//! Phases (`spec.migrations.phases`), which Prisma does not know.

use super::of_the_source;
use crate::{api::Finding, migrations::SourceTree};

pub(super) fn rule(source: &SourceTree) -> Vec<Finding> {
    let mut phases: Vec<(&str, usize)> = Vec::new();
    for phase in source.migrations.iter().filter_map(|migration| migration.phase()) {
        match phases.iter_mut().find(|(name, _)| *name == phase) {
            Some((_, files)) => *files += 1,
            None => phases.push((phase, 1)),
        }
    }
    let finding = |(name, files): (&str, usize)| {
        let message = format!("Prisma does not know the phase {name:?} and runs none of its {files} files");
        of_the_source(
            name,
            message,
            "copy what is not applied yet into migrations, should you go back to prisma migrate deploy",
        )
    };
    phases.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::Migration;

    #[test]
    fn each_phase_is_named_once() {
        let file = |name: &str| Migration::new(name.into(), name.into(), "");
        let migrations = ["1_a", "security/1", "security/2", "views/1"].map(file).into();
        let found = rule(&SourceTree { migrations, ..SourceTree::default() });
        let objects: Vec<_> = found.iter().map(|finding| finding.object.as_str()).collect();
        assert_eq!(objects, ["security", "views"]);
        assert!(found[0].message.contains("none of its 2 files"), "{found:?}");
    }
}
