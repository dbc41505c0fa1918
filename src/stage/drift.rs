//! `spec.verify.drift`: the schema is what its applied migrations make. One finding for each object that is not, and one when
//! it cannot be found out: not knowing is never a pass.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::{
    Context,
    replay::{Question, ReplayError, differences},
};
use crate::{
    api::{Finding, Reason, Severity},
    catalog::{self, Remedies},
    migrations::SourceTree,
};

/// The id of the check.
const CHECK: &str = "schema-drift";
const REMEDIES: Remedies = Remedies {
    check: CHECK,
    missing: "put it back, or write a migration that removes it, or name it in spec.verify.drift.ignore",
    extra: "remove it from the database, or write a migration that makes it, or name it in spec.verify.drift.ignore",
    different: "change the database back, or write a migration that makes it so, or name it in spec.verify.drift.ignore",
};

/// Every difference, where the manifest asks. `applied` are the names of the migrations that the ledger has, in the order in which they were applied.
pub(super) async fn findings(
    context: &Context,
    connection: &mut PgConnection,
    source: &SourceTree,
    applied: &[String],
) -> Result<Vec<Finding>, (Reason, String)> {
    let Some(drift) = &context.manifest.drift else { return Ok(Vec::new()) };
    let position: BTreeMap<&str, usize> =
        source.migrations.iter().enumerate().map(|(at, migration)| (migration.name.as_str(), at)).collect();
    let members: Vec<usize> = applied.iter().filter_map(|name| position.get(name.as_str()).copied()).collect();
    let schemas = if drift.schemas.is_empty() { &context.manifest.schemas } else { &drift.schemas };
    let question = Question { source, members: &members, schemas, ignore: &drift.ignore };
    match differences(context, connection, &question).await {
        Ok(found) => {
            if !found.is_empty() {
                tracing::warn!(
                    objects = found.len(),
                    "the schema is not what its migrations make (-), but this (+):\n{}",
                    catalog::text(&found)
                );
            }
            Ok(catalog::findings(&found, question.newest(), &REMEDIES))
        }
        Err(ReplayError::Unproven { object, message, remedy, .. }) => {
            Ok(vec![Finding { check: CHECK.to_owned(), object, severity: Severity::Error, message, remedy }])
        }
        Err(ReplayError::Stopped { reason, message }) => Err((reason, format!("the schema could not be compared: {message}"))),
    }
}
