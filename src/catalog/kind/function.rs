//! Functions, procedures and aggregates, with their bodies to the letter.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::Function,
    words: &["definition"],
    sql: "
SELECT pg_catalog.format('%I.%I(%s)', s.nspname, p.proname, \
pg_catalog.pg_get_function_identity_arguments(p.oid)), s.name,
    ARRAY[CASE WHEN p.prokind = 'a'
      THEN (SELECT pg_catalog.format('AGGREGATE returning %s: step %s, state %s, final %s, begins with %L', \
      pg_catalog.pg_get_function_result(p.oid),
              g.aggtransfn::pg_catalog.regprocedure, pg_catalog.format_type(g.aggtranstype, NULL), \
              g.aggfinalfn::pg_catalog.oid::pg_catalog.regprocedure, g.agginitval)
            FROM pg_catalog.pg_aggregate g WHERE g.aggfnoid = p.oid)
      ELSE pg_catalog.pg_get_functiondef(p.oid) END]
FROM pg_catalog.pg_proc p JOIN scope s ON s.oid = p.pronamespace
WHERE p.oid NOT IN (SELECT m.objid FROM member m WHERE m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = \
  'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'i')",
};
