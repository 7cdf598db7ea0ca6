//! Jars that outlive their process.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use cookie_store::Cookie;
use tempfile::NamedTempFile;

use super::admission::is_admissible;
use super::jar::CookieJar;

/// To and from JSON, in the format of the crate `cookie_store`.
impl CookieJar {
    /// Writes the cookies that outlive a session: those with `Max-Age` or `Expires` that have not
    /// expired. Others end with the session, and so does what is said of them.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn save(&self, writer: impl Write) -> io::Result<()> {
        let contents = self.lock();
        let cookies = contents
            .all()
            .into_iter()
            .filter(|cookie| cookie.is_persistent());
        // Written without the lock: a writer may be slow.
        let cookies = cookies.cloned().collect::<Vec<_>>();
        drop(contents);
        serde_json::to_writer(writer, &cookies)?;
        Ok(())
    }

    /// Adds the cookies that were saved. Those that have expired, or could not have been set, are left
    /// out; what is in the jar stays, unless one of the same name, domain and path comes.
    ///
    /// # Errors
    ///
    /// Those of the reader; [`InvalidData`](io::ErrorKind::InvalidData) and others, if it is not what
    /// [`save`](Self::save) writes. Nothing is added then.
    pub fn load(&self, reader: impl Read) -> io::Result<()> {
        let cookies: Vec<Cookie<'static>> = serde_json::from_reader(reader)?;
        let mut contents = self.lock();
        for cookie in cookies.into_iter().filter(is_admissible) {
            contents.put(cookie);
        }
        Ok(())
    }

    /// Saves to a file that its owner alone may read and write (mode 0600 on Unix). What the file had
    /// is replaced as a whole, or, on an error, not at all.
    ///
    /// Blocks while it writes: from async code call it within `spawn_blocking`.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn save_to_path(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
        let mut writer = BufWriter::new(file);
        self.save(&mut writer)?;
        let file = writer.into_inner()?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }

    /// Loads from a file, as [`load`](Self::load) does.
    ///
    /// # Errors
    ///
    /// Those of the file system, and of [`load`](Self::load).
    pub fn load_from_path(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.load(BufReader::new(File::open(path)?))
    }
}
