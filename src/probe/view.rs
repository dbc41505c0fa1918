//! Views that show the tenant column of tenant tables: they are tried like tables, with rows of the tables
//! that they read.

use std::collections::BTreeMap;

use sqlx::{FromRow, PgConnection};

use super::target::{Column, ForeignKey, Relation, Target};
use crate::{
    api::RowLevelSecurity,
    inspect::{CheckError, QueryContext, Scope, tenancy},
};

/// What a target is, where it is no table.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// A materialized view: what it shows was read when it was filled, by the role that filled it.
    pub(super) stored: bool,
    /// The tenant tables that it reads, also through other views, with the numbers of their tenant columns.
    pub(super) sources: Vec<(i64, i16)>,
}

/// A view, in whatever schema, that has the tenant column, reads a tenant table and is within the
/// application's reach. Bits 3, 2 and 4 of `pg_relation_is_updatable` say INSERT, UPDATE and DELETE.
const VIEWS: &str = tenancy::tenants!(
    ", reads AS (SELECT DISTINCT w.ev_class AS view, d.refobjid AS relation FROM pg_catalog.pg_rewrite w \
       JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = \
       w.oid \
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> w.ev_class), \
     shows(view, relation) AS (SELECT view, relation FROM reads UNION SELECT s.view, r.relation FROM shows s \
     JOIN reads r ON r.view = s.relation), \
     views AS (SELECT c.oid, c.relkind = 'm' AS stored, pg_catalog.pg_relation_is_updatable(c.oid, true) AS \
     updatable, \
         ARRAY(SELECT t.oid::int8 FROM tenant_tables t WHERE t.oid IN (SELECT relation FROM shows s WHERE \
         s.view = c.oid) ORDER BY t.schema, t.name) AS sources, \
         ARRAY(SELECT t.tenant FROM tenant_tables t WHERE t.oid IN (SELECT relation FROM shows s WHERE \
         s.view = c.oid) ORDER BY t.schema, t.name) AS tenants \
       FROM pg_catalog.pg_class c WHERE c.relkind IN ('v', 'm') AND c.oid NOT IN (SELECT oid FROM excepted)) \
     SELECT c.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS name, \
     pg_catalog.format_type(ta.atttypid, \
     ta.atttypmod) AS tenant_type, ta.attnum AS tenant, \
            pg_catalog.has_any_column_privilege(a.oid, c.oid, 'SELECT') AS select_any, \
            pg_catalog.has_column_privilege(a.oid, c.oid, ta.attnum, 'SELECT') AS select_tenant, \
            v.updatable & 8 <> 0 AND pg_catalog.has_any_column_privilege(a.oid, c.oid, \
            'INSERT') AS insert_any, \
            v.updatable & 8 <> 0 AND pg_catalog.has_column_privilege(a.oid, c.oid, ta.attnum, \
            'INSERT') AS insert_tenant, \
            v.updatable & 4 <> 0 AND pg_catalog.pg_column_is_updatable(c.oid, ta.attnum, true) AND \
            pg_catalog.has_column_privilege(a.oid, c.oid, ta.attnum, 'UPDATE') AS update_tenant, \
            ARRAY(SELECT u.attnum FROM pg_catalog.pg_attribute u WHERE u.attrelid = c.oid AND u.attnum > 0 \
            AND NOT u.attisdropped AND u.attnum <> ta.attnum \
               AND v.updatable & 4 <> 0 AND pg_catalog.pg_column_is_updatable(c.oid, u.attnum, true) \
               AND pg_catalog.has_column_privilege(a.oid, c.oid, u.attnum, \
               'UPDATE') ORDER BY u.attnum) AS updates, \
            v.updatable & 16 <> 0 AND pg_catalog.has_table_privilege(a.oid, c.oid, 'DELETE') AS delete, \
            EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND \
            g.tgtype & 64 = 64) AS triggers, \
            EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = ANY (v.sources::pg_catalog.oid[] \
            OPERATOR(pg_catalog.||) c.oid) AND NOT g.tgisinternal) AS reacts, \
            v.sources, v.tenants, v.stored \
     FROM app a CROSS JOIN views v JOIN pg_catalog.pg_class c ON c.oid = v.oid JOIN pg_catalog.pg_namespace \
     n ON n.oid = c.relnamespace \
     JOIN pg_catalog.pg_attribute ta ON ta.attrelid = c.oid AND ta.attname = $2 AND ta.attnum > 0 AND NOT \
     ta.attisdropped \
     WHERE pg_catalog.cardinality(v.sources) > 0 AND ",
    tenancy::app_reaches!(),
    " ORDER BY 2, 3"
);

