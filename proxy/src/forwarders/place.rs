//! Forwarders as files, where an app can load them.
//!
//! A variable that names a file which is not there stops Node, Java and Ruby from starting. So nothing
//! is named that was not read back, and a file that is replaced is there at every moment.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{Forwarder, files};

/// A forwarder that is in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Which it is.
    pub forwarder: Forwarder,
    /// What its variable names.
    pub path: PathBuf,
}

/// Writes `forwarders` below `directory`, which is made if it is not there.
///
/// All may read what is written, because the app may run as another user, and only we may write it:
/// whoever can owns the app.
///
/// # Errors
///
/// When the directory cannot be named in a variable, a forwarder is not in this binary, or a file
/// cannot be written or is not read back as it was.
pub fn place(directory: &Path, forwarders: &[Forwarder]) -> io::Result<Vec<Placed>> {
    let placed = located(directory, forwarders)?;
    make(directory)?;
    for &forwarder in forwarders {
        let below = directory.join(forwarder.name());
        make(&below)?;
        for file in files(forwarder) {
            let path = below.join(file.name);
            path.parent().map_or(Ok(()), make)?;
            write(&path, file.content).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?;
        }
    }
    Ok(placed)
}

/// Where [`place`] puts them.
///
/// # Errors
///
/// When the directory cannot be named in a variable, or a forwarder is not in this binary.
pub fn located(directory: &Path, forwarders: &[Forwarder]) -> io::Result<Vec<Placed>> {
    let directory = std::path::absolute(directory)?;
    let splits = |c: char| c.is_whitespace() || matches!(c, ':' | '"' | '\'' | '\\');
    if directory.to_str().is_none_or(|text| text.contains(splits)) {
        return Err(io::Error::other(format!(
            "{} cannot stand in a variable such as NODE_OPTIONS; choose a directory without spaces, \
             colons and quotes",
            directory.display()
        )));
    }
    let placed = forwarders.iter().map(|&forwarder| {
        let Some(entry) = files(forwarder).iter().find(|file| file.is_entry) else {
            return Err(io::Error::other(format!(
                "the forwarder {forwarder} is not in this binary; `throughline forwarders list` \
                 shows those that are"
            )));
        };
        let below = directory.join(forwarder.name());
        let path = match forwarder {
            Forwarder::Python => below,
            Forwarder::Node | Forwarder::Java | Forwarder::Signal => below.join(entry.name),
        };
        Ok(Placed { forwarder, path })
    });
    placed.collect()
}

fn make(directory: &Path) -> io::Result<()> {
    let made = match fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(directory),
        made => made,
    };
    made.and_then(|()| fs::set_permissions(directory, fs::Permissions::from_mode(0o755)))
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", directory.display())))
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    fs::write(&partial, content)?;
    fs::set_permissions(&partial, fs::Permissions::from_mode(0o644))?;
    fs::rename(&partial, path)?;
    if fs::read(path)? != content {
        return Err(io::Error::other("it is not read back as it was written"));
    }
    Ok(())
}

/// Whether others than its owner may change what is in a directory, so that they can change what the
/// app runs.
#[must_use]
pub fn is_open_to_others(directory: &Path) -> bool {
    let mode = fs::metadata(directory).map(|metadata| metadata.permissions().mode());
    mode.is_ok_and(|mode| mode & 0o022 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried() -> Vec<Forwarder> {
        let all = Forwarder::ALL.into_iter();
        all.filter(|forwarder| !files(*forwarder).is_empty())
            .collect()
    }

    #[test]
    fn what_is_named_is_there_and_readable_for_all() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("a/b");
        let placed = place(&below, &carried()).unwrap();
        assert!(placed.len() >= 2, "node and python need no toolchain");
        for Placed { forwarder, path } in &placed {
            assert!(path.starts_with(&below) && path.exists(), "{path:?}");
            for file in files(*forwarder) {
                let path = below.join(forwarder.name()).join(file.name);
                assert_eq!(fs::read(&path).unwrap(), file.content);
                let mode = fs::metadata(&path).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o644);
            }
        }
        let mode = fs::metadata(below.join("node")).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o755);
        assert_eq!(place(&below, &carried()).unwrap(), placed, "again");
    }

    #[test]
    fn a_file_of_another_version_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let placed = place(directory.path(), &[Forwarder::Node]).unwrap();
        fs::write(&placed[0].path, "old").unwrap();
        place(directory.path(), &[Forwarder::Node]).unwrap();
        assert_ne!(fs::read(&placed[0].path).unwrap(), b"old");
        let left = fs::read_dir(directory.path().join("node")).unwrap();
        assert_eq!(left.count(), files(Forwarder::Node).len());
    }

    #[test]
    fn a_place_that_cannot_be_named_or_written_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let error = place(&directory.path().join("a b"), &carried()).unwrap_err();
        assert!(error.to_string().contains("without spaces"), "{error}");
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = place(&file.join("below"), &carried()).unwrap_err();
        assert!(error.to_string().contains("file/below"), "{error}");
    }

    #[test]
    fn a_directory_that_others_may_write_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let mode = |mode| {
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
            is_open_to_others(directory.path())
        };
        assert_eq!(
            [0o700, 0o755, 0o775, 0o777].map(mode),
            [false, false, true, true]
        );
        assert!(!is_open_to_others(&directory.path().join("none")));
    }
}
