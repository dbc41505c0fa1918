//! The field `verify.drift`: the schema is what its migrations make.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The schema is compared with what the applied migrations make in an empty database: tables, columns,
/// constraints, indexes, views, functions, triggers, policies, types, sequences, grants, extensions. The
/// migration role needs CREATEDB for a scratch database beside the real one, which is dropped again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftVerification {
    /// The schemas that are compared. Default: those of `spec.database.schemas`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 63)))]
    pub schemas: Vec<String>,

    /// Objects that may differ, named as in the findings (`public.visits`, `public.visits.note`), `*` for any
    /// characters (`public.visits_p2026*`). What belongs to a table is ignored with it. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(min = 1, max = 200)))]
    pub ignore: Vec<String>,
}
