//! Which database the entries of the gate are about, and whether a run verified that one. PURE.

use super::{
    facts::Facts,
    run::{
        current::CurrentRun,
        judge::{Ending, Pass, RunState},
    },
};
use crate::{
    api::{ANNOTATION_RETRY, ANY_DATABASE, Reason},
    contract::Stage,
};

/// The database that was verified so far, where that is known: as the gate says, or as the status remembers
/// it, should the gate be gone.
fn known(facts: &Facts) -> Option<&String> {
    facts.gate_database.as_ref().or(facts.published.database.as_ref()).filter(|known| *known != ANY_DATABASE)
}

/// Whether a database is another one than that. One that does not say which it is may be any.
pub fn is_another(facts: &Facts, database: Option<&String>) -> bool {
    known(facts).is_some_and(|known| Some(known) != database)
}

/// What was verified in another database than the one that the gate knows opens nothing, and is no pass.
pub fn the_same<'a>(facts: &Facts, mut current: CurrentRun<'a>) -> CurrentRun<'a> {
    let Some(verified) = current.outcome(Stage::Verify) else { return current };
    let found = verified.history.as_ref().and_then(|history| history.database.as_ref());
    if let RunState::Passed(Pass { stage, at }) = current.run_state
        && is_another(facts, found)
    {
        let (reason, message) = (Reason::DatabaseChanged, changed(facts, found));
        current.run_state = RunState::Failed(Ending { reason, stage, message, at });
    }
    current
}

/// Why nothing is opened, and what a person has to say before it is.
fn changed(facts: &Facts, found: Option<&String>) -> String {
    let (known, name) = (known(facts).map_or("", String::as_str), &facts.name);
    let identity = found.map_or(ANY_DATABASE, String::as_str);
    let found = found.map_or("does not say which one it is".to_owned(), |found| format!("is {found}"));
    format!(
        "the database {found}, and the entries of {name:?} in the MigrationGate are about {known}: none was \
            taken away and none added. If the \
         new database is meant, a user with the verb bypass writes {{name: {name}, identity: {identity}}} \
         into spec.databases of the \
         MigrationGate \"gates\", and removes from spec.satisfied what the new one does not have; then \
         change the annotation {ANNOTATION_RETRY}"
    )
}
