//! Phases (`spec.migrations.phases`), which Prisma does not know.

use super::{Objection, beside};
use crate::migrations::SourceTree;

pub(super) fn rule(source: &SourceTree) -> Vec<Objection<'static>> {
    let mut phases: Vec<(&str, usize)> = Vec::new();
    for phase in source.migrations.iter().filter_map(|migration| migration.phase()) {
        match phases.iter_mut().find(|(name, _)| *name == phase) {
            Some((_, files)) => *files += 1,
            None => phases.push((phase, 1)),
        }
    }
    let finding = |(name, files): (&str, usize)| {
        let message = format!("Prisma does not know the phase {name:?} and runs none of its {files} files");
        beside(
            name,
            message,
            "copy what is not applied yet into migrations, should you go back to prisma migrate deploy",
        )
    };
    phases.into_iter().filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::About, *};
    use crate::migrations::Migration;

    #[test]
    fn each_phase_is_named_once() {
        let file = |name: &str| Migration::new(name.into(), name.into(), "");
        let migrations = ["1_a", "security/1", "security/2", "views/1"].map(file).into();
        let found = rule(&SourceTree { migrations, ..SourceTree::default() });
        let names = ["security", "views"];
        let named = |(objection, name): (&Objection<'_>, &&str)| matches!(&objection.about, About::Source(object) if object == name);
        assert!(found.len() == 2 && found.iter().zip(&names).all(named), "{found:?}");
        let said = found[0].said.as_ref().map(|said| said.message.as_str()).unwrap_or_default();
        assert!(said.contains("none of its 2 files"), "{said}");
    }
}
