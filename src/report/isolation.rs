//! From tables, the manifest and findings to a word per table. PURE.

use std::collections::BTreeSet;

use super::{Isolation, Table, TableKind};
use crate::api::{Finding, RowLevelSecurity, Severity};

/// Sets the word of each table. `found` are the findings of the isolation checks, or none when the checks
/// could not be made.
///
/// An error about something that is no table, for instance the application's role, concerns every tenant
/// table.
pub fn judge(tables: &mut [Table], security: Option<&RowLevelSecurity>, found: Option<&[&Finding]>) {
    let Some(security) = security else { return };
    let names: BTreeSet<String> = tables.iter().map(Table::object).collect();
    let errors: Vec<&&Finding> =
        found.unwrap_or_default().iter().filter(|finding| finding.severity == Severity::Error).collect();
    let everywhere = errors.iter().any(|finding| !names.contains(&finding.object));
    let exposed: BTreeSet<&str> = errors.iter().map(|finding| finding.object.as_str()).collect();
    let untried: Vec<&&Finding> =
        found.unwrap_or_default().iter().filter(|finding| finding.is_unproven()).collect();
    let unproven = |object: &str| {
        untried.iter().any(|finding| finding.leaves_unproven(object, names.iter().map(String::as_str)))
    };
    for table in tables {
        let object = table.object();
        let has_column = table.columns.iter().any(|column| column.name == security.tenant.column);
        table.isolation = if exposed.contains(object.as_str()) {
            Isolation::Exposed
        } else if security.except.iter().any(|name| *name == table.name || *name == object) {
            Isolation::Excepted
        } else if !has_column {
            Isolation::Shared
        } else if found.is_none() {
            Isolation::Unknown
        } else if everywhere || is_bare(table) {
            Isolation::Exposed
        } else if unproven(&object) {
            Isolation::Unproven
        } else {
            Isolation::Isolated
        };
    }
}

/// A table without row-level security keeps no tenants apart, whatever the checks say. A view has none of its
/// own.
const fn is_bare(table: &Table) -> bool {
    matches!(table.kind, TableKind::Table | TableKind::Partitioned) && !table.enabled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{CheckId, Tenant},
        report::Column,
    };

    fn table(name: &str, tenant: bool) -> Table {
        let column =
            Column { name: "clinic_id".into(), type_: "uuid".into(), nullable: false, primary: false };
        Table {
            schema: "public".into(),
            name: name.into(),
            kind: TableKind::Table,
            owner: "owner".into(),
            rows: None,
            enabled: true,
            forced: true,
            isolation: Isolation::NotAsked,
            columns: if tenant { vec![column] } else { Vec::new() },
            policies: Vec::new(),
            indexes: Vec::new(),
        }
    }

    fn error(object: &str) -> Finding {
        let (check, message, remedy) = (CheckId::RlsEnabled, String::new(), String::new());
        Finding { check, object: object.into(), severity: Severity::Error, message, remedy }
    }

    fn words(found: Option<&[&Finding]>) -> [Isolation; 4] {
        let tenant = Tenant { column: "clinic_id".into(), setting: "app.clinic_id".into() };
        let security = RowLevelSecurity {
            app_role: "app".into(),
            tenant,
            except: vec!["free".into()],
            ..RowLevelSecurity::default()
        };
        let mut tables = [table("a", true), table("b", true), table("c", false), table("free", true)];
        judge(&mut tables, Some(&security), found);
        tables.map(|table| table.isolation)
    }

    #[test]
    fn a_finding_exposes_its_table_and_no_other() {
        use Isolation::{Excepted, Exposed, Isolated, Shared};
        assert_eq!(words(Some(&[])), [Isolated, Isolated, Shared, Excepted]);
        assert_eq!(words(Some(&[&error("public.b")])), [Isolated, Exposed, Shared, Excepted]);
    }

    #[test]
    fn a_role_that_bypasses_policies_exposes_every_tenant_table() {
        use Isolation::{Excepted, Exposed, Shared};
        assert_eq!(words(Some(&[&error("app")])), [Exposed, Exposed, Shared, Excepted]);
    }

    #[test]
    fn a_table_on_which_something_was_not_tried_is_not_isolated() {
        use Isolation::{Excepted, Isolated, Shared, Unproven};
        let warning = |object: &str, message: &str| Finding {
            check: CheckId::TenantIsolation,
            severity: Severity::Warning,
            message: message.into(),
            ..error(object)
        };
        assert_eq!(
            words(Some(&[&warning("public.b", "unproven: DELETE")])),
            [Isolated, Unproven, Shared, Excepted]
        );
        assert_eq!(
            words(Some(&[&warning("public.b", "with an empty setting every query fails")])),
            [Isolated, Isolated, Shared, Excepted]
        );
        let named = warning("evil.steal()", "unproven: it might be called, so nothing was tried on public.b");
        assert_eq!(words(Some(&[&named])), [Isolated, Unproven, Shared, Excepted]);
        let of_another_check = |object: &str| Finding {
            check: CheckId::RlsCondition,
            ..warning(object, "unproven: it compares nothing")
        };
        assert_eq!(words(Some(&[&of_another_check("public.b")])), [Isolated, Unproven, Shared, Excepted]);
        assert_eq!(words(Some(&[&of_another_check("elsewhere.b")])), [Isolated, Isolated, Shared, Excepted]);
        for all in [
            warning("app", "unproven: there was nothing to try"),
            warning("public.b", "unproven: it has triggers, so nothing was tried on public.b and 7 more"),
        ] {
            assert_eq!(words(Some(&[&all])), [Unproven, Unproven, Shared, Excepted], "{all:?}");
        }
    }

    #[test]
    fn nobody_looked_is_not_isolated() {
        use Isolation::{Excepted, Shared, Unknown};
        assert_eq!(words(None), [Unknown, Unknown, Shared, Excepted]);
    }

    #[test]
    fn a_table_without_row_level_security_is_not_isolated_even_without_a_finding() {
        let tenant = Tenant { column: "clinic_id".into(), setting: "app.clinic_id".into() };
        let security = RowLevelSecurity { app_role: "app".into(), tenant, ..RowLevelSecurity::default() };
        let mut tables = [Table { enabled: false, ..table("a", true) }];
        judge(&mut tables, Some(&security), Some(&[]));
        assert_eq!(tables[0].isolation, Isolation::Exposed);
    }
}
