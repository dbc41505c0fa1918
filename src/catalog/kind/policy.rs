//! Policies of row-level security: for what, for whom, and under which conditions.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::Policy,
    words: &["for", "is", "to", "using", "with check"],
    sql: "
SELECT o.name || '.' || pg_catalog.quote_ident(p.polname), o.name,
    ARRAY[CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN \
    'DELETE' ELSE 'ALL' END,
          CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END,
          (SELECT pg_catalog.string_agg(COALESCE(pg_catalog.quote_ident(a.rolname), 'PUBLIC'), ', ' ORDER BY \
          a.rolname)
           FROM pg_catalog.unnest(p.polroles) AS r(oid) LEFT JOIN pg_catalog.pg_roles a ON a.oid = r.oid),
          pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)]
FROM ours o JOIN pg_catalog.pg_policy p ON p.polrelid = o.oid",
};
