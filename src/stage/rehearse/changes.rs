//! What a release changes in the schema: the catalog of the scratch database before it and after it. Rows are
//! not compared.

use super::{
    super::{Context, ground::ReplayError},
    result::{ChangeKind, SchemaChange},
};
use crate::{
    catalog::{self, Catalog, Change, Difference},
    postgres::Session,
};

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
