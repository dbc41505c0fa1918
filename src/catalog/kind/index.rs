//! Indexes as PostgreSQL prints them: columns, order, operator classes, predicate. Those of constraints are
//! told as constraints.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::Index,
    words: &["definition", "valid"],
    sql: "
SELECT o.name, pg_catalog.format('%I.%I', n.nspname, t.relname),
    ARRAY[pg_catalog.pg_get_indexdef(i.indexrelid), CASE WHEN i.indisvalid AND i.indisready AND i.indislive \
    THEN 'yes' ELSE 'no' END]
FROM ours o JOIN pg_catalog.pg_index i ON i.indexrelid = o.oid JOIN pg_catalog.pg_class t ON t.oid = \
i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conrelid = i.indrelid AND c.conindid = \
i.indexrelid AND c.contype IN ('p', 'u', 'x'))",
};
