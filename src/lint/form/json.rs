//! For programs.

use serde_json::{Value, json};

use super::level;
use crate::lint::{Remark, Weight};

pub(super) fn print(remarks: &[Remark]) -> String {
    let list: Vec<Value> = remarks.iter().map(one).collect();
    format!("{:#}\n", Value::from(list))
}

fn one(remark: &Remark) -> Value {
    let place = remark.place.as_ref();
    json!({
        "rule": remark.rule.id,
        "object": remark.object,
        "severity": level(remark.weight),
        "approval": remark.weight == Weight::Approve,
        "file": place.map(|place| &place.file),
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
        "message": remark.message,
        "remedy": remark.remedy,
        "waived": remark.waived,
    })
}
