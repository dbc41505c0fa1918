//! Columns: type, default, whether they may be null (since PostgreSQL 18, NOT NULL may be not validated),
//! where their values come from.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::Column,
    words: &["type", "collation", "null", "default", "generated", "identity"],
    sql: "
SELECT o.name || '.' || pg_catalog.quote_ident(a.attname), o.name,
    ARRAY[pg_catalog.format_type(a.atttypid, a.atttypmod),
          (SELECT pg_catalog.format('%I.%I', n.nspname, l.collname) FROM pg_catalog.pg_collation l
             JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace
           WHERE l.oid = a.attcollation AND a.attcollation <> t.typcollation),
          CASE WHEN NOT a.attnotnull THEN 'allowed'
               WHEN EXISTS (SELECT FROM pg_catalog.pg_constraint n WHERE n.conrelid = a.attrelid AND \
               n.contype = 'n'
                            AND NOT n.convalidated AND a.attnum = ANY(n.conkey)) THEN 'not allowed, not \
                            validated'
               ELSE 'not allowed' END,
          CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
          CASE WHEN a.attgenerated <> '' THEN CASE a.attgenerated WHEN 's' THEN 'stored: ' ELSE 'virtual: ' \
          END || pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
          CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END]
FROM ours o JOIN pg_catalog.pg_attribute a ON a.attrelid = o.oid JOIN pg_catalog.pg_type t ON t.oid = \
a.atttypid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE o.relkind IN ('r', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped",
};
