//! The tables that are the product's own: what counting and conventions speak of.

/// Names the own tables `own (oid, schema, name)` in front of a query: without histories, partitions and what
/// extensions bring. `$1` are the schemas.
macro_rules! tables {
    ($query:expr) => {
        concat!(
            "WITH own AS MATERIALIZED (SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name \
               FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname = ANY($1) \
                 AND n.nspname <> 'sluice' AND c.relname <> '_prisma_migrations' \
                 AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
                   WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND \
                   d.deptype = 'e')) ",
            $query
        )
    };
}

pub(crate) use tables;
