//! Grants: what one role may do with a table, a column, a sequence, a function, a type or a schema. The owner
//! may do everything.

use super::{Kind, Reader};

pub(super) const READER: Reader = Reader {
    kind: Kind::Grant,
    words: &["may"],
    sql: "
, granted AS (
    SELECT o.name, o.relowner AS owner, o.name AS parent,
      COALESCE(o.relacl, pg_catalog.acldefault(CASE o.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", \
      o.relowner)) AS acl
    FROM ours o WHERE o.relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
    UNION ALL SELECT pg_catalog.format('%s (%I)', o.name, a.attname), o.relowner, o.name, a.attacl
    FROM ours o JOIN pg_catalog.pg_attribute a ON a.attrelid = o.oid
    WHERE o.relkind IN ('r', 'p', 'f', 'v', 'm') AND a.attacl IS NOT NULL AND NOT a.attisdropped
    UNION ALL SELECT f.name, f.owner, f.name, f.acl
    FROM (SELECT pg_catalog.format('%I.%I(%s)', s.nspname, p.proname, \
    pg_catalog.pg_get_function_identity_arguments(p.oid)) AS name,
            p.proowner AS owner, COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner)) AS acl
          FROM pg_catalog.pg_proc p JOIN scope s ON s.oid = p.pronamespace
          WHERE p.oid NOT IN (SELECT m.objid FROM member m WHERE m.classid = \
          'pg_catalog.pg_proc'::pg_catalog.regclass)
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = \
            'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'i')) AS f
    UNION ALL SELECT y.name, y.owner, y.name, y.acl
    FROM (SELECT pg_catalog.format('%I.%I', s.nspname, t.typname) AS name, t.typowner AS owner, \
    COALESCE(t.typacl, pg_catalog.acldefault('T', t.typowner)) AS acl
          FROM pg_catalog.pg_type t JOIN scope s ON s.oid = t.typnamespace
          WHERE t.typtype IN ('e', 'd', 'r')
            AND t.oid NOT IN (SELECT m.objid FROM member m WHERE m.classid = \
            'pg_catalog.pg_type'::pg_catalog.regclass)) AS y
    UNION ALL SELECT 'schema ' || s.name, s.nspowner, s.name, COALESCE(s.nspacl, pg_catalog.acldefault('n', \
    s.nspowner)) FROM scope s)
SELECT pg_catalog.format('%s to %s', g.name, COALESCE(pg_catalog.quote_ident(r.rolname), 'PUBLIC')), g.parent,
    ARRAY[pg_catalog.string_agg(DISTINCT x.privilege_type || CASE WHEN x.is_grantable THEN ' with grant \
    option' ELSE '' END, ', ')]
FROM granted g CROSS JOIN LATERAL pg_catalog.aclexplode(g.acl) AS x LEFT JOIN pg_catalog.pg_roles r ON r.oid \
= x.grantee
WHERE x.grantee <> g.owner GROUP BY g.name, g.parent, r.rolname",
};
