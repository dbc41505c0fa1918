//! Files that were there before with another text, or are gone. A migration that was applied anywhere is never
//! changed: every database that has it stops with `HistoryDiverged`, and Prisma complains of it. PURE.

use std::collections::BTreeSet;

use super::{
    About,
    objection::{Objection, line},
};
use crate::migrations::Migration;

const RULE: &str = "edited-migration";

/// How the files of a source differ from those that were there before; by Git, for instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// What the files are compared with: a commit.
    pub reference: String,
    /// The files that were there with another text.
    pub edited: BTreeSet<String>,
    /// The files that were there and are gone.
    pub gone: BTreeSet<String>,
}

impl Before {
    pub(super) fn objections<'a>(&self, release: &[&'a Migration]) -> Vec<Objection<'a>> {
        let Self { reference, edited, gone } = self;
        // A file that runs again whenever it has changed may change.
        let edited =
            release.iter().filter(|migration| !migration.repeatable && edited.contains(&migration.file));
        let edited = edited.filter_map(|migration| {
            let message = format!(
                "{reference} has this migration with another text, so a database that has applied it takes it for a \
                    history that was changed"
            );
            let about = About::Place(migration, line(&migration.sql, 1));
            Objection::in_words(RULE, about, message, "put its text back, and write a new migration".to_owned())
        });
        let gone = gone.iter().filter_map(|file| {
            let message =
                format!("{reference} has this migration, so a database that has applied it misses its file");
            let remedy = "put the file back; what it made, a new migration takes back".to_owned();
            Objection::in_words(RULE, About::Source(file.clone()), message, remedy)
        });
        edited.chain(gone).collect()
    }
}
