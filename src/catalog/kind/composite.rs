//! Composite types: their attributes, in order, because a row of them is written in that order.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::Composite,
    words: &["attributes"],
    sql: "
SELECT o.name, o.schema,
    ARRAY[(SELECT pg_catalog.string_agg(pg_catalog.format('%I %s', a.attname, \
    pg_catalog.format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
           FROM pg_catalog.pg_attribute a WHERE a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped)]
FROM ours o WHERE o.relkind = 'c'",
};
