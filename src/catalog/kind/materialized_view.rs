//! Materialized views: what they select.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::MaterializedView,
    words: &["definition"],
    sql: "
SELECT o.name, o.schema, ARRAY[pg_catalog.pg_get_viewdef(o.oid)]
FROM ours o WHERE o.relkind = 'm'",
};
