//! The foreign keys that the manifest names are there, and do what was meant.

use sqlx::{FromRow, PgConnection};

use crate::{
    api::{CheckId, Finding, KeyAction, RequiredForeignKey, Severity},
    check::Check,
    inspect::{
        Aspect, CheckError, Meta, QueryContext, Scope,
        relation::{self, Relation},
        sql,
    },
    postgres::query_as,
};

const FIELD: &str = "spec.verify.foreignKeys.require";

const META: Meta = Meta {
    id: CheckId::ForeignKeyRequired,
    title: "Every foreign key that the manifest requires exists and does what was meant",
    condition: "`spec.verify.foreignKeys.require` names a foreign key, and one of the tables does not exist, \
        or there is no foreign key from \
                exactly these columns to that table, or to these columns of it, or it has another action ON \
                DELETE or ON UPDATE than the one \
                that is written. The order of the columns does not matter as long as the pairs are the same.",
    effect: "Rows may refer to nothing, or a DELETE does something else than was decided: CASCADE in place \
        of RESTRICT removes a history that \
             must be kept.",
    remedy: "Create the foreign key in a migration (NOT VALID first, then VALIDATE CONSTRAINT), or correct \
        the manifest. The finding says what is \
             there instead.",
    severity: Severity::Error,
    aspect: Aspect::Structure,
};

pub(super) const CHECK: Check = Check {
    meta: &META,
    is_enabled: |scope| !scope.assertions.foreign_keys.require.is_empty(),
    inspect: |connection, scope| Box::pin(inspect(connection, scope)),
};

const SQL: &str = "\
    SELECT k.conrelid::int8 AS table_id, k.confrelid::int8 AS references_id, \
    rn.nspname || '.' || r.relname AS references, k.conname::text AS name, \
    k.confdeltype::text AS on_delete, k.confupdtype::text AS on_update, \
           ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY c(number, place) \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.number ORDER BY \
             c.place) AS columns, \
           ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY c(number, place) \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = c.number ORDER BY \
             c.place) AS referenced_columns \
    FROM pg_catalog.pg_constraint k \
    JOIN pg_catalog.pg_class r ON r.oid = k.confrelid \
    JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace \
    WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = ANY($1::pg_catalog.oid[]) \
    ORDER BY 1, 4";

#[derive(Clone, Debug, FromRow)]
struct ForeignKey {
    table_id: i64,
    references_id: i64,
    references: String,
    name: String,
    on_delete: String,
    on_update: String,
    columns: Vec<String>,
    referenced_columns: Vec<String>,
}

async fn inspect(connection: &mut PgConnection, scope: &Scope) -> Result<Vec<Finding>, CheckError> {
    let required = &scope.assertions.foreign_keys.require;
    if required.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> =
        required.iter().flat_map(|expected| [expected.table.clone(), expected.references.clone()]).collect();
    let relations = relation::find(connection, &names, &scope.schemas).await?;
    let ids: Vec<i64> = relations.iter().map(|relation| relation.id).collect();
    let keys: Vec<ForeignKey> =
        query_as(SQL).bind(ids).fetch_all(connection).await.context("read the foreign keys")?;
    let find = |name: &str| relation::resolve(&relations, name, &scope.schemas);
    let found =
        required.iter().filter_map(|expected| match (find(&expected.table), find(&expected.references)) {
            (None, _) => Some(relation::missing(&META, &expected.table, FIELD, scope)),
            (_, None) => Some(relation::missing(&META, &expected.references, FIELD, scope)),
            (Some(table), Some(references)) => judge(expected, table, references, &keys),
        });
    Ok(found.collect())
}

impl ForeignKey {
    /// From the same columns, in whatever order.
    fn is_from(&self, expected: &RequiredForeignKey) -> bool {
        let (mut own, mut desired) = (self.columns.clone(), expected.columns.clone());
        own.sort();
        desired.sort();
        own == desired
    }

    /// The same pairs of columns.
    fn has_pairs(&self, expected: &RequiredForeignKey) -> bool {
        let pairs: Vec<_> = self.columns.iter().zip(&self.referenced_columns).collect();
        expected.referenced_columns.is_empty()
            || expected.columns.iter().zip(&expected.referenced_columns).all(|pair| pairs.contains(&pair))
    }

    fn display(&self) -> String {
        format!(
            "{} ({}) to {} ({})",
            self.name,
            self.columns.join(", "),
            self.references,
            self.referenced_columns.join(", ")
        )
    }
}

fn judge(
    expected: &RequiredForeignKey,
    table: &Relation,
    references: &Relation,
    keys: &[ForeignKey],
) -> Option<Finding> {
    let own: Vec<_> = keys.iter().filter(|key| key.table_id == table.id && key.is_from(expected)).collect();
    let meant: Vec<_> =
        own.iter().filter(|key| key.references_id == references.id && key.has_pairs(expected)).collect();
    let wrong: Vec<Vec<String>> = meant.iter().map(|key| wrong_actions(expected, key)).collect();
    if wrong.iter().any(Vec::is_empty) {
        return None;
    }
    let columns = expected.columns.join(", ");
    let Some((key, wrong)) = meant.first().zip(wrong.first()) else {
        let to = if expected.referenced_columns.is_empty() {
            String::new()
        } else {
            format!(" ({})", expected.referenced_columns.join(", "))
        };
        let instead = match own.as_slice() {
            [] => "no foreign key on these columns".to_owned(),
            own => {
                format!("instead {}", sql::few(&own.iter().map(|key| key.display()).collect::<Vec<_>>(), 3))
            }
        };
        let message =
            format!("no foreign key ({columns}) to {}{to}: there is {instead}", references.display());
        return Some(META.finding(table.display(), message, add(expected, table, references)));
    };
    let message = format!(
        "the foreign key {} ({columns}) to {} does not do what is required: {}",
        key.name,
        key.references,
        sql::list(wrong)
    );
    let drop = format!("ALTER TABLE {} DROP CONSTRAINT {}; ", table.sql(), sql::identifier(&key.name));
    Some(META.finding(table.display(), message, drop + &add(expected, table, references)))
}

