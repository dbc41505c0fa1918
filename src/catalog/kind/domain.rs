//! Domains: what they rest on, and what they add.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::Domain,
    words: &["type", "collation", "not null", "default", "constraints"],
    sql: "
SELECT pg_catalog.format('%I.%I', s.nspname, t.typname), s.name,
    ARRAY[pg_catalog.format_type(t.typbasetype, t.typtypmod),
          (SELECT pg_catalog.format('%I.%I', n.nspname, l.collname) FROM pg_catalog.pg_collation l
             JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace JOIN pg_catalog.pg_type b ON b.oid = \
             t.typbasetype
           WHERE l.oid = t.typcollation AND t.typcollation <> b.typcollation),
          CASE WHEN t.typnotnull THEN 'yes' END, t.typdefault,
          (SELECT pg_catalog.string_agg(pg_catalog.format('%I %s', c.conname, \
          pg_catalog.pg_get_constraintdef(c.oid)), ', ' ORDER BY c.conname)
           FROM pg_catalog.pg_constraint c WHERE c.contypid = t.oid AND c.contype = 'c')]
FROM pg_catalog.pg_type t JOIN scope s ON s.oid = t.typnamespace
WHERE t.typtype = 'd' AND t.oid NOT IN (SELECT m.objid FROM member m WHERE m.classid = \
'pg_catalog.pg_type'::pg_catalog.regclass)",
};
