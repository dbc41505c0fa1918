//! The policies that apply to the application let it do what it may do, and none of them lets everything
//! through.

use sqlx::{FromRow, PgConnection};

use crate::{
    api::{CheckId, Finding, RowLevelSecurity, Severity},
    check::{Check, enabled},
    inspect::{Aspect, CheckError, Meta, QueryContext, Scope, sql, tenancy},
};

const META: Meta = Meta {
    id: CheckId::RlsPolicies,
    title: "For each command that the application may use on a tenant table, a policy applies to it and none \
        lets everything through",
    condition: "The application's role has the privilege SELECT, INSERT, UPDATE or DELETE on a tenant table \
        with row-level security, and for that \
                command: no permissive policy applies to the role (restrictive ones grant nothing by \
                themselves); or none has a USING \
                clause although the command reads, or a WITH CHECK clause although it writes (PostgreSQL \
                takes USING for it where there is \
                none, but a policy FOR INSERT has no USING); or a permissive policy says `true` and no \
                restrictive one narrows it. \
                Permissive policies are joined with OR: one that says `true` undoes all others.",
    effect: "Without a policy the command does nothing, or is refused: nothing leaks, but the application \
        does not work. With `true` every \
             tenant reads or writes every other tenant's rows.",
    remedy: "Create the missing policy, drop the one that says `true`, or revoke the privilege that the \
        application does not need.",
    severity: Severity::Error,
    aspect: Aspect::Isolation,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: enabled::with_tenants,
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

/// One row for each policy, and one with nulls for a table that has none.
const SQL: &str = tenancy::tenants!(
    "SELECT t.schema, t.name, t.is_partition, \
            pg_catalog.has_any_column_privilege(a.oid, t.oid, 'SELECT') AS selects, \
            pg_catalog.has_any_column_privilege(a.oid, t.oid, 'INSERT') AS inserts, \
            pg_catalog.has_any_column_privilege(a.oid, t.oid, 'UPDATE') AS updates, \
            pg_catalog.has_table_privilege(a.oid, t.oid, 'DELETE') AS deletes, \
            p.polname::text AS policy, p.polcmd::text AS command, p.polpermissive AS permissive, \
            EXISTS (SELECT FROM pg_catalog.unnest(p.polroles) r(oid) \
              WHERE r.oid = 0 OR pg_catalog.pg_has_role(a.oid, r.oid, 'USAGE')) AS applies, \
            pg_catalog.pg_get_expr(p.polqual, p.polrelid) AS using, pg_catalog.pg_get_expr(p.polwithcheck, \
            p.polrelid) AS check \
     FROM app a CROSS JOIN tenant_tables t LEFT JOIN pg_catalog.pg_policy p ON p.polrelid = t.oid \
     WHERE t.enabled AND pg_catalog.has_schema_privilege(a.oid, t.schema, 'USAGE') ORDER BY t.schema, \
     t.name, p.polname"
);

/// A row of [`SQL`].
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of the catalog, and every combination occurs"
)]
#[derive(FromRow)]
struct Row {
    schema: String,
    name: String,
    is_partition: bool,
    selects: bool,
    inserts: bool,
    updates: bool,
    deletes: bool,
    policy: Option<String>,
    command: Option<String>,
    permissive: Option<bool>,
    applies: bool,
    using: Option<String>,
    check: Option<String>,
}

/// A command that a policy can be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Select,
    Insert,
    Update,
    Delete,
}

impl Command {
    const ALL: [Self; 4] = [Self::Select, Self::Insert, Self::Update, Self::Delete];

    const fn name(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }

    /// As `pg_policy.polcmd` has it.
    const fn code(self) -> &'static str {
        match self {
            Self::Select => "r",
            Self::Insert => "a",
            Self::Update => "w",
            Self::Delete => "d",
        }
    }

    pub(super) const fn reads(self) -> bool {
        !matches!(self, Self::Insert)
    }

    pub(super) const fn writes(self) -> bool {
        matches!(self, Self::Insert | Self::Update)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) name: String,
    command: String,
    pub(super) permissive: bool,
    /// It is for the application, or for PUBLIC.
    pub(super) applies: bool,
    pub(super) using: Option<String>,
    check: Option<String>,
}

impl Policy {
    pub(super) fn is_for(&self, command: Command) -> bool {
        self.command == "*" || self.command == command.code()
    }

    /// What a written row must satisfy: PostgreSQL takes USING where WITH CHECK is not written.
    pub(super) fn effective_check(&self) -> Option<&str> {
        self.check.as_deref().or(self.using.as_deref())
    }
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) schema: String,
    pub(super) name: String,
    is_partition: bool,
    /// What the application's role may do.
    pub(super) granted: Vec<Command>,
    pub(super) policies: Vec<Policy>,
}

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let Some(security) = &scope.row_level_security else { return Ok(Vec::new()) };
    let tables = read(connection, scope, security).await?;
    Ok(tables.iter().flat_map(|table| judge(table, &security.app_role)).collect())
}

