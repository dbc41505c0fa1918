//! Steps and types to Kubernetes objects. PURE: no client, no pool, no clock, no `async`.
//!
//! Every Pod built here passes the `restricted` Pod Security Standard, and no switch makes it pass less.

mod crds;
mod elsewhere;
mod gate;
mod job;
mod pod;
mod work;

pub use crds::crd_files;
pub use gate::{gate, gate_manager};
pub use job::job;
pub use pod::Images;
pub use work::{difference, fingerprint, work, work_of_pod};
