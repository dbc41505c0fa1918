//! Triggers, and whether they fire.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::Trigger,
    words: &["definition", "fires"],
    sql: "
SELECT o.name || '.' || pg_catalog.quote_ident(t.tgname), o.name,
    ARRAY[pg_catalog.pg_get_triggerdef(t.oid),
          CASE t.tgenabled WHEN 'O' THEN 'yes' WHEN 'D' THEN 'no' WHEN 'R' THEN 'on replicas' ELSE 'always' \
          END]
FROM ours o JOIN pg_catalog.pg_trigger t ON t.tgrelid = o.oid WHERE NOT t.tgisinternal",
};
