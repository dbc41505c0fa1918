//! Sequences: how they count and whose they are. How far they have counted is data.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::Sequence,
    words: &["type", "start", "increment", "minimum", "maximum", "cache", "cycle", "owned by"],
    sql: "
SELECT o.name, COALESCE(owner.relation, o.schema),
    ARRAY[pg_catalog.format_type(q.seqtypid, NULL), q.seqstart::text, q.seqincrement::text, q.seqmin::text, \
    q.seqmax::text,
          q.seqcache::text, CASE WHEN q.seqcycle THEN 'yes' END, owner.attribute]
FROM ours o JOIN pg_catalog.pg_sequence q ON q.seqrelid = o.oid
LEFT JOIN LATERAL (SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS relation,
      pg_catalog.format('%I.%I.%I', n.nspname, c.relname, a.attname) AS attribute
    FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.refobjid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = o.oid
      AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i')) AS owner ON \
      true",
};
