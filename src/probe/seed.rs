//! Rows for tables that have none: without a row nothing can be hidden, and nothing proven. They follow
//! foreign keys to the tables above, use rows that are there, and are undone with everything else.

use std::collections::BTreeMap;

use fastrand::Rng;
use futures::future::BoxFuture;

use super::{
    attempt::{Attempts, Identity},
    target::{Column, ForeignKey, Relation},
    value,
};
use crate::inspect::{CheckError, sql};

/// Longer chains of foreign keys are given up: they are mostly cycles.
const DEEPEST: usize = 12;

/// Makes rows.
pub(super) struct Seeder<'a> {
    pub(super) relations: &'a BTreeMap<i64, Relation>,
    /// The tenant column's name: a parent that has it must be the same tenant's.
    pub(super) tenant_column: &'a str,
    pub(super) random: Rng,
}

/// Values of a row by column number, as texts.
pub(super) type Values = BTreeMap<i16, String>;

/// What is being made.
struct Order<'o> {
    relation: i64,
    fixed: Values,
    desired: &'o [i16],
    identity: Identity<'o>,
    depth: usize,
}

impl Seeder<'_> {
    /// Makes a row with these values; says why where it cannot.
    pub(super) async fn row(
        &mut self,
        attempts: &mut Attempts<'_>,
        relation: i64,
        fixed: Values,
        tenant: Option<&str>,
    ) -> Result<Result<(), String>, CheckError> {
        let order = |replica| Order {
            relation,
            fixed: fixed.clone(),
            desired: &[],
            identity: Identity { replica, ..Identity::caller(tenant) },
            depth: 0,
        };
        let Err(reason) = self.insert(attempts, order(false)).await? else { return Ok(Ok(())) };
        // Without foreign keys and triggers, where the role may do that; if it may not, the first reason is
        // the one to mend.
        Ok(self.insert(attempts, order(true)).await?.map(drop).map_err(|_| reason))
    }

    /// The wanted columns of a row with the fixed values: one that is there, else a new one.
    fn find_or_insert<'s>(
        &'s mut self,
        attempts: &'s mut Attempts<'_>,
        order: Order<'s>,
    ) -> BoxFuture<'s, Result<Result<Values, String>, CheckError>> {
        Box::pin(async move {
            let Some(relation) = self.relations.get(&order.relation) else {
                return Ok(Err("its parent cannot be read".to_owned()));
            };
            if order.depth > DEEPEST {
                return Ok(Err(format!("the foreign keys from {} form a cycle", relation.qualified)));
            }
            let found = attempts.make(order.identity, &select(relation, &order)).await?;
            if let Some(row) = found.ok().and_then(|done| done.row) {
                return Ok(Ok(by_number(order.desired, row)));
            }
            self.insert(attempts, order).await
        })
    }

    async fn insert(
        &mut self,
        attempts: &mut Attempts<'_>,
        order: Order<'_>,
    ) -> Result<Result<Values, String>, CheckError> {
        let relations = self.relations;
        let Some(relation) = relations.get(&order.relation) else {
            return Ok(Err("it cannot be read".to_owned()));
        };
        let mut known = order.fixed.clone();
        if !order.identity.replica {
            for key in &relation.foreign_keys {
                if !binds(relation, key, &known) {
                    continue;
                }
                if let Err(reason) = self.follow(attempts, &order, key, &mut known).await? {
                    return Ok(Err(reason));
                }
            }
        }
        let mut reason = String::new();
        for variant in 0..value::VARIANTS {
            let (columns, values) = match self.values(relation, &known, variant) {
                Ok(pairs) => pairs,
                Err(reason) => return Ok(Err(reason)),
            };
            let statement = insert(relation, &columns, &values, order.desired);
            match attempts.make(order.identity, &statement).await? {
                Ok(done) => {
                    attempts.keep();
                    return Ok(Ok(by_number(order.desired, done.row.unwrap_or_default())));
                }
                Err(refusal) => {
                    reason = format!("a row for {} was refused: {}", relation.qualified, refusal.display());
                    if refusal.code == "42501" {
                        break;
                    }
                }
            }
        }
        Ok(Err(reason))
    }

    /// Learns the values of a foreign key's columns from a row that it can point to.
    async fn follow(
        &mut self,
        attempts: &mut Attempts<'_>,
        order: &Order<'_>,
        key: &ForeignKey,
        known: &mut Values,
    ) -> Result<Result<(), String>, CheckError> {
        let pairs = || key.columns.iter().zip(&key.parent_columns);
        let mut fixed: Values = pairs()
            .filter_map(|(child, parent)| known.get(child).map(|value| (*parent, value.clone())))
            .collect();
        if let (Some((_, Some(tenant))), Some((parent, None))) =
            (self.tenant(order.relation, known), self.tenant(key.parent, &fixed))
        {
            fixed.insert(parent, tenant);
        }
        let order = Order {
            relation: key.parent,
            fixed,
            desired: &key.parent_columns,
            identity: order.identity,
            depth: order.depth + 1,
        };
        let row = match self.find_or_insert(attempts, order).await? {
            Ok(row) => row,
            Err(reason) => return Ok(Err(reason)),
        };
        for (child, parent) in pairs() {
            if let Some(value) = row.get(parent) {
                known.insert(*child, value.clone());
            }
        }
        Ok(Ok(()))
    }

    /// The tenant column of a relation that has one, and its value as far as it is known.
    fn tenant(&self, relation: i64, known: &Values) -> Option<(i16, Option<String>)> {
        let column =
            self.relations.get(&relation)?.columns.iter().find(|column| column.name == self.tenant_column)?;
        Some((column.number, known.get(&column.number).cloned()))
    }

    /// Names and expressions of the columns that need a value.
    pub(super) fn values(
        &mut self,
        relation: &Relation,
        known: &Values,
        variant: u32,
    ) -> Result<(Vec<String>, Vec<String>), String> {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for column in relation.columns.iter().filter(|column| !column.generated) {
            let expression = match known.get(&column.number) {
                Some(text) => sql::literal(text),
                None if needs_value(column) => {
                    value::value(column, variant, &mut self.random).ok_or_else(|| {
                        format!(
                            "no value is known for the column {} of {} ({})",
                            column.name, relation.qualified, column.type_name
                        )
                    })?
                }
                None => continue,
            };
            names.push(sql::identifier(&column.name));
            values.push(expression);
        }
        Ok((names, values))
    }
}

