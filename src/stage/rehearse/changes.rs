//! What a release changes in the schema: the catalog of the scratch database before it and after it. Rows are
//! not compared.

use serde::{Deserialize, Serialize};

use super::super::{Context, ground::ReplayError};
use crate::{
    catalog::{self, Catalog, Change, Difference},
    postgres::Session,
};

/// One object that a release makes, changes or removes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchemaChange {
    /// What becomes of it.
    pub change: ChangeKind,
    /// What it is: `table`, `column`, `policy`, …
    pub kind: String,
    /// `schema.name`; of a column `schema.table.name`.
    pub name: String,
    /// As lines of a diff, `-` before the release and `+` after it. What belongs to an object that is new or gone goes
    /// without saying.
    pub text: String,
}

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChangeKind {
    /// The release makes it.
    Added,
    /// It is there before and after, and not the same.
    Changed,
    /// The release removes it.
    Removed,
}

/// The schemas of the manifest as they are now.
pub(super) async fn read(context: &Context, session: &mut Session) -> Result<Catalog, ReplayError> {
    let scope = catalog::Scope {
        schemas: context.manifest.schemas.clone(),
        history_table: context.history_table().contract,
    };
    let connection = session.trusted().await.map_err(ReplayError::query)?;
    catalog::read(connection, &scope).await.map_err(ReplayError::query)
}

/// What is different, what is new first. PURE.
pub(super) fn between(before: &Catalog, after: &Catalog) -> Vec<SchemaChange> {
    let mut changes: Vec<SchemaChange> =
        catalog::compare(before, after, &[]).into_iter().map(SchemaChange::of).collect();
    changes.sort_by_key(|change| change.change);
    changes
}

impl SchemaChange {
    fn of(difference: Difference) -> Self {
        Self {
            change: match difference.change {
                Change::Extra(_) => ChangeKind::Added,
                Change::Different(_) | Change::Reordered(_) => ChangeKind::Changed,
                Change::Missing(_) => ChangeKind::Removed,
            },
            kind: difference.kind.word().to_owned(),
            name: difference.name.clone(),
            text: catalog::text(&[difference]),
        }
    }
}
