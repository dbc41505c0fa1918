//! What any run needs, whatever the kind of the object that asks for it: Jobs are judged, attempts counted, pauses
//! kept, gates told, and what was found is remembered. PURE.
//!
//! Nothing here knows a kind: what a DatabaseMigration has of its own is in the files beside this folder, and
//! hands it over as [`Known`](facts::Known), with the route of its runs.

pub mod clock;
pub mod conditions;
pub mod course;
pub mod current;
pub mod facts;
pub mod gates;
pub mod judge;
pub mod legs;
pub mod name;
pub mod own;
pub mod progress;
pub mod record;
mod retry;
pub mod sections;
pub mod state;
pub mod stop;
pub mod stopped;
pub mod tidy;