/// Left to itself the row would be refused, or take a number from a sequence.
fn needs_value(column: &Column) -> bool {
    column.serial || (column.not_null && !column.default)
}

/// A foreign key binds when none of its columns is left null.
pub(super) fn binds(relation: &Relation, key: &ForeignKey, known: &Values) -> bool {
    key.columns.iter().all(|number| {
        known.contains_key(number) || relation.column(*number).is_some_and(|column| column.not_null)
    })
}

pub(super) fn insert(relation: &Relation, columns: &[String], values: &[String], desired: &[i16]) -> String {
    let names: Vec<_> = desired.iter().filter_map(|number| relation.column(*number)).map(text_of).collect();
    let returning = if names.is_empty() { String::new() } else { format!(" RETURNING {}", names.join(", ")) };
    format!(
        "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({}){returning}",
        relation.qualified,
        columns.join(", "),
        values.join(", ")
    )
}

fn select(relation: &Relation, order: &Order<'_>) -> String {
    let names: Vec<_> =
        order.desired.iter().filter_map(|number| relation.column(*number)).map(text_of).collect();
    let fixed = order
        .fixed
        .iter()
        .filter_map(|(number, value)| relation.column(*number).map(|column| (column, value)));
    let mut conditions: Vec<_> = fixed
        .map(|(column, value)| {
            format!("{} OPERATOR(pg_catalog.=) {}", sql::identifier(&column.name), sql::literal(value))
        })
        .collect();
    conditions.push("true".to_owned());
    format!(
        "SELECT {} FROM {} WHERE {} LIMIT 1",
        names.join(", "),
        relation.qualified,
        conditions.join(" AND ")
    )
}

fn text_of(column: &Column) -> String {
    format!("{}::pg_catalog.text", sql::identifier(&column.name))
}

fn by_number(numbers: &[i16], row: Vec<Option<String>>) -> Values {
    numbers.iter().zip(row).filter_map(|(number, value)| value.map(|value| (*number, value))).collect()
}
