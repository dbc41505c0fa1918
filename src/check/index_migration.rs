//! What a remedy says of the migration that builds or drops an index.

/// How a statement with CONCURRENTLY stands in a file that both Sluice and Prisma run.
const ALONE: &str =
    "alone in a migration file that begins with -- sluice: no-transaction, so that Prisma runs it too";

/// A new index, by the statement that creates it.
pub(super) fn build(create: &str) -> String {
    format!(
        "{create}; {ALONE}. In a Prisma project, add @@index to the model in schema.prisma, too: else the \
            next `prisma migrate dev` drops it"
    )
}

/// An index that goes, by its quoted name.
pub(super) fn drop(index: &str) -> String {
    format!(
        "DROP INDEX CONCURRENTLY {index}; {ALONE}. In a Prisma project, take its @@index out of \
            schema.prisma, too: else the next \
         `prisma migrate dev` creates it again"
    )
}
