//! Which fields there are, and which of them a typing error means.

use serde_json::Value;

use crate::api::DatabaseMigrationSpec;

/// From this likeness on, of at most 1, a field is taken for a typing error of another.
const LIKE: f64 = 0.8;

/// The field beside which this one would stand, and which is most like it.
pub(super) fn meant(field: &str) -> Option<String> {
    let (parent, own) = field.rsplit_once('.')?;
    let schema = schemars::schema_for!(DatabaseMigrationSpec).to_value();
    let mut node = &schema;
    for part in parent.split('.').skip(1) {
        let (name, rest) = part.split_once('[').unwrap_or((part, ""));
        node = resolved(&schema, &resolved(&schema, node)["properties"][name]);
        for _ in 0..rest.matches(']').count() {
            node = resolved(&schema, &node["items"]);
        }
    }
    let likeness = |known: &String| strsim::jaro_winkler(known, own);
    let known = resolved(&schema, node)["properties"].as_object()?.keys();
    let closest = known.max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    (likeness(closest) > LIKE).then(|| closest.clone())
}

/// What a reference leads to; that of an optional field is one of two alternatives.
fn resolved<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    let one =
        node["anyOf"].as_array().into_iter().flatten().find(|one| one["$ref"].is_string()).unwrap_or(node);
    let definition = one["$ref"].as_str().and_then(|reference| schema.pointer(reference.strip_prefix('#')?));
    definition.unwrap_or(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_is_recognised_at_every_depth_and_another_word_is_not() {
        let meant = |field| meant(field).unwrap_or_default();
        assert_eq!(meant("spec.aply"), "apply");
        assert_eq!(meant("spec.database.secretRef.nmae"), "name");
        assert_eq!(meant("spec.apply.atomicty"), "atomicity");
        assert_eq!(meant("spec.verify.queries[0].sqll"), "sql");
        assert_eq!(meant("spec.verify.rowLevelSecurty"), "rowLevelSecurity");
        assert_eq!(meant("spec.zebra") + &meant("spec.nowhere.name") + &meant("kind"), "");
    }
}
