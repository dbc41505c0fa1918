//! What the catalog knows of the tables that are tried, and of every table that their foreign keys or their
//! views lead to.

use std::collections::BTreeMap;

use sqlx::{FromRow, PgConnection};

use super::view::{self, View};
use crate::{
    api::RowLevelSecurity,
    inspect::{CheckError, QueryContext, Scope, equality, sql, tenancy},
    postgres::query_as,
};

/// A tenant table, or a view of one, that the application may use.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of the catalog, and every combination occurs"
)]
#[derive(Clone, Debug, Default, FromRow)]
pub(super) struct Target {
    pub(super) oid: i64,
    pub(super) schema: String,
    pub(super) name: String,
    /// The partitioned table, for a partition.
    pub(super) root: Option<String>,
    /// The type of the tenant column, as it is written.
    pub(super) tenant_type: String,
    /// The operator by which two tenants are the same, as it is written.
    #[sqlx(skip)]
    pub(super) equals: String,
    /// The tenant column's number.
    pub(super) tenant: i16,
    /// May read some column.
    pub(super) select_any: bool,
    /// May read the tenant column.
    pub(super) select_tenant: bool,
    /// May write some column of a new row.
    pub(super) insert_any: bool,
    /// May write the tenant column of a new row.
    pub(super) insert_tenant: bool,
    /// May change the tenant column.
    pub(super) update_tenant: bool,
    /// Other columns that may be changed: those that may be null first.
    pub(super) updates: Vec<i16>,
    pub(super) delete: bool,
    /// Triggers may change a row before the policies see it.
    pub(super) triggers: bool,
    /// It has any trigger: one may refuse what the policies let through, or skip it.
    pub(super) reacts: bool,
    /// The columns from which a generated tenant column is made.
    pub(super) sources: Vec<i16>,
    /// Row-level security is off: no policy applies.
    pub(super) bare: bool,
    /// It is a view.
    #[sqlx(skip)]
    pub(super) view: Option<View>,
}

impl Target {
    /// For statements.
    pub(super) fn qualified(&self) -> String {
        sql::qualified(&self.schema, &self.name)
    }

    /// The condition that a row is this tenant's.
    pub(super) fn is_of(&self, tenant_column: &str, tenant: &str) -> String {
        format!("{} {} {}", sql::identifier(tenant_column), self.equals, sql::literal(tenant))
    }

