//! Views: what they select, and with whose rights.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::View,
    words: &["options", "definition"],
    sql: "
SELECT o.name, o.schema, ARRAY[(SELECT pg_catalog.string_agg(p, ', ' ORDER BY p) FROM pg_catalog.unnest(o.reloptions) AS p), pg_catalog.pg_get_viewdef(o.oid)]
FROM ours o WHERE o.relkind = 'v'",
};
