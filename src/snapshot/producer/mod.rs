//! What makes the bytes of a snapshot and proves them. One file per producer; today there is one, `dump`, with
//! the client tools that it runs. A producer is told where to write, and knows neither what else is there nor
//! how long it stays.

mod dump;
mod process;
mod proof;
mod restore;
mod server;

pub(super) use {proof::digest, restore::restore};

use std::path::{Path, PathBuf};

pub(super) use dump::Prepared;

use crate::{api::ReadBack, postgres::ConnectionUrl};

/// A dump of one database, as `pg_dump` makes it.
#[derive(Clone, Copy, Debug)]
pub struct Dump<'a> {
    /// The database, and the role that reads it.
    pub url: &'a ConnectionUrl,
    /// Tables at once. 1 makes a single file, more make a folder.
    pub jobs: u32,
    /// How it is proven.
    pub read_back: ReadBack,
    /// The server's major version, as the plan saw it.
    pub server_major: u32,
    /// The client tools.
    pub tools: &'a Tools,
}

/// Where PostgreSQL's client tools are. Default: found through `PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    pg_dump: PathBuf,
    pg_restore: PathBuf,
}

impl Tools {
    /// The tools of one folder, for instance `/usr/lib/postgresql/18/bin`.
    pub fn of_folder(folder: &Path) -> Self {
        Self { pg_dump: folder.join("pg_dump"), pg_restore: folder.join("pg_restore") }
    }
}

impl Default for Tools {
    fn default() -> Self {
        Self { pg_dump: PathBuf::from("pg_dump"), pg_restore: PathBuf::from("pg_restore") }
    }
}