/// The tenant tables with row-level security, and their policies.
pub(super) async fn read(
    connection: &mut PgConnection,
    scope: &Scope,
    security: &RowLevelSecurity,
) -> Result<Vec<Table>, CheckError> {
    let rows: Vec<Row> =
        tenancy::rows(SQL, scope, security).fetch_all(connection).await.context("read the policies")?;
    Ok(tables(rows))
}

fn tables(rows: Vec<Row>) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for row in rows {
        let Row { schema, name, is_partition, applies, using, check, .. } = row;
        if tables.last().is_none_or(|table| (&table.schema, &table.name) != (&schema, &name)) {
            let granted = [row.selects, row.inserts, row.updates, row.deletes];
            let granted = Command::ALL.into_iter().zip(granted).filter(|(_, granted)| *granted);
            let granted = granted.map(|(command, _)| command).collect();
            tables.push(Table { schema, name, is_partition, granted, policies: Vec::new() });
        }
        if let (Some(table), Some(name), Some(command), Some(permissive)) =
            (tables.last_mut(), row.policy, row.command, row.permissive)
        {
            table.policies.push(Policy { name, command, permissive, applies, using, check });
        }
    }
    tables
}

fn judge(table: &Table, role: &str) -> Vec<Finding> {
    let object = format!("{}.{}", table.schema, table.name);
    let mut found = Vec::new();
    // A partition without policies is closed to those who address it directly, and its table's policies serve
    // every other access.
    if !table.is_partition {
        found.extend(gaps(table, role, &object));
    }
    found.extend(open_doors(table, &object));
    found
}

/// One finding for each manner in which something is missing, with the commands it is missing for.
fn gaps(table: &Table, role: &str, object: &str) -> Vec<Finding> {
    let mut reasons: Vec<(String, Vec<&'static str>)> = Vec::new();
    for command in &table.granted {
        if let Some(reason) = gap(table, *command, role) {
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, commands)) => commands.push(command.name()),
                None => reasons.push((reason, vec![command.name()])),
            }
        }
    }
    let name = sql::qualified(&table.schema, &table.name);
    let finding = |(reason, commands): (String, Vec<&str>)| {
        let commands = sql::list(&commands);
        let remedy = format!(
            "create a policy on {name} for {commands} TO {} that compares the tenant column with the \
                setting, or revoke the privilege",
            sql::identifier(role)
        );
        META.finding(object, format!("{commands}: {reason}"), remedy)
    };
    reasons.into_iter().map(finding).collect()
}

/// Why a command that the role may use would find nothing or be refused.
fn gap(table: &Table, command: Command, role: &str) -> Option<String> {
    if table.policies.is_empty() {
        return Some(
            "row-level security is on and there is no policy, so nothing is visible and nothing can \
            be written"
                .to_owned(),
        );
    }
    let meant: Vec<_> = table.policies.iter().filter(|policy| policy.is_for(command)).collect();
    let applying: Vec<_> = meant.iter().filter(|policy| policy.applies).collect();
    let permissive: Vec<_> = applying.iter().filter(|policy| policy.permissive).collect();
    if permissive.is_empty() {
        return Some(match (meant.is_empty(), applying.is_empty()) {
            (true, _) => format!("no policy applies to {role:?}"),
            (false, true) => {
                let names: Vec<_> = meant.iter().map(|policy| policy.name.as_str()).collect();
                format!(
                    "no policy applies to {role:?}; {} {} for other roles",
                    sql::few(&names, 4),
                    if names.len() == 1 { "is" } else { "are" }
                )
            }
            (false, false) => {
                format!("only restrictive policies apply to {role:?}, and they grant nothing by themselves")
            }
        });
    }
    if command.reads() && permissive.iter().all(|policy| policy.using.is_none()) {
        return Some(format!("the policies that apply to {role:?} have no USING clause, so no row is found"));
    }
    if command.writes() && permissive.iter().all(|policy| policy.effective_check().is_none()) {
        return Some(format!(
            "the policies that apply to {role:?} have no WITH CHECK clause, so no row can be written"
        ));
    }
    None
}

