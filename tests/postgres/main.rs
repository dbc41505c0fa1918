//! Tests against a real PostgreSQL: one server for the whole run, a fresh database for each test.
//!
//! The binaries come from `/usr/lib/postgresql/*/bin`, the newest wins; `PG_BIN=/path/to/bin cargo test --test postgres` takes another version.
//! `make test-postgres-newest` does that with PostgreSQL 18.

#![allow(clippy::panic, reason = "a test ends by panicking")]

mod adoption;
mod catalog_baseline;
mod catalog_drift;
mod catalog_kinds;
mod catalog_majors;
mod check_bad_input;
mod check_clinic;
mod check_controls;
mod check_elsewhere;
mod check_indexes;
mod check_isolation;
mod check_isolation_code;
mod check_questions;
mod check_rows_kept;
mod check_structure;
mod check_traces;
mod check_views;
mod check_volatile;
mod check_ways_around;
mod cli_lint;
mod cli_output;
mod cli_wait;
mod cli_words;
mod corpus;
mod cross_check;
mod cross_psql;
mod cross_rules;
mod cross_tap;
mod interop;
mod outputs_crash;
mod outputs_planted;
mod outputs_terminal;
mod phases;
mod phases_schema;
mod platform_stand;
mod platforms;
mod policy;
mod portable;
mod process_kill;
mod process_stages;
mod report_browser;
mod report_evidence;
mod report_process;
mod server;
mod session_answers;
mod session_cut_off;
mod session_servers;
mod session_tls;
mod snapshot;
mod sql_applied;
mod sql_brackets;
mod sql_kinds;
mod stage_advisory;
mod stage_again;
mod stage_failure;
mod stage_fence;
mod stage_history;
mod stage_index;
mod stage_locks;
mod stage_meanwhile;
mod stage_release;
mod stage_scene;
mod stage_session;
mod stage_settings;
mod stage_steps;
mod stage_verification;
mod trust_history;
mod trust_operators;
mod trust_owners;
mod trust_race;
mod trust_traps;