/// The actions that are not the required ones, in words.
fn wrong_actions(expected: &RequiredForeignKey, key: &ForeignKey) -> Vec<String> {
    let compare = |event: &str, desired: Option<KeyAction>, code: &str| {
        let desired = desired.filter(|desired| action(*desired).0 != code)?;
        let is = ALL
            .iter()
            .map(|action_| action(*action_))
            .find(|(known, _)| *known == code)
            .map_or(code, |(_, name)| name);
        Some(format!("{event} it does {is} and not {}", action(desired).1))
    };
    let (delete, update) = (
        compare("ON DELETE", expected.on_delete, &key.on_delete),
        compare("ON UPDATE", expected.on_update, &key.on_update),
    );
    delete.into_iter().chain(update).collect()
}

const ALL: [KeyAction; 5] =
    [KeyAction::NoAction, KeyAction::Restrict, KeyAction::Cascade, KeyAction::SetNull, KeyAction::SetDefault];

/// As `pg_constraint` and as SQL have it.
const fn action(action: KeyAction) -> (&'static str, &'static str) {
    match action {
        KeyAction::NoAction => ("a", "NO ACTION"),
        KeyAction::Restrict => ("r", "RESTRICT"),
        KeyAction::Cascade => ("c", "CASCADE"),
        KeyAction::SetNull => ("n", "SET NULL"),
        KeyAction::SetDefault => ("d", "SET DEFAULT"),
    }
}

fn add(expected: &RequiredForeignKey, table: &Relation, references: &Relation) -> String {
    let names = |columns: &[String]| {
        columns.iter().map(|column| sql::identifier(column)).collect::<Vec<_>>().join(", ")
    };
    let to = if expected.referenced_columns.is_empty() {
        String::new()
    } else {
        format!(" ({})", names(&expected.referenced_columns))
    };
    let on = |event: &str, desired: Option<KeyAction>| {
        desired.map_or(String::new(), |desired| format!(" ON {event} {}", action(desired).1))
    };
    format!(
        "ALTER TABLE {} ADD FOREIGN KEY ({}) REFERENCES {}{to}{}{} NOT VALID, then VALIDATE CONSTRAINT",
        table.sql(),
        names(&expected.columns),
        references.sql(),
        on("DELETE", expected.on_delete),
        on("UPDATE", expected.on_update)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(id: i64, name: &str) -> Relation {
        Relation { id, schema: "s".into(), name: name.into() }
    }

    fn expected(columns: &[&str], referenced: &[&str]) -> RequiredForeignKey {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        RequiredForeignKey {
            table: "appointments".into(),
            columns: owned(columns),
            references: "providers".into(),
            referenced_columns: owned(referenced),
            on_delete: Some(KeyAction::Restrict),
            on_update: None,
        }
    }

    fn found(expected: &RequiredForeignKey, on_delete: &str) -> Option<Finding> {
        let key = ForeignKey {
            table_id: 1,
            references_id: 2,
            references: "s.providers".into(),
            name: "fk".into(),
            on_delete: on_delete.into(),
            on_update: "c".into(),
            columns: vec!["clinicId".into(), "providerId".into()],
            referenced_columns: vec!["clinicId".into(), "id".into()],
        };
        judge(expected, &relation(1, "appointments"), &relation(2, "providers"), &[key])
    }

    #[test]
    fn pairs_count_and_their_order_does_not() {
        assert_eq!(found(&expected(&["clinicId", "providerId"], &[]), "r"), None);
        assert_eq!(found(&expected(&["providerId", "clinicId"], &["id", "clinicId"]), "r"), None);
        let crossed =
            found(&expected(&["clinicId", "providerId"], &["id", "clinicId"]), "r").expect("a finding");
        assert!(
            crossed
                .message
                .contains("there is instead fk (clinicId, providerId) to s.providers (clinicId, id)"),
            "{}",
            crossed.message
        );
        let fewer = found(&expected(&["providerId"], &["id"]), "r").expect("a finding");
        assert!(fewer.message.ends_with("there is no foreign key on these columns"), "{}", fewer.message);
    }

    #[test]
    fn another_action_is_named_with_the_one_that_was_meant() {
        let finding = found(&expected(&["clinicId", "providerId"], &[]), "c").expect("a finding");
        assert!(
            finding.message.ends_with("ON DELETE it does CASCADE and not RESTRICT"),
            "{}",
            finding.message
        );
        assert!(
            finding
                .remedy
                .starts_with("ALTER TABLE \"s\".\"appointments\" DROP CONSTRAINT \"fk\"; ALTER TABLE")
        );
        assert!(finding.remedy.contains("ON DELETE RESTRICT NOT VALID"));
        let anything = RequiredForeignKey { on_delete: None, ..expected(&["clinicId", "providerId"], &[]) };
        assert_eq!(found(&anything, "c"), None);
    }
}
