//! SARIF 2.1.0 (OASIS): one run, the rules that objected, and a result for each remark. A waived one is
//! suppressed in the source.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{level, message};
use crate::lint::{Remark, Rule, objection::Said};

pub(super) fn print(remarks: &[Remark]) -> String {
    let rules: BTreeMap<&str, &Rule> =
        remarks.iter().map(|remark| (remark.rule.id.as_str(), remark.rule)).collect();
    let rules: Vec<Value> = rules.values().map(|rule| described(rule)).collect();
    let results: Vec<Value> = remarks.iter().map(result).collect();
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "sluice", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{document:#}\n")
}

/// A rule in its own words, which name no table.
fn described(rule: &Rule) -> Value {
    let Said { message, remedy } = Said::by(rule, None, None, None);
    json!({"id": rule.id, "shortDescription": {"text": message}, "help": {"text": remedy}})
}

fn result(remark: &Remark) -> Value {
    let mut result = json!({
        "ruleId": remark.rule.id,
        "level": level(remark.weight),
        "message": {"text": format!("{}\n{}", message(remark), remark.remedy)},
    });
    if let Some(place) = &remark.place {
        result["locations"] = json!([{"physicalLocation": {
            "artifactLocation": {"uri": place.file},
            "region": {"startLine": place.line, "startColumn": place.column},
        }}]);
    }
    if let Some(reason) = &remark.waived {
        result["suppressions"] = json!([{"kind": "inSource", "justification": reason}]);
    }
    result
}
