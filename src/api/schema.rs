//! What the schemas of the definitions leave out of those that are derived from the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray,
};

/// The API server knows no unsigned formats and warns about each at every apply; the minimum of 0 says the
/// same.
pub(super) fn drop_unsigned_formats(schema: &mut JSONSchemaProps) {
    if schema.format.as_deref().is_some_and(|format| format.starts_with("uint")) {
        schema.format = None;
    }
    schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
        .for_each(drop_unsigned_formats);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        drop_unsigned_formats(items);
    }
}

/// The API server fills in no default in a section that a policy may speak of: it would look like a value
/// that a person wrote, and hide the policy's. The defaults are filled in after merging. A list is never
/// merged, so what is inside one keeps its defaults.
pub(super) fn drop_defaults(schema: &mut JSONSchemaProps) {
    schema.default = None;
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(drop_defaults);
}
