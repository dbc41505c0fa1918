//! The presets of `verify.conventions`: a name for a set of its fields. What stands beside the name wins.
//! PURE.

use serde_json::{Value, json};

use super::merge;
use crate::api::{ConventionPreset, Conventions, MigrationNamePreset};

/// What a preset of conventions holds.
pub fn conventions(preset: ConventionPreset) -> Value {
    match preset {
        ConventionPreset::PascalCamel => json!({
            "tables": "PascalCase",
            "columns": "camelCase",
            "indexes": ["{table}_{columns}_idx", "{table}_{columns}_key"],
            "foreignKeys": ["{table}_{columns}_fkey"],
        }),
        ConventionPreset::SnakePlural => json!({
            "tables": "snake_case",
            "columns": "snake_case",
            "indexes": ["idx_{table}_{columns}"],
        }),
        ConventionPreset::SnakeTablesCamelColumns => json!({
            "tables": "snake_case",
            "columns": "camelCase",
            "indexes": ["{table}_{columns}_idx", "{table}_{columns}_key"],
            "foreignKeys": ["{table}_{columns}_fkey"],
        }),
    }
}

/// What a preset of names of migrations holds. That a name begins with fourteen digits is asked of every one.
pub fn migration_names(preset: MigrationNamePreset) -> Value {
    match preset {
        MigrationNamePreset::Strict14 => json!({"maxLength": 49}),
        MigrationNamePreset::Strict14Verbs => json!({
            "maxLength": 49,
            "verbs": ["add", "alter", "change", "create", "drop", "migrate", "remove", "rename", "revert", "update"],
        }),
    }
}

/// Puts what the presets hold in the place of their names. A preset that this version does not know stays,
/// and is refused when the manifest is read.
pub fn spell_out(value: &mut Value) {
    let known = |name: &Value| serde_json::from_value(name.clone()).ok().map(conventions);
    replace(value, known);
    if let Some(names) = value.get_mut("migrations") {
        replace(names, |name| serde_json::from_value(name.clone()).ok().map(migration_names));
    }
}

fn replace(value: &mut Value, known: impl Fn(&Value) -> Option<Value>) {
    let Some(held) = value.get("preset").and_then(known) else { return };
    *value = merge::over(&held, value);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("preset");
    }
}

/// The same for conventions that are read already.
pub fn spelled_out(written: &Conventions) -> Conventions {
    if written.preset.is_none() && written.migrations.as_ref().is_none_or(|names| names.preset.is_none()) {
        return written.clone();
    }
    let mut value =
        serde_json::to_value(written).expect("conventions that were read from JSON can be written as JSON");
    spell_out(&mut value);
    serde_json::from_value(value).expect("a preset holds nothing but fields of the conventions")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [ConventionPreset; 3] = [
        ConventionPreset::PascalCamel,
        ConventionPreset::SnakePlural,
        ConventionPreset::SnakeTablesCamelColumns,
    ];

    fn out(value: Value) -> Value {
        let mut value = value;
        spell_out(&mut value);
        value
    }

    #[test]
    fn each_preset_is_found_by_its_name_and_holds_only_fields_that_exist() {
        for preset in ALL {
            let name = serde_json::to_value(preset).expect("a name");
            assert_eq!(out(json!({"preset": name})), conventions(preset));
            let read: Conventions =
                serde_json::from_value(conventions(preset)).expect("fields of the conventions");
            let back = serde_json::to_value(&read).expect("JSON");
            for (field, value) in conventions(preset).as_object().expect("an object") {
                assert_eq!(&back[field], value, "{preset:?} has no effect on {field}");
            }
        }
    }

    #[test]
    fn what_stands_beside_a_preset_wins_and_an_empty_list_too() {
        let value = out(json!({"preset": "PascalCamel", "columns": "snake_case", "indexes": []}));
        assert_eq!(
            (&value["tables"], &value["columns"], &value["indexes"]),
            (&json!("PascalCase"), &json!("snake_case"), &json!([]))
        );
    }

    #[test]
    fn presets_of_migration_names_are_spelled_out_where_they_stand() {
        let value = out(json!({"migrations": {"preset": "Strict14Verbs", "maxLength": 20}}));
        assert_eq!(
            (&value["migrations"]["maxLength"], value["migrations"]["verbs"].as_array().map(Vec::len)),
            (&json!(20), Some(10))
        );
        assert_eq!(
            out(json!({"migrations": {"preset": "Strict14"}})),
            json!({"migrations": {"maxLength": 49}})
        );
    }

    #[test]
    fn a_preset_that_is_not_known_stays_and_cannot_be_read() {
        let value = out(json!({"preset": "KebabCase"}));
        assert_eq!(value, json!({"preset": "KebabCase"}));
        assert!(serde_json::from_value::<Conventions>(value).is_err());
    }

    #[test]
    fn conventions_that_are_read_already_are_spelled_out_alike() {
        for preset in ALL {
            let written: Conventions =
                serde_json::from_value(json!({"preset": preset, "severity": "Warning"}))
                    .expect("conventions");
            let mut expected = conventions(preset);
            expected["severity"] = json!("Warning");
            assert_eq!(spelled_out(&written), serde_json::from_value(expected).expect("conventions"));
        }
    }
}
