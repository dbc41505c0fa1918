//! `spec.verify.drift`: the schema is what its applied migrations make. One finding for each object that is
//! not, and one when it cannot be found out: not knowing is never a pass.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::{
    Context,
    ground::ReplayError,
    replay::{Comparison, differences},
};
use crate::{
    api::{CheckId, Finding, Reason, Severity},
    catalog::{self, Difference, Remedies},
    migrations::{SourceTree, listed},
};

const REMEDIES: Remedies = Remedies {
    check: CheckId::SchemaDrift,
    missing: "put it back, or write a migration that removes it, or name it in spec.verify.drift.ignore",
    extra: "remove it from the database, or write a migration that makes it, or name it in \
        spec.verify.drift.ignore",
    different: "change the database back, or write a migration that makes it so, or name it in \
        spec.verify.drift.ignore",
};

/// Every difference, where the manifest asks. `applied` are the names of the migrations that the history has,
/// in the order in which they were applied.
pub(super) async fn findings(
    context: &Context,
    connection: &mut PgConnection,
    source: &SourceTree,
    applied: &[String],
) -> Result<Vec<Finding>, (Reason, String)> {
    let Some(drift) = &context.manifest.drift else { return Ok(Vec::new()) };
    let position: BTreeMap<&str, usize> =
        source.migrations.iter().enumerate().map(|(at, migration)| (migration.name.as_str(), at)).collect();
    let (known, missing): (Vec<&str>, Vec<&str>) =
        applied.iter().map(String::as_str).partition(|name| position.contains_key(name));
    let members: Vec<usize> = known.iter().map(|name| position[name]).collect();
    let schemas = if drift.schemas.is_empty() { &context.manifest.schemas } else { &drift.schemas };
    let comparison = Comparison { source, members: &members, schemas, ignore: &drift.ignore };
    let mut compared = differences(context, connection, &comparison).await;
    // Copied histories have times that are no order; that of the source is the other one that can be meant.
    let mut sorted = members.clone();
    sorted.sort_unstable();
    if matches!(compared, Err(ReplayError::Unproven { .. })) && sorted != members {
        compared = differences(context, connection, &Comparison { members: &sorted, ..comparison }).await;
    }
    let findings = judge(compared, comparison.newest())?;
    let unequal = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if unequal && !missing.is_empty() { vec![not_comparable(&missing)] } else { findings })
}

/// What the comparison says.
fn judge(
    compared: Result<Vec<Difference>, ReplayError>,
    newest: &str,
) -> Result<Vec<Finding>, (Reason, String)> {
    match compared {
        Ok(found) => {
            if !found.is_empty() {
                tracing::warn!(
                    objects = found.len(),
                    "the schema is not what its migrations make (-), but this (+):\n{}",
                    catalog::text(&found)
                );
            }
            Ok(catalog::findings(&found, newest, &REMEDIES))
        }
        Err(ReplayError::Unproven { object, message, remedy, .. }) => Ok(vec![Finding {
            check: CheckId::SchemaDrift,
            object,
            severity: Severity::Error,
            message,
            remedy,
        }]),
        Err(ReplayError::Stopped { reason, message }) => {
            Err((reason, format!("the schema could not be compared: {message}")))
        }
    }
}

/// What a migration that the source lacks has made cannot be told from what a person made by hand. That it
/// may be missing, the history says.
fn not_comparable(missing: &[&str]) -> Finding {
    let message = format!(
        "the schema is not what the migrations of the source make, which lacks {}: what those made cannot be \
            told from a drift",
        listed(missing)
    );
    Finding {
        check: CheckId::SchemaDrift,
        object: missing.last().copied().unwrap_or_default().to_owned(),
        severity: Severity::Warning,
        message,
        remedy:
            "nothing to do while an older release is deployed; otherwise restore the missing migrations, \
            and it is compared again"
                .to_owned(),
    }
}
