//! What a stage container runs, and the contract with the controller. Knows PostgreSQL and files; knows no Kubernetes API.

pub mod outcome;
