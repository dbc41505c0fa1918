//! Whether there is room for one snapshot more, before its first byte: a dump that fills its volume has kept the
//! server busy for nothing, and what else is kept there cannot be written either.

use std::path::Path;

use super::super::SnapshotError;

/// Refuses where less is free than the newest snapshot of the same database has. Where there is none, how large the
/// next will be is not known, and nothing is refused.
pub(super) fn check(folder: &Path, volume: String, newest: Option<u64>) -> Result<(), SnapshotError> {
    let Some(newest) = newest else { return Ok(()) };
    let found = rustix::fs::statvfs(folder).map_err(|error| {
        SnapshotError::volume(volume.clone(), "read the free space of", folder, error.into())
    })?;
    // What is left for those who are not root.
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    if free >= newest {
        return Ok(());
    }
    let detail = format!("{} are free, and the last snapshot of the database has {}", mib(free), mib(newest));
    Err(SnapshotError::NoSpace { volume, detail })
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_with_less_room_than_the_last_snapshot_had_is_refused_before_the_first_byte() {
        let folder = tempfile::tempdir().expect("a folder");
        let check = |newest| check(folder.path(), "a volume".to_owned(), newest);
        assert!(check(None).is_ok() && check(Some(0)).is_ok() && check(Some(1 << 20)).is_ok());
        let refused = check(Some(u64::MAX)).expect_err("no volume has that").to_string();
        assert!(
            refused.contains("a volume is full") && refused.contains("are free, and the last"),
            "{refused}"
        );
    }
}
