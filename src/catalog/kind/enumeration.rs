//! Enums: their values, in order.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::Enum,
    words: &["values"],
    sql: "
SELECT pg_catalog.format('%I.%I', s.nspname, t.typname), s.name,
    ARRAY[(SELECT pg_catalog.string_agg(pg_catalog.quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
           FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid)]
FROM pg_catalog.pg_type t JOIN scope s ON s.oid = t.typnamespace
WHERE t.typtype = 'e' AND t.oid NOT IN (SELECT m.objid FROM member m WHERE m.classid = \
'pg_catalog.pg_type'::pg_catalog.regclass)",
};
