//! The tables of the store.

use super::codec::Stored;
use crate::engine::{OpenSuspense, SuspenseNumbers};
use crate::private;
use format::Corrupt;
use pipeline::Held;
use rating::SuspenseReason;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Version of everything in the store; a later one is refused. Since 2 changes may hold some counters of an account or a member; since 3 accounts
/// have a currency, and members sessions, and inputs are known by what was rated of them; since 4 state consists of rows; since 5 outputs have the
/// second version of their contracts. Folders that were begun with the first one stay at 4, and may be given back to the program of then.
const FORMAT: u32 = 5;
const FORMAT_OF_FIRST_CONTRACTS: u32 = 4;

/// Pages of the database kept in memory.
const CACHE_BYTES: usize = 64 << 20;

/// Bytes of what waits that are read at once.
const OPEN_BYTES: usize = 16 << 20;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Changed accounts by commit, since the checkpoint.
const CHANGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("changes");
/// All accounts, in parts.
const CHECKPOINT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("checkpoint");
/// Record ids by commit.
const IDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("ids");
/// Identities of which something waits, by their short keys.
const HELD: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("held");
/// What waits, by its number.
const SUSPENSE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("suspense");

/// A store that cannot be used.
#[derive(Debug)]
pub enum StoreError {
    /// The database.
    Database(redb::Error),
    /// Its contents.
    Corrupt(Corrupt),
    /// Written by a later version.
    Format(u32),
    /// Another process uses it.
    InUse,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Database(error) => write!(f, "state store: {error}"),
            StoreError::Corrupt(error) => error.fmt(f),
            StoreError::Format(version) => {
                write!(f, "the state store has format {version}, this program reads formats up to {FORMAT}")
            }
            StoreError::InUse => f.write_str("another process uses this output folder"),
        }
    }
}

impl std::error::Error for StoreError {}

impl StoreError {
    fn of(error: redb::Error) -> StoreError {
        match error {
            redb::Error::DatabaseAlreadyOpen => StoreError::InUse,
            other => StoreError::Database(other),
        }
    }
}

/// The errors of the database, one by one: all of them at once would be at odds with [`Corrupt`].
macro_rules! of_database {
    ($($error:ident),+) => { $(
        impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> StoreError {
                StoreError::of(error.into())
            }
        }
    )+ };
}

of_database!(Error, DatabaseError, TransactionError, TableError, StorageError, CommitError);

impl From<Corrupt> for StoreError {
    fn from(error: Corrupt) -> StoreError {
        StoreError::Corrupt(error)
    }
}

/// Everything one commit changes.
#[derive(Debug, Default)]
pub struct Commit {
    /// Progress, as encoded by the caller.
    pub progress: Vec<u8>,
    /// Changed accounts since the last commit; may be empty.
    pub changes: Vec<u8>,
    /// Instead of changes: all accounts, in parts.
    pub checkpoint: Option<Vec<Vec<u8>>>,
    /// Added record ids.
    pub ids: Vec<u8>,
    /// All record ids written so far have been sealed: the log of them starts afresh.
    pub ids_sealed: bool,
    /// What waits from now on, by its number.
    pub open: Vec<(u64, OpenSuspense)>,
    /// What no longer waits.
    pub resolved: Vec<u64>,
    /// Identities of which something waits, as far as they changed.
    pub held: Vec<(u64, Option<Held>)>,
    /// Where recycling stands, as encoded by the caller; `None` if none is under way.
    pub recycling: Option<Vec<u8>>,
    /// Files that this commit no longer names; removed after it.
    pub obsolete: Vec<PathBuf>,
}

/// The store of one output folder.
#[derive(Debug)]
pub struct Store {
    database: Database,
    next_commit: AtomicU64,
}

