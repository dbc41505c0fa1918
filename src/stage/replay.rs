//! What the migrations make: they are replayed in a scratch database, and the result is compared with the
//! real one. Shared by drift and baseline. The server is left as it was, whatever happens.

use std::time::Instant;

use sqlx::PgConnection;

use super::{
    Context,
    ground::{self, ReplayError, Use},
    refill::Refill,
};
use crate::{
    catalog::{self, Difference, Key, Kind},
    migrations::{Migration, SourceTree},
    postgres::{Prerequisite, Scratch, unused_extensions},
};

const USE: Use = Use {
    now: "the migrations are replayed",
    then: "the migrations were replayed",
    without: "whether the schema is what they make",
};

/// What is compared.
pub(super) struct Comparison<'a> {
    pub(super) source: &'a SourceTree,
    /// Indexes into the source: what is replayed, in order.
    pub(super) members: &'a [usize],
    pub(super) schemas: &'a [String],
    /// Names that may differ.
    pub(super) ignore: &'a [String],
}

impl Comparison<'_> {
    fn migrations(&self) -> impl Iterator<Item = &Migration> {
        self.members.iter().map(|at| &self.source.migrations[*at])
    }

    /// The newest migration that is replayed, that of no phase where there is one.
    pub(super) fn newest(&self) -> &str {
        let own = self.migrations().filter(|migration| migration.phase().is_none()).last();
        own.or_else(|| self.migrations().last()).map_or("nothing", |migration| &migration.name)
    }
}

/// How the real database differs from what the migrations make. `connection` is on the real one, outside a
/// transaction.
pub(super) async fn differences(
    context: &Context,
    connection: &mut PgConnection,
    comparison: &Comparison<'_>,
) -> Result<Vec<Difference>, ReplayError> {
    let refill = Refill::of(comparison.migrations())?;
    let prerequisites = refill.prerequisites(connection, comparison.schemas).await?;
    let server = ground::url(context)?;
    let scratch = ground::make(context, server, connection, (&refill.digest(), USE)).await?;
    let work = compare_made(context, &scratch, connection, comparison, &refill, &prerequisites);
    let found = ground::in_time(context, USE, work).await;
    ground::drop(scratch).await;
    found
}

fn scope(context: &Context, comparison: &Comparison<'_>) -> catalog::Scope {
    catalog::Scope { schemas: comparison.schemas.to_vec(), history_table: context.history_table().contract }
}

/// Fills the scratch database, reads it and the real one at the same time, and compares.
async fn compare_made(
    context: &Context,
    scratch: &Scratch,
    real: &mut PgConnection,
    comparison: &Comparison<'_>,
    refill: &Refill<'_>,
    prerequisites: &[Prerequisite],
) -> Result<Vec<Difference>, ReplayError> {
    let begun = Instant::now();
    let connection = ground::connect_to(context, &scratch.url(ground::url(context)?), real).await?;
    let mut session = refill.fill(context, connection, prerequisites).await?;
    tracing::info!(
        migrations = refill.len(),
        milliseconds = begun.elapsed().as_millis(),
        "replayed the migrations in a scratch database"
    );
    let begun = Instant::now();
    let scope = scope(context, comparison);
    let (expected, actual) = futures::join!(
        catalog::read(session.trusted().await.map_err(ReplayError::query)?, &scope),
        catalog::read(real, &scope)
    );
    let (mut expected, actual) = (expected.map_err(ReplayError::query)?, actual.map_err(ReplayError::query)?);
    let extensions: Vec<String> = prerequisites
        .iter()
        .filter(|needed| needed.kind == "extension")
        .map(|needed| needed.name.clone())
        .collect();
    for name in unused_extensions(session.trusted().await.map_err(ReplayError::query)?, &extensions)
        .await
        .map_err(ReplayError::query)?
    {
        expected.objects.remove(&Key { kind: Kind::Extension, name });
    }
    session.close().await;
    let found = catalog::compare(&expected, &actual, comparison.ignore);
    tracing::info!(
        objects = expected.objects.len(),
        milliseconds = begun.elapsed().as_millis(),
        "compared the schema with what they make"
    );
    Ok(found)
}
