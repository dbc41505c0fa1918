//! Sluice makes a PostgreSQL schema change a safe, observable, gated part of a rollout. `ARCHITECTURE.md` has
//! the map.

mod across;
pub mod api;
pub mod catalog;
pub mod check;
pub mod cli;
pub mod contract;
pub mod controller;
pub mod inspect;
pub mod limits;
pub mod lint;
pub mod migrations;
pub mod objects;
pub mod plan;
pub mod policy;
pub mod postgres;
mod probe;
pub mod redact;
pub mod report;
pub mod serve;
pub mod snapshot;
pub mod sql;
pub mod stage;
pub mod telemetry;
pub mod validate;
pub mod visible;
