//! Stories on the local cluster: a real API server, scheduler, kubelet and containerd, the chart, and a real
//! PostgreSQL.
//!
//! `make test-cluster` brings up the cluster, pushes the images and installs the chart, then runs these. Each
//! story has a namespace and a database of its own. A story that disturbs the controller takes it for itself
//! (`Cluster::alone`).

#![allow(clippy::panic, reason = "a test ends by panicking")]

mod application;
mod processes;
#[path = "../postgres/server.rs"]
#[allow(dead_code, reason = "the tests of PostgreSQL use all of it")]
mod server;
mod story;

mod bench;
mod bench_many;
mod drift;
mod exactly_once;
mod examples;
mod failing;
mod faults;
mod forged;
mod gate;
mod happy_path;
mod identity;
mod late;
mod pods;
mod policy;
mod progress;
mod rehearsal;
mod rights;
mod several;
mod snapshot;
mod tls;
mod windows;
