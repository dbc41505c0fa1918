//! Constraints of tables, with all they say: columns, actions, whether they can be deferred, whether they are
//! validated. And whether a foreign key is enforced: its triggers, on both tables, can be switched off.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::Constraint,
    words: &["definition", "triggers"],
    sql: "
SELECT o.name || '.' || pg_catalog.quote_ident(c.conname), o.name, \
ARRAY[pg_catalog.pg_get_constraintdef(c.oid),
    CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgconstraint = c.oid AND t.tgenabled IN \
    ('D', 'R')) THEN 'switched off' END]
FROM ours o JOIN pg_catalog.pg_constraint c ON c.conrelid = o.oid
WHERE c.contype IN ('p', 'u', 'f', 'c', 'x') AND o.relkind IN ('r', 'p', 'f')",
};