/// The views that are tried.
pub(super) async fn targets(
    connection: &mut PgConnection,
    scope: &Scope,
    security: &RowLevelSecurity,
) -> Result<Vec<Target>, CheckError> {
    let rows: Vec<Shown> = tenancy::rows(VIEWS, scope, security)
        .fetch_all(connection)
        .await
        .context("read the views that show the tenant column")?;
    Ok(rows.into_iter().map(Target::from).collect())
}

/// A row of [`VIEWS`].
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of the catalog, and every combination occurs"
)]
#[derive(FromRow)]
struct Shown {
    oid: i64,
    schema: String,
    name: String,
    tenant_type: String,
    tenant: i16,
    select_any: bool,
    select_tenant: bool,
    insert_any: bool,
    insert_tenant: bool,
    update_tenant: bool,
    updates: Vec<i16>,
    delete: bool,
    triggers: bool,
    reacts: bool,
    sources: Vec<i64>,
    /// The tenant columns of those.
    tenants: Vec<i16>,
    stored: bool,
}

impl From<Shown> for Target {
    fn from(shown: Shown) -> Self {
        let sources = shown.sources.into_iter().zip(shown.tenants).collect();
        Self {
            oid: shown.oid,
            schema: shown.schema,
            name: shown.name,
            tenant_type: shown.tenant_type,
            tenant: shown.tenant,
            select_any: shown.select_any,
            select_tenant: shown.select_tenant,
            insert_any: shown.insert_any,
            insert_tenant: shown.insert_tenant,
            update_tenant: shown.update_tenant,
            updates: shown.updates,
            delete: shown.delete,
            triggers: shown.triggers,
            reacts: shown.reacts,
            view: Some(View { stored: shown.stored, sources }),
            ..Self::default()
        }
    }
}

/// Gives a column of a view what the catalog knows of the column of that name in the one table under it:
/// which values it needs, and where its foreign keys lead. PURE.
pub(super) fn inherit(relations: &mut BTreeMap<i64, Relation>, target: &Target) {
    let Some(View { sources, stored: false }) = &target.view else { return };
    let [(source, _)] = sources.as_slice() else { return };
    let Some(table) = relations.get(source).cloned() else { return };
    let Some(view) = relations.get_mut(&target.oid) else { return };
    let mut numbers = BTreeMap::new();
    for column in &mut view.columns {
        if let Some(under) = table.columns.iter().find(|under| under.name == column.name) {
            numbers.insert(under.number, column.number);
            *column = Column { number: column.number, app_inserts: column.app_inserts, ..under.clone() };
        }
    }
    let key = |key: &ForeignKey| {
        let columns =
            key.columns.iter().map(|number| numbers.get(number).copied()).collect::<Option<Vec<_>>>()?;
        Some(ForeignKey { columns, ..key.clone() })
    };
    view.foreign_keys = table.foreign_keys.iter().filter_map(key).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(number: i16, name: &str, not_null: bool) -> Column {
        Column { number, name: name.into(), not_null, ..Column::default() }
    }

    #[test]
    fn a_view_knows_of_its_columns_what_the_one_table_under_it_knows() {
        let key =
            |columns: &[i16]| ForeignKey { columns: columns.to_vec(), parent: 9, parent_columns: vec![1] };
        let table = Relation {
            columns: vec![column(1, "id", true), column(2, "tenant", true), column(3, "hidden", true)],
            foreign_keys: vec![key(&[2]), key(&[3])],
            ..Relation::default()
        };
        let view = Relation {
            columns: vec![column(1, "tenant", false), column(2, "other", false)],
            ..Relation::default()
        };
        let mut relations = BTreeMap::from([(1, table), (2, view)]);
        let mut target =
            Target { oid: 2, view: Some(View { stored: false, sources: vec![(1, 2)] }), ..Target::default() };
        inherit(&mut relations, &target);
        let known: Vec<_> =
            relations[&2].columns.iter().map(|column| (column.number, column.not_null)).collect();
        assert_eq!(known, [(1, true), (2, false)]);
        let keys: Vec<_> = relations[&2].foreign_keys.iter().map(|key| key.columns.clone()).collect();
        assert_eq!(keys, [[1]], "the one whose column the view does not show cannot be followed");
        target.view = Some(View { stored: false, sources: vec![(1, 2), (3, 1)] });
        relations.get_mut(&2).expect("the view").columns[0].not_null = false;
        inherit(&mut relations, &target);
        assert!(!relations[&2].columns[0].not_null, "of two tables it cannot be told which one it is");
    }
}