/// Permissive policies that say `true` where no restrictive policy narrows them, one finding for each policy.
fn open_doors(table: &Table, object: &str) -> Vec<Finding> {
    let applying: Vec<_> = table.policies.iter().filter(|policy| policy.applies).collect();
    let narrowed = |command: Command, clause: fn(&Policy) -> Option<&str>| {
        let mut restrictive = applying.iter().filter(|policy| !policy.permissive && policy.is_for(command));
        restrictive.any(|policy| clause(policy).is_some_and(|text| text != "true"))
    };
    let using = |policy: &Policy| policy.using.as_deref() == Some("true");
    let check = |policy: &Policy| policy.effective_check() == Some("true");
    let mut found = Vec::new();
    for policy in applying.iter().filter(|policy| policy.permissive) {
        let commands = || table.granted.iter().copied().filter(|command| policy.is_for(*command));
        let read = commands().filter(|command| {
            command.reads() && using(policy) && !narrowed(*command, |policy| policy.using.as_deref())
        });
        let written = commands().filter(|command| {
            command.writes() && check(policy) && !narrowed(*command, Policy::effective_check)
        });
        let mut ways: Vec<_> = read.map(|command| format!("{} USING (true)", command.name())).collect();
        ways.extend(written.map(|command| format!("{} WITH CHECK (true)", command.name())));
        if !ways.is_empty() {
            let message =
                format!("the policy {} lets every tenant's rows through: {}", policy.name, sql::list(&ways));
            let remedy = format!(
                "DROP POLICY {} ON {}",
                sql::identifier(&policy.name),
                sql::qualified(&table.schema, &table.name)
            );
            found.push(META.finding(
                object,
                message,
                format!("{remedy}, or compare the tenant column in it"),
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "(clinic_id = 1)";

    fn policy(command: &str, using: Option<&str>, check: Option<&str>) -> Policy {
        let (using, check) = (using.map(str::to_owned), check.map(str::to_owned));
        Policy {
            name: format!("p_{command}"),
            command: command.into(),
            permissive: true,
            applies: true,
            using,
            check,
        }
    }

    fn messages(granted: &[Command], policies: &[Policy]) -> Vec<String> {
        let table = Table {
            schema: "s".into(),
            name: "t".into(),
            is_partition: false,
            granted: granted.to_vec(),
            policies: policies.to_vec(),
        };
        judge(&table, "app").into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn one_policy_for_all_commands_is_enough_even_without_a_check_of_its_own() {
        assert_eq!(messages(&Command::ALL, &[policy("*", Some(OWN), None)]), [""; 0]);
    }

    #[test]
    fn a_table_without_policies_is_one_finding_for_all_its_commands() {
        let found = messages(&Command::ALL, &[]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("SELECT, INSERT, UPDATE and DELETE: "), "{found:?}");
    }

    #[test]
    fn a_command_that_is_not_granted_needs_no_policy() {
        assert_eq!(messages(&[Command::Select], &[policy("r", Some(OWN), None)]), [""; 0]);
        assert_eq!(
            messages(&[Command::Select, Command::Delete], &[policy("r", Some(OWN), None)]),
            ["DELETE: no policy applies to \"app\""]
        );
    }

    #[test]
    fn a_restrictive_policy_alone_grants_nothing() {
        let restrictive = Policy { permissive: false, ..policy("*", Some(OWN), None) };
        assert!(messages(&[Command::Select], &[restrictive])[0].contains("restrictive"));
    }

    #[test]
    fn a_policy_for_another_role_is_named() {
        let other = Policy { applies: false, ..policy("*", Some(OWN), None) };
        assert!(messages(&[Command::Select], &[other])[0].ends_with("p_* is for other roles"));
    }

    #[test]
    fn a_command_that_reads_needs_using_and_one_that_writes_a_check() {
        assert!(messages(&[Command::Update], &[policy("w", None, Some(OWN))])[0].contains("no USING"));
        assert!(messages(&[Command::Insert], &[policy("a", None, None)])[0].contains("no WITH CHECK"));
    }

    #[test]
    fn a_policy_that_says_true_undoes_the_good_one_beside_it() {
        let found =
            messages(&[Command::Select], &[policy("*", Some(OWN), None), policy("r", Some("true"), None)]);
        assert_eq!(found, ["the policy p_r lets every tenant's rows through: SELECT USING (true)"]);
        let found =
            messages(&[Command::Insert], &[policy("*", Some(OWN), None), policy("a", None, Some("true"))]);
        assert_eq!(found, ["the policy p_a lets every tenant's rows through: INSERT WITH CHECK (true)"]);
    }

    #[test]
    fn a_restrictive_policy_may_narrow_one_that_says_true() {
        let narrow = Policy { name: "tenant".into(), permissive: false, ..policy("*", Some(OWN), None) };
        assert_eq!(messages(&Command::ALL, &[policy("*", Some("true"), None), narrow.clone()]), [""; 0]);
        let only_reads = Policy { command: "r".into(), ..narrow };
        let found = messages(&Command::ALL, &[policy("*", Some("true"), None), only_reads]);
        let ways =
            "UPDATE USING (true), DELETE USING (true), INSERT WITH CHECK (true) and UPDATE WITH CHECK (true)";
        assert_eq!(found, [format!("the policy p_* lets every tenant's rows through: {ways}")]);
    }

    #[test]
    fn a_partition_need_not_have_policies_but_may_not_have_one_that_says_true() {
        let bare = Table {
            schema: "s".into(),
            name: "t".into(),
            is_partition: true,
            granted: vec![Command::Select],
            policies: Vec::new(),
        };
        assert_eq!(judge(&bare, "app"), []);
        let open = Table { policies: vec![policy("r", Some("true"), None)], ..bare };
        assert_eq!(judge(&open, "app").len(), 1);
    }
}
