//! Extensions: which, and where. Their version is the server's business: a scratch database gets the newest
//! that is installed.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::Extension,
    words: &["schema"],
    sql: "
SELECT pg_catalog.quote_ident(e.extname), s.name, ARRAY[s.name]
FROM pg_catalog.pg_extension e JOIN scope s ON s.oid = e.extnamespace",
};
