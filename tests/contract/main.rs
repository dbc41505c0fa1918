//! What can be proven with cargo alone: no cluster, no database. CRDs, CEL rules, invariants of the source
//! tree, plans, and the controller in a model of a cluster that is cut off at every write.

#![allow(clippy::panic, reason = "a test ends by panicking")]

mod again;
#[allow(dead_code, reason = "tests/simulation has this file, too, and needs more of it")]
mod api_server;
mod attempts;
mod bounds;
mod cached;
mod cel;
mod chain;
mod clock;
mod crash;
mod crds;
mod evidence;
mod facts;
mod forged;
mod gates;
mod golden;
mod held;
mod kubelet;
mod legs;
mod lint;
mod newest;
mod patterns;
mod plans;
mod pods;
mod policy;
mod policy_show;
mod progress;
mod projection;
mod reached;
mod reading;
mod rehearsal;
mod reports;
mod runbooks;
mod several;
mod statements;
mod stop;
mod stories;
mod tidy;
mod waiting;
mod walls;
mod windows;
mod world;
