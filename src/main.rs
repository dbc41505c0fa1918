//! The binary: hands over to the verbs.

use std::process::ExitCode;

/// musl's own allocator takes a lock for each piece of a syntax tree; splitting a thousand files took half as
/// long again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sluice::cli::main()
}
