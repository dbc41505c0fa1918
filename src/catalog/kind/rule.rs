//! Rewrite rules. The rule that makes a view a view is its definition.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::Rule,
    words: &["definition", "applies"],
    sql: "
SELECT o.name || '.' || pg_catalog.quote_ident(r.rulename), o.name,
    ARRAY[pg_catalog.pg_get_ruledef(r.oid),
          CASE r.ev_enabled WHEN 'O' THEN 'yes' WHEN 'D' THEN 'no' WHEN 'R' THEN 'on replicas' ELSE 'always' \
          END]
FROM ours o JOIN pg_catalog.pg_rewrite r ON r.ev_class = o.oid WHERE r.rulename <> '_RETURN'",
};
