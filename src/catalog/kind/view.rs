//! Views: what they select, with whose rights, and what an INSERT into them leaves to a default.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::View,
    words: &["options", "definition", "defaults"],
    sql: "
SELECT o.name, o.schema, ARRAY[(SELECT pg_catalog.string_agg(p, ', ' ORDER BY p) FROM \
pg_catalog.unnest(o.reloptions) AS p), pg_catalog.pg_get_viewdef(o.oid),
    (SELECT pg_catalog.string_agg(pg_catalog.format('%I %s', a.attname, pg_catalog.pg_get_expr(d.adbin, \
    d.adrelid)), ', ' ORDER BY a.attname)
     FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = \
     d.adnum WHERE d.adrelid = o.oid)]
FROM ours o WHERE o.relkind = 'v'",
};
