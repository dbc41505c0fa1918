//! Constraints of tables, with all they say: columns, actions, whether they can be deferred, whether they are validated.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::Constraint,
    words: &["definition"],
    sql: "
SELECT o.name || '.' || pg_catalog.quote_ident(c.conname), o.name, ARRAY[pg_catalog.pg_get_constraintdef(c.oid)]
FROM ours o JOIN pg_catalog.pg_constraint c ON c.conrelid = o.oid
WHERE c.contype IN ('p', 'u', 'f', 'c', 'x') AND o.relkind IN ('r', 'p', 'f')",
};
