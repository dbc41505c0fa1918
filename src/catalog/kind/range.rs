//! Range types: what they are ranges of.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::Range,
    words: &["subtype", "operator class"],
    sql: "
SELECT pg_catalog.format('%I.%I', s.nspname, t.typname), s.name,
    ARRAY[pg_catalog.format_type(r.rngsubtype, NULL), (SELECT c.opcname::text FROM pg_catalog.pg_opclass c \
    WHERE c.oid = r.rngsubopc)]
FROM pg_catalog.pg_range r JOIN pg_catalog.pg_type t ON t.oid = r.rngtypid JOIN scope s ON s.oid = \
t.typnamespace
WHERE t.oid NOT IN (SELECT m.objid FROM member m WHERE m.classid = \
'pg_catalog.pg_type'::pg_catalog.regclass)",
};