    /// For people.
    pub(super) fn display(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

const TARGETS: &str = tenancy::tenants!(
    "SELECT c.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS name, \
            CASE WHEN t.is_partition THEN (SELECT rn.nspname || '.' || rc.relname FROM pg_catalog.pg_class \
            rc \
              JOIN pg_catalog.pg_namespace rn ON rn.oid = rc.relnamespace WHERE rc.oid = \
              pg_catalog.pg_partition_root(c.oid)) END AS root, \
            pg_catalog.format_type(ta.atttypid, ta.atttypmod) AS tenant_type, ta.attnum AS tenant, \
            pg_catalog.has_any_column_privilege(a.oid, c.oid, 'SELECT') AS select_any, \
            pg_catalog.has_column_privilege(a.oid, c.oid, t.tenant, 'SELECT') AS select_tenant, \
            pg_catalog.has_any_column_privilege(a.oid, c.oid, 'INSERT') AS insert_any, \
            pg_catalog.has_column_privilege(a.oid, c.oid, t.tenant, \
            'INSERT') AND ta.attgenerated = '' AS insert_tenant, \
            pg_catalog.has_column_privilege(a.oid, c.oid, t.tenant, \
            'UPDATE') AND ta.attgenerated = '' AS update_tenant, \
            ARRAY(SELECT u.attnum FROM pg_catalog.pg_attribute u WHERE u.attrelid = c.oid AND u.attnum > 0 \
            AND NOT u.attisdropped AND u.attnum <> t.tenant \
               AND u.attgenerated = '' AND u.attidentity = '' AND pg_catalog.has_column_privilege(a.oid, \
               c.oid, u.attnum, 'UPDATE') \
               ORDER BY u.attnotnull, u.attnum) AS updates, \
            pg_catalog.has_table_privilege(a.oid, c.oid, 'DELETE') AS delete, \
            EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND \
            g.tgtype & 3 = 3) AS triggers, \
            EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal) AS \
            reacts, NOT \
            t.enabled AS bare, \
            ARRAY(SELECT DISTINCT d.refobjsubid::int2 FROM pg_catalog.pg_attrdef x JOIN pg_catalog.pg_depend \
            d \
               ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = x.oid AND \
               d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass \
               AND d.refobjid = c.oid AND d.refobjsubid > 0 AND d.refobjsubid <> t.tenant \
             WHERE x.adrelid = c.oid AND x.adnum = t.tenant AND ta.attgenerated <> '' ORDER BY 1) AS sources \
     FROM app a CROSS JOIN tenant_tables t \
     JOIN pg_catalog.pg_class c ON c.oid = t.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_catalog.pg_attribute ta ON ta.attrelid = c.oid AND ta.attnum = t.tenant \
     WHERE ",
    tenancy::app_reaches!(),
    " ORDER BY 2, 3"
);

/// The tenant tables and partitions that the application may use, whether the catalog calls them guarded or
/// not.
pub(super) async fn targets(
    connection: &mut PgConnection,
    scope: &Scope,
    security: &RowLevelSecurity,
) -> Result<Vec<Target>, CheckError> {
    tenancy::rows(TARGETS, scope, security)
        .fetch_all(connection)
        .await
        .context("read what the application may do with tenant tables")
}

/// Finds out how tenants are compared, once for each type.
pub(super) async fn compare_tenants(
    connection: &mut PgConnection,
    targets: &mut [Target],
    tenant_column: &str,
) -> Result<(), CheckError> {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for target in targets {
        if let Some(operator) = known.get(&target.tenant_type) {
            target.equals.clone_from(operator);
            continue;
        }
        let column = (target.oid, tenant_column);
        target.equals = equality::operator(connection, column, column).await?;
        known.insert(target.tenant_type.clone(), target.equals.clone());
    }
    Ok(())
}

/// A table in which rows may have to be made.
#[derive(Clone, Debug, Default)]
pub(super) struct Relation {
    /// For statements.
    pub(super) qualified: String,
    pub(super) columns: Vec<Column>,
    pub(super) foreign_keys: Vec<ForeignKey>,
}

impl Relation {
    /// The column with this number.
    pub(super) fn column(&self, number: i16) -> Option<&Column> {
        self.columns.iter().find(|column| column.number == number)
    }
}

/// A column, as far as a value for it goes.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of the catalog, and every combination occurs"
)]
#[derive(Clone, Debug, Default, FromRow)]
pub(super) struct Column {
    pub(super) number: i16,
    pub(super) name: String,
    /// The name of its type, or of the type under its domain.
    pub(super) type_name: String,
    /// `pg_type.typcategory`.
    pub(super) category: String,
    /// `pg_attribute.atttypmod`: the length of a varchar, the precision of a numeric.
    pub(super) modifier: i32,
    pub(super) not_null: bool,
    /// It has a default that may be used.
    pub(super) default: bool,
    /// Its default takes a number from a sequence, which no rollback gives back.
    pub(super) serial: bool,
    pub(super) generated: bool,
    /// It is part of a unique index.
    pub(super) unique: bool,
    /// The values of an enum.
    pub(super) labels: Vec<String>,
    /// The definitions of check constraints that it is part of.
    pub(super) checks: Vec<String>,
    /// The application may write it in a new row.
    pub(super) app_inserts: bool,
}

/// A foreign key, column by column.
#[derive(Clone, Debug, Default)]
pub(super) struct ForeignKey {
    pub(super) columns: Vec<i16>,
    pub(super) parent: i64,
    pub(super) parent_columns: Vec<i16>,
}

/// The tables $1 and everything that their foreign keys lead to.
macro_rules! reached {
    ($rest:literal) => {
        concat!(
            "WITH RECURSIVE reach(oid) AS (SELECT pg_catalog.unnest($1::pg_catalog.oid[]) \
               UNION SELECT k.confrelid FROM reach r JOIN pg_catalog.pg_constraint k ON k.conrelid = r.oid \
               AND k.contype = 'f') ",
            $rest
        )
    };
}

