//! Whether a dump can be read back, and the digests of what was read.
//!
//! Listing proves nothing but the table of contents: it passes on a dump whose data is cut off. Reading
//! unpacks every byte, and the compressed format carries a checksum of each table, so a cut or a flipped bit
//! ends it. One hole is closed here: of a folder, `pg_restore` takes an empty data file, or one that lost its
//! first bytes, for valid, and since version 18 one that lost its last bytes, too. So the data files are
//! unpacked here a second time.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::bufread::GzDecoder;
use sha2::{Digest, Sha256};

use super::{
    super::{Contents, SnapshotError, Target},
    Dump, process,
};
use crate::api::ReadBack;

/// Proves that the dump can be read back.
pub(super) async fn prove(dump: &Dump<'_>, path: &Path) -> Result<(), SnapshotError> {
    let unreadable = |detail| SnapshotError::Unreadable { database: dump.url.database().to_owned(), detail };
    let mut arguments = match dump.read_back {
        ReadBack::List => vec!["--list".into(), "--file=/dev/null".into()],
        ReadBack::Read | ReadBack::Restore => vec!["--file=/dev/null".into()],
    };
    arguments.push(path.as_os_str().to_owned());
    let finished = process::run(&dump.tools.pg_restore, &arguments, None).await?;
    if !finished.status.success() {
        return Err(unreadable(process::last_words(&finished)));
    }
    if dump.read_back != ReadBack::List && path.is_dir() {
        check_members(path).await.map_err(unreadable)?;
    }
    Ok(())
}

/// Unpacks each data file up to its checksum.
async fn check_members(dump: &Path) -> Result<(), String> {
    for path in files(dump).map_err(|error| format!("{}: {error}", dump.display()))? {
        if path.extension().is_some_and(|extension| extension == "gz") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            unpack(&path)
                .await
                .map_err(|error| format!("data file {name:?} is not a whole gzip file: {error}"))?;
        }
    }
    Ok(())
}

/// Unpacks a mebibyte at a time, and lets go in between: the deadline must be able to end it.
async fn unpack(path: &Path) -> io::Result<()> {
    let mut data = GzDecoder::new(BufReader::new(File::open(path)?));
    let mut buffer = vec![0; 1 << 20];
    while data.read(&mut buffer)? > 0 {
        tokio::task::yield_now().await;
    }
    // Nothing may follow: a second half that is missing its beginning, say.
    let complete = data.into_inner().fill_buf()?.is_empty();
    if complete {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "there is more after its end"))
    }
}

/// Reads the dump from where it was written and digests it.
pub(in super::super) async fn digest(target: &Target) -> Result<Contents, SnapshotError> {
    let dump = target.path.as_path();
    let failed =
        |path: PathBuf| move |cause| SnapshotError::volume(target.volume.clone(), "read", path, cause);
    let folder = dump.parent().unwrap_or(dump);
    let (mut bytes, mut sha256, mut sums) = (0, String::new(), String::new());
    for path in files(dump).map_err(failed(dump.to_owned()))? {
        let (length, digest) = digest_file(&path).await.map_err(failed(path.clone()))?;
        let name = path.strip_prefix(folder).unwrap_or(&path).as_os_str();
        sums.extend([digest.as_str(), "  ", &name.to_string_lossy(), "\n"]);
        (bytes, sha256) = (bytes + length, digest);
    }
    if dump.is_dir() {
        sha256 = format!("{:x}", Sha256::digest(&sums));
    }
    Ok(Contents { bytes, sha256, sums })
}

/// Digests a mebibyte at a time, and lets go in between: the deadline must be able to end it.
async fn digest_file(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut hasher, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((bytes, format!("{:x}", hasher.finalize()))),
            read => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
        tokio::task::yield_now().await;
    }
}

/// The files of a dump, sorted. The directory format has no folders inside.
fn files(dump: &Path) -> io::Result<Vec<PathBuf>> {
    if !dump.is_dir() {
        return Ok(vec![dump.to_owned()]);
    }
    let mut files =
        fs::read_dir(dump)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `gzip -n </dev/null` writes.
    const EMPTY_GZIP: [u8; 20] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    #[tokio::test]
    async fn a_data_file_that_lost_a_byte_anywhere_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |bytes: &[u8]| fs::write(folder.path().join("3342.dat.gz"), bytes).expect("writes");
        fs::write(folder.path().join("toc.dat"), "PGDMP").expect("writes");
        write(&EMPTY_GZIP);
        assert_eq!(check_members(folder.path()).await, Ok(()));
        let cut = (0..EMPTY_GZIP.len()).map(|at| EMPTY_GZIP[..at].to_vec());
        let more = [&EMPTY_GZIP[..], b"x"].concat();
        for bad in cut.chain([vec![b'x'; 100], more]) {
            write(&bad);
            let refused = check_members(folder.path()).await.expect_err("it is not a gzip file");
            assert!(refused.contains("\"3342.dat.gz\""), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_digest_is_the_one_that_sha256sum_prints() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("dump");
        fs::write(&path, "CREATE TABLE a(id int);\nSELECT 1;\n").expect("writes");
        let digest = digest_file(&path).await.expect("reads");
        assert_eq!(
            digest,
            (34, "ef5e0b7229288cbeab72c98dec00a968d659f30fe8ce24f96e09c6083009ff1c".to_owned())
        );
    }
}
