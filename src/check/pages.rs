//! The pages under `docs/checks` say what the checks say.

use std::{collections::BTreeSet, env, fmt::Write, fs, path::Path};

use super::{STAGE_CHECKS, StageCheck, When};
use crate::{
    api::Severity,
    inspect::{Aspect, Meta},
};

const HEAD: &str = "<!-- Written from the check's META: UPDATE=1 cargo test --lib check::pages -->\n\n";

fn page(meta: &Meta) -> String {
    let aspect = match meta.aspect {
        Aspect::Isolation => "isolation, checked when the manifest has `spec.verify.rowLevelSecurity`",
        Aspect::Data => "rows, checked after everything is committed",
        Aspect::Change => "rows, checked in each transaction of a migration",
        other => other.word(),
    };
    text(meta, aspect)
}

fn page_of_stage_check(StageCheck { meta, when }: &StageCheck) -> String {
    let when = match when {
        When::Always => "always checked",
        When::Drift => "checked when the manifest has `spec.verify.drift`",
        When::Adopting => "checked when a database is adopted with `spec.migrations.baseline`",
    };
    text(meta, &format!("{}, {when}", meta.aspect.word()))
}

fn text(meta: &Meta, aspect: &str) -> String {
    let Meta { id, title, condition, effect, remedy, severity, aspect: _ } = meta;
    let severity = match severity {
        Severity::Error => "error: Ready stays off",
        Severity::Warning => "warning: Ready is not affected",
        Severity::Information => "information: Ready is not affected",
    };
    format!(
        "{HEAD}# {id}\n\n{title}.\n\n- Aspect: {aspect}.\n- Severity: {severity}.\n\n## When it finds \
            something\n\n{condition}\n\n\
         ## What that means\n\n{effect}\n\n## What to do\n\n{remedy}\n"
    )
}

fn index() -> String {
    let mut text = format!(
        "{HEAD}# Checks\n\nWhat Sluice checks before COMMIT and again from outside, in the order of a \
            report.\n\n"
    );
    text.push_str("| Check | What must be true |\n| --- | --- |\n");
    let checks = super::all().map(|check| (&check.meta.id, check.meta.title));
    for (id, title) in checks {
        writeln!(text, "| [{id}]({id}.md) | {title} |").expect("a String takes every text");
    }
    text.push_str(
        "\nAnd what the stages check themselves: the source against the history, and the schema \
        against its migrations.\n\n",
    );
    text.push_str("| Check | What must be true |\n| --- | --- |\n");
    for StageCheck { meta: Meta { id, title, .. }, .. } in STAGE_CHECKS {
        writeln!(text, "| [{id}]({id}.md) | {title} |").expect("a String takes every text");
    }
    text
}

#[test]
fn the_pages_of_the_checks_say_what_the_checks_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/checks");
    let mut pages: Vec<_> =
        super::all().map(|check| (format!("{}.md", check.meta.id), page(check.meta))).collect();
    pages.extend(
        STAGE_CHECKS.iter().map(|beside| (format!("{}.md", beside.meta.id), page_of_stage_check(beside))),
    );
    pages.push(("README.md".to_owned(), index()));
    if env::var_os("UPDATE").is_some() {
        fs::create_dir_all(&folder).expect("the folder can be created");
        for (name, text) in &pages {
            fs::write(folder.join(name), text).expect("the page can be written");
        }
    }
    for (name, text) in &pages {
        let written = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert_eq!(&written, text, "docs/checks/{name} is stale: UPDATE=1 cargo test --lib check::pages");
    }
    let names: BTreeSet<_> = pages.into_iter().map(|(name, _)| name).collect();
    let files = fs::read_dir(&folder)
        .expect("the folder")
        .flatten()
        .map(|file| file.file_name().to_string_lossy().into_owned());
    assert_eq!(files.collect::<BTreeSet<_>>(), names, "docs/checks has a page without a check");
}