/// A column of a domain counts as one of the type under it, with the domain's constraints.
const COLUMNS: &str = reached!(
    "SELECT r.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS table_name, \
    a.attnum AS number, a.attname::text AS name, b.typname::text AS type_name, \
        b.typcategory::text AS category, \
            CASE WHEN ty.typtype = 'd' THEN ty.typtypmod ELSE a.atttypmod END AS modifier, a.attnotnull OR \
            ty.typnotnull AS not_null, a.atthasdef AND a.attgenerated = '' AS default, \
            a.attidentity <> '' OR COALESCE(pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE '%nextval(%', \
            false) AS serial, a.attgenerated <> '' AS generated, \
            EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND \
            a.attnum = ANY(i.indkey)) AS unique, \
            ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e WHERE e.enumtypid = b.oid ORDER BY \
            e.enumsortorder) AS labels, \
            ARRAY(SELECT pg_catalog.pg_get_constraintdef(k.oid) FROM pg_catalog.pg_constraint k WHERE \
            k.contype = 'c' \
              AND ((k.conrelid = a.attrelid AND a.attnum = ANY(k.conkey)) OR (ty.typtype = 'd' AND \
              k.contypid = ty.oid)) ORDER BY k.conname) AS checks, \
            COALESCE(pg_catalog.has_column_privilege(app.oid, a.attrelid, a.attnum, 'INSERT'), \
            false) AS app_inserts \
     FROM reach r JOIN pg_catalog.pg_class c ON c.oid = r.oid JOIN pg_catalog.pg_namespace n ON n.oid = \
     c.relnamespace \
     JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped \
     JOIN pg_catalog.pg_type ty ON ty.oid = a.atttypid \
     JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN ty.typtype = 'd' THEN ty.typbasetype ELSE ty.oid END \
     LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
     LEFT JOIN pg_catalog.pg_roles app ON app.rolname = $2 ORDER BY 1, 4"
);

/// A column, and the table that it belongs to.
#[derive(FromRow)]
struct Owned {
    oid: i64,
    schema: String,
    table_name: String,
    #[sqlx(flatten)]
    column: Column,
}

const FOREIGN_KEYS: &str = reached!(
    "SELECT k.conrelid::int8, k.conkey, k.confrelid::int8, k.confkey \
     FROM reach r JOIN pg_catalog.pg_constraint k ON k.conrelid = r.oid AND k.contype = 'f' ORDER BY \
     k.conrelid, k.oid"
);

/// The tables, and every table that must have a row before they can have one.
pub(super) async fn relations(
    connection: &mut PgConnection,
    targets: &[Target],
    role: &str,
) -> Result<BTreeMap<i64, Relation>, CheckError> {
    let sources = |target: &Target| {
        target.view.iter().flat_map(|view| &view.sources).map(|(oid, _)| *oid).collect::<Vec<_>>()
    };
    let oids: Vec<i64> =
        targets.iter().flat_map(|target| std::iter::once(target.oid).chain(sources(target))).collect();
    let columns: Vec<Owned> = query_as(COLUMNS)
        .bind(&oids)
        .bind(role)
        .fetch_all(&mut *connection)
        .await
        .context("read the columns of tenant tables")?;
    let keys: Vec<(i64, Vec<i16>, i64, Vec<i16>)> = query_as(FOREIGN_KEYS)
        .bind(&oids)
        .fetch_all(connection)
        .await
        .context("read the foreign keys of tenant tables")?;
    let mut relations: BTreeMap<i64, Relation> = BTreeMap::new();
    for Owned { oid, schema, table_name, column } in columns {
        let relation = relations.entry(oid).or_default();
        relation.qualified = sql::qualified(&schema, &table_name);
        relation.columns.push(Column { default: column.default && !column.serial, ..column });
    }
    for (child, columns, parent, parent_columns) in keys {
        relations.entry(child).or_default().foreign_keys.push(ForeignKey { columns, parent, parent_columns });
    }
    for target in targets {
        view::inherit(&mut relations, target);
    }
    Ok(relations)
}
