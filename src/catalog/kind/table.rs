//! Tables: what they are, whether row-level security holds, how they are partitioned. The order of columns is
//! told apart.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::Table,
    words: &[
        "is",
        "persistence",
        "row-level security",
        "forced",
        "partitioned by",
        "partition \
        of",
        "bounds",
        super::super::compare::ORDER,
    ],
    sql: "
SELECT o.name, o.schema,
    ARRAY[CASE o.relkind WHEN 'p' THEN 'a partitioned table' WHEN 'f' THEN 'a foreign table' ELSE 'a table' \
    END,
          CASE o.relpersistence WHEN 'u' THEN 'unlogged' END,
          CASE WHEN o.relrowsecurity THEN 'enabled' ELSE 'disabled' END, CASE WHEN o.relforcerowsecurity \
          THEN 'yes' ELSE 'no' END,
          pg_catalog.pg_get_partkeydef(o.oid),
          (SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I', n.nspname, p.relname), ', ' ORDER BY \
          h.inhseqno)
           FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class p ON p.oid = h.inhparent
             JOIN pg_catalog.pg_namespace n ON n.oid = p.relnamespace WHERE h.inhrelid = o.oid),
          pg_catalog.pg_get_expr(o.relpartbound, o.oid),
          (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum)
           FROM pg_catalog.pg_attribute a WHERE a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped)]
FROM ours o WHERE o.relkind IN ('r', 'p', 'f')",
};
