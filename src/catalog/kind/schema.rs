//! Schemas: whether they are there. Who may do what in them is a grant.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::Schema,
    words: &[],
    sql: "
SELECT s.name, NULL::text, ARRAY[]::text[] FROM scope s",
};
