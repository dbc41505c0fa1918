//! What the stages check beside [`super::all`]: source against history, and the schema against what its
//! migrations make. They need more than a transaction of the database, so they are carried out elsewhere;
//! what they are is said here, in the words of a check's META.

use crate::{
    api::{CheckId, Severity},
    inspect::{Aspect, Meta},
    validate::ValidatedMigration,
};

/// A check that a stage carries out itself.
#[derive(Debug)]
pub struct StageCheck {
    /// What it is.
    pub meta: Meta,
    /// When it is carried out.
    pub when: When,
}

/// When a check beside the others is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always, by every verification; what the source and the history say by every plan, too.
    Always,
    /// When the manifest has `spec.verify.drift`.
    Drift,
    /// When a database is adopted, before anything is recorded; never by a verification.
    Adopting,
}

impl When {
    /// Whether a verification makes it; none when no verification ever does.
    pub const fn is_enabled(self, manifest: &ValidatedMigration) -> Option<bool> {
        match self {
            Self::Always => Some(true),
            Self::Drift => Some(manifest.drift.is_some()),
            Self::Adopting => None,
        }
    }
}

/// Every check beside [`super::all`], in the order of a report: the history comes before them, the comparison
/// of the schema after.
pub static STAGE_CHECKS: &[StageCheck] = &[
    StageCheck {
        when: When::Always,
        meta: Meta {
            id: CheckId::HistoryEqualsSource,
            aspect: Aspect::History,
            severity: Severity::Error,
            title: "Every migration of the source is applied",
            condition: "A migration of the source, up to `spec.migrations.target` where there is one, is not in \
                the history. One finding counts all of them and names the first.",
            effect: "The schema is not the one that the source describes, and the next version of the \
                application may need what is missing.",
            remedy: "Let Sluice run: it applies what is pending. Where a run has just ended and it stays, \
                another session changes the history by hand.",
        },
    },
    StageCheck {
        when: When::Always,
        meta: Meta {
            id: CheckId::MissingMigration,
            aspect: Aspect::History,
            severity: Severity::Warning,
            title: "Every applied migration is in the source",
            condition: "The history has a migration that the source does not have. Information where exactly the \
                newest ones are missing and \
                        nothing is pending: then the source is an older release (DatabaseAhead). An error for \
                        the file of a phase, where the \
                        source has none of the applied migrations, and everywhere with \
                        `spec.migrations.history.missing: Refuse`.",
            effect: "Sluice cannot make this schema again from the source, and a comparison with it means \
                nothing.",
            remedy: "Restore its folder: applied migrations stay in the source for ever. Or accept it by name, \
                with a reason, in \
                     `spec.migrations.history.accept`.",
        },
    },
    StageCheck {
        when: When::Always,
        meta: Meta {
            id: CheckId::EditedMigration,
            aspect: Aspect::History,
            severity: Severity::Error,
            title: "Applied migrations are as they were when they were applied",
            condition: "The checksum of a migration in the source differs from the one in the history by more \
                than line endings. A Warning with \
                        `spec.migrations.history.edited: Warn`. Information where only comments and blanks \
                        differ from the text that was \
                        applied, which Sluice keeps in `sluice.texts`.",
            effect: "What the file says is not what was done to this database, and another database would get \
                another schema.",
            remedy: "Restore the file as it was applied, and put the change into a new migration. Or, where the \
                database is right as it is, \
                     accept the file by name, with a reason, in `spec.migrations.history.accept`.",
        },
    },
    StageCheck {
        when: When::Always,
        meta: Meta {
            id: CheckId::OutOfOrder,
            aspect: Aspect::History,
            severity: Severity::Warning,
            title: "New migrations come after the applied ones",
            condition: "A migration is pending and its name is earlier than that of an applied one. An error \
                with \
                        `spec.migrations.history.late: Refuse`.",
            effect: "This database runs them in another order than an empty one, and may get another schema.",
            remedy: "Nothing where the two do not depend on each other. Otherwise give it a name later than \
                every applied one, before it is \
                     applied anywhere.",
        },
    },
    StageCheck {
        when: When::Always,
        meta: Meta {
            id: CheckId::FailedMigration,
            aspect: Aspect::History,
            severity: Severity::Error,
            title: "No migration is recorded as begun and not finished",
            condition: "The history has a row that was begun and neither finished nor rolled back: another tool \
                failed in it, or Sluice stopped between two \
                        steps of a migration that cannot be one transaction.",
            effect: "Some of its statements may be there and others not. Nothing is applied on top of that.",
            remedy: "Let Sluice run where it is Sluice's own: it goes on at the first step that is not done. \
                Where it is another tool's, find out whether its \
                     statements are there, then say so in `spec.migrations.resolve`.",
        },
    },
    StageCheck {
        when: When::Always,
        meta: Meta {
            id: CheckId::LineEndings,
            aspect: Aspect::History,
            severity: Severity::Information,
            title: "Applied migrations have the line endings with which they were applied",
            condition: "A migration of the source differs from the applied one in line endings only.",
            effect: "Nothing: it does the same.",
            remedy: "Nothing to do. A `.gitattributes` file with `*.sql text eol=lf` keeps them equal.",
        },
    },
    StageCheck {
        when: When::Always,
        meta: Meta {
            id: CheckId::StrayEntry,
            aspect: Aspect::History,
            severity: Severity::Warning,
            title: "Everything in the folder of migrations is a migration",
            condition: "The folder has an SQL file or a folder that the format does not know as a migration.",
            effect: "It is never run, although a person may believe that it was.",
            remedy: "Put its SQL into `NAME/migration.sql`, or move it out of the folder of migrations.",
        },
    },
    StageCheck {
        when: When::Always,
        meta: Meta {
            id: CheckId::HistoryPrivileges,
            aspect: Aspect::History,
            severity: Severity::Warning,
            title: "Only its owner writes the history",
            condition: "A role that neither owns the table of the history, or a table of the schema `sluice`, \
                nor is the migration role, the owner of the \
                        database or a superuser, was granted INSERT, UPDATE, DELETE or TRUNCATE on it or on \
                        columns of it, by name or through PUBLIC; or it is a \
                        member of the owner, of the migration role or of `pg_write_all_data`.",
            effect: "A session that connects as such a role can record a migration that never ran, and the gate \
                opens \
                for it; or take one away, and it runs again.",
            remedy: "The statement that the finding names: `REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON \
                _prisma_migrations FROM …`. Where the application has \
                     everything in its schema, say it after `GRANT … ON ALL TABLES`, which grants it again.",
        },
    },
    StageCheck {
        when: When::Adopting,
        meta: Meta {
            id: CheckId::Baseline,
            aspect: Aspect::History,
            severity: Severity::Error,
            title: "A database that is adopted is what the migrations up to the baseline make",
            condition: "The database has tables and no history, and an object of it differs from what the \
                migrations up to \
                        `spec.migrations.baseline.upTo` make in an empty database.",
            effect: "Nothing is recorded: a history that is not true would let every later migration build on \
                it.",
            remedy: "Change the database, or set `spec.migrations.baseline.upTo` to the migration where both are \
                the same.",
        },
    },
    StageCheck {
        when: When::Drift,
        meta: Meta {
            id: CheckId::SchemaDrift,
            aspect: Aspect::Drift,
            severity: Severity::Error,
            title: "The schema is what its applied migrations make, and nothing else",
            condition: "An object is missing from the database, or is there although no migration makes it, or \
                differs from what they make in \
                        a scratch database. Also when this cannot be found out: not knowing is never a pass.",
            effect: "A person changed the schema by hand. The next migration may fail on it, and no other \
                database is like this one.",
            remedy: "Change the database back, or write a migration that makes it so, or name it in \
                `spec.verify.drift.ignore`. \
                     `docs/drift.md` says what is compared and which rights it needs.",
        },
    },
];