impl Store {
    /// Opens or creates a store.
    ///
    /// # Errors
    /// In use, damaged, of another version, or not writable.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        if !path.exists() {
            Store::make(path)?;
        }
        let database = open_whole(path)?;
        let next_commit = AtomicU64::new(Store::prepare(&database)?);
        Ok(Store { database, next_commit })
    }

    /// Makes a store beside its place and gives it its name there: a file half made by a process that was killed could never be opened. A store
    /// that somebody else has made meanwhile stays as it is.
    fn make(path: &Path) -> Result<(), StoreError> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let beside = path.with_extension(format!("new-{}-{number}", std::process::id()));
        let failed = |error| StoreError::from(redb::Error::Io(error));
        remove_if_there(&beside).map_err(failed)?;
        let file = private::open_file(&beside).map_err(failed)?;
        Store::prepare(&Database::builder().create_file(file)?)?;
        let named = match std::fs::hard_link(&beside, path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            // Some file systems have no second names. Runs hold a lock, so nobody makes a store at the same time.
            Err(_) if !path.exists() => std::fs::rename(&beside, path),
            Err(error) => Err(error),
        };
        let made = named.and_then(|()| remove_if_there(&beside)).and_then(|()| match path.parent() {
            // The name is on the disk when the folder is: commits into a file without one would be lost with the power.
            Some(folder) => std::fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        });
        made.map_err(failed)
    }

    /// Makes the tables where they are missing, and checks the version; returns the number of the next commit.
    fn prepare(database: &Database) -> Result<u64, StoreError> {
        let transaction = database.begin_write()?;
        let next_commit = {
            let mut meta = transaction.open_table(META)?;
            let known = match meta.get("format")? {
                Some(format) => Some(u32::read(&mut format.value())?),
                None => None,
            };
            match known {
                Some(FORMAT | FORMAT_OF_FIRST_CONTRACTS) => {}
                Some(later) if later > FORMAT => return Err(StoreError::Format(later)),
                // From now on it may hold what a program of before does not know.
                Some(_) | None => {
                    let mut format = Vec::new();
                    FORMAT_OF_FIRST_CONTRACTS.write(&mut format);
                    meta.insert("format", &*format)?;
                }
            }
            transaction.open_table(CHECKPOINT)?;
            transaction.open_table(SUSPENSE)?;
            let changes = transaction.open_table(CHANGES)?;
            let ids = transaction.open_table(IDS)?;
            let last_change = changes.last()?.map_or(0, |(commit, _)| commit.value());
            let last_ids = ids.last()?.map_or(0, |(commit, _)| commit.value());
            last_change.max(last_ids) + 1
        };
        transaction.commit()?;
        Ok(next_commit)
    }

    /// From now on only programs may open it that know all that this one does.
    ///
    /// # Errors
    /// The database could not write.
    pub fn raise_format(&self) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        let mut format = Vec::new();
        FORMAT.write(&mut format);
        transaction.open_table(META)?.insert("format", &*format)?;
        transaction.commit()?;
        Ok(())
    }

    /// Commits; afterwards it is on the disk.
    ///
    /// # Errors
    /// The database could not write.
    pub fn commit(&self, commit: &Commit) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        let number = self.next_commit.load(Ordering::Relaxed);
        {
            transaction.open_table(META)?.insert("progress", &*commit.progress)?;
            let mut changes = transaction.open_table(CHANGES)?;
            if let Some(parts) = &commit.checkpoint {
                changes.retain(|_, _| false)?;
                let mut checkpoint = transaction.open_table(CHECKPOINT)?;
                checkpoint.retain(|_, _| false)?;
                for (number, part) in (0_u64..).zip(parts) {
                    checkpoint.insert(number, &**part)?;
                }
            } else if !commit.changes.is_empty() {
                changes.insert(number, &*commit.changes)?;
            }
            if commit.ids_sealed {
                transaction.open_table(IDS)?.retain(|_, _| false)?;
            } else if !commit.ids.is_empty() {
                transaction.open_table(IDS)?.insert(number, &*commit.ids)?;
            }
            match &commit.recycling {
                Some(recycling) => drop(transaction.open_table(META)?.insert("recycling", &**recycling)?),
                None => drop(transaction.open_table(META)?.remove("recycling")?),
            }
            if !commit.held.is_empty() {
                let mut held = transaction.open_table(HELD)?;
                for (short, now) in &commit.held {
                    match now {
                        Some(now) => {
                            let mut bytes = Vec::new();
                            now.write(&mut bytes);
                            held.insert(short, &*bytes)?;
                        }
                        None => drop(held.remove(short)?),
                    }
                }
            }
            if !commit.open.is_empty() || !commit.resolved.is_empty() {
                let mut suspense = transaction.open_table(SUSPENSE)?;
                for number in &commit.resolved {
                    suspense.remove(number)?;
                }
                for (number, open) in &commit.open {
                    suspense.insert(number, &*encode_open(open))?;
                }
            }
        }
        transaction.commit()?;
        for path in &commit.obsolete {
            // A file that stays behind takes space and does no harm.
            let _ = std::fs::remove_file(path);
        }
        self.next_commit.store(number + 1, Ordering::Relaxed);
        Ok(())
    }

    /// The progress of the last commit; `None` in a new store.
    ///
    /// # Errors
    /// The database could not read.
    pub fn progress(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let transaction = self.database.begin_read()?;
        let meta = transaction.open_table(META)?;
        Ok(meta.get("progress")?.map(|progress| progress.value().to_vec()))
    }

    /// Where recycling stood at the last commit; `None` if none was under way.
    ///
    /// # Errors
    /// The database could not read.
    pub fn recycling(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let transaction = self.database.begin_read()?;
        let meta = transaction.open_table(META)?;
        Ok(meta.get("recycling")?.map(|recycling| recycling.value().to_vec()))
    }

    /// Visits the identities of which something waits; returns whether there is such a table: a store of before has none until its first commit.
    ///
    /// # Errors
    /// The database could not read, or holds something else.
    pub fn visit_held(&self, mut visit: impl FnMut(u64, Held)) -> Result<bool, StoreError> {
        let transaction = self.database.begin_read()?;
        let table = match transaction.open_table(HELD) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(false),
            table => table?,
        };
        for entry in table.iter()? {
            let (short, held) = entry?;
            visit(short.value(), Held::read(&mut held.value())?);
        }
        Ok(true)
    }

    /// Visits the accounts of the checkpoint and then the changes since, in order; returns how many bytes each of the two has.
    ///
    /// # Errors
    /// The database could not read, or what the visitor found.
    pub fn visit_accounts(
        &self,
        mut visit: impl FnMut(&[u8]) -> Result<(), Corrupt>,
    ) -> Result<(u64, u64), StoreError> {
        let transaction = self.database.begin_read()?;
        let mut bytes_of = |table: TableDefinition<'static, u64, &'static [u8]>| {
            let mut bytes = 0;
            for entry in transaction.open_table(table)?.iter()? {
                let (_, part) = entry?;
                bytes += part.value().len() as u64;
                visit(part.value())?;
            }
            Ok::<u64, StoreError>(bytes)
        };
        Ok((bytes_of(CHECKPOINT)?, bytes_of(CHANGES)?))
    }

    /// Visits the record ids.
    ///
    /// # Errors
    /// The database could not read.
    pub fn visit_ids(&self, mut visit: impl FnMut(&[u8])) -> Result<(), StoreError> {
        let transaction = self.database.begin_read()?;
        for entry in transaction.open_table(IDS)?.iter()? {
            visit(entry?.1.value());
        }
        Ok(())
    }

    /// Up to `limit` of what waits, from a number on; fewer where they are long, but what was once one record stays together.
    ///
    /// # Errors
    /// The database could not read, or holds something else.
    pub fn open_suspense(&self, from: u64, limit: usize) -> Result<Vec<(u64, OpenSuspense)>, StoreError> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(SUSPENSE)?;
        let (mut found, mut room, mut length): (Vec<(u64, OpenSuspense)>, _, _) = (Vec::new(), 0..0, 0);
        for entry in table.range(from..)?.take(limit) {
            let (number, bytes) = entry?;
            let (number, mut bytes) = (number.value(), bytes.value());
            if !room.contains(&number) {
                if length >= OPEN_BYTES {
                    break;
                }
                room = SuspenseNumbers::room_of(number);
            }
            length += bytes.len();
            found.push((number, decode_open(&mut bytes)?));
        }
        Ok(found)
    }
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Opens a database that is there and checks every page that is in use: the database itself trusts what was closed in good order, and would
/// hand out values that were changed since.
fn open_whole(path: &Path) -> Result<Database, StoreError> {
    let open = || {
        let mut database = Database::builder().set_cache_size(CACHE_BYTES).open(path)?;
        // What could be repaired stands as of an earlier commit, like after a crash.
        database.check_integrity()?;
        Ok(database)
    };
    // Some pages are looked into before they are checked, and the database gives up on a foreign one by a panic.
    std::panic::catch_unwind(open).unwrap_or_else(|_| {
        Err(StoreError::Database(redb::Error::Corrupted("a page is not what was written".to_owned())))
    })
}

fn encode_open(open: &OpenSuspense) -> Vec<u8> {
    let mut out = Vec::with_capacity(open.original.len() + 64);
    super::write_text(open.reason.name(), &mut out);
    open.level.write(&mut out);
    super::write_text(&open.input, &mut out);
    open.place.write(&mut out);
    open.attempt.write(&mut out);
    out.extend_from_slice(&open.original);
    out
}

fn decode_open(input: &mut &[u8]) -> Result<OpenSuspense, Corrupt> {
    let reason = SuspenseReason::parse(super::read_text(input)?)
        .ok_or(Corrupt { what: "a suspense reason", left: input.len() })?;
    Ok(OpenSuspense {
        reason,
        level: Stored::read(input)?,
        input: super::read_text(input)?.to_owned(),
        place: Stored::read(input)?,
        attempt: Stored::read(input)?,
        original: input.to_vec(),
        number: None,
    })
}
