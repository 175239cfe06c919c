//! The tables, made and changed in numbered steps that are never changed afterwards.
//!
//! A step that was applied is remembered with a checksum of its text. A store with steps that this program does not know is newer
//! than the program, and one whose steps had another text was altered: both are refused.

use super::head::{lost, no_head, store_name};
use super::query::{Applied, applied, rows};
use super::settings::Keyspace;
use super::{Error, Settings};
use scylla::client::session::Session;
use scylla::statement::Statement;
use scylla::value::{CqlTimestamp, CqlValue};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::time::Duration;

/// The steps, ascending.
const MIGRATIONS: [Migration; 3] = [
    Migration { number: 1, name: "directory", text: include_str!("cql/0001-directory.cql") },
    Migration { number: 2, name: "identity", text: include_str!("cql/0002-identity.cql") },
    Migration { number: 3, name: "history", text: include_str!("cql/0003-history.cql") },
];

/// Changes of the schema take longer than a look-up may.
const PATIENT: Duration = Duration::from_secs(30);

struct Migration {
    number: i32,
    name: &'static str,
    text: &'static str,
}

impl Migration {
    fn checksum(&self) -> String {
        let mut hasher = SipHasher13::new();
        hasher.write(self.text.as_bytes());
        format!("{:016x}", hasher.finish())
    }

    /// Statements end with a semicolon at the end of a line; comments have lines of their own.
    fn statements(&self) -> impl Iterator<Item = String> {
        let lines = self.text.lines().filter(|line| !line.trim_start().starts_with("--"));
        let text: Vec<&str> = lines.collect();
        let statements: Vec<String> =
            text.join("\n").split(";\n").map(|part| part.trim().trim_end_matches(';').to_owned()).collect();
        statements.into_iter().filter(|statement| !statement.is_empty())
    }
}

/// Number of copies of each row, for a keyspace that is not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replication {
    /// A number, wherever they are: for tests.
    Simple(u32),
    /// A number for each data centre: for production.
    DataCenters(Vec<(String, u32)>),
}

impl Replication {
    fn cql(&self) -> Result<String, Error> {
        match self {
            Replication::Simple(copies) => Ok(format!("{{'class': 'SimpleStrategy', 'replication_factor': {copies}}}")),
            Replication::DataCenters(centers) => {
                let mut text = String::from("{'class': 'NetworkTopologyStrategy'");
                for (name, copies) in centers {
                    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
                    if name.is_empty() || !name.chars().all(is_fine) {
                        return Err(Error::Usage(format!("\"{name}\" is not the name of a data centre")));
                    }
                    text.push_str(&format!(", '{name}': {copies}"));
                }
                text.push('}');
                Ok(text)
            }
        }
    }
}

/// The outcome of [`migrate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Steps applied now, by number and name.
    pub applied: Vec<(i32, &'static str)>,
    /// The last step that the store has.
    pub last: i32,
}

/// Makes the keyspace, if it is not there, and applies the steps that are missing.
///
/// # Errors
/// [`Error::Schema`] for a store that is newer or was altered; nothing is done then.
pub async fn migrate(settings: &Settings, replication: &Replication, now_ms: i64) -> Result<Migrated, Error> {
    let patient = Settings { timeout: settings.timeout.max(PATIENT), ..settings.clone() };
    settings.check_keyspace()?;
    let session = patient.connect(Keyspace::None).await?;
    let keyspace = &settings.keyspace;
    let text = format!("CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {}", replication.cql()?);
    session.query_unpaged(text, ()).await?;
    session.use_keyspace(keyspace, false).await.map_err(|error| Error::Unreachable(error.to_string()))?;
    session
        .query_unpaged(
            "CREATE TABLE IF NOT EXISTS migrations (id int, number int, name text, checksum text, applied_at timestamp, \
             PRIMARY KEY ((id), number))",
            (),
        )
        .await?;
    let found = compare(&session).await?;
    if found > 0 {
        let read = session.prepare("SELECT id FROM head WHERE id = 0").await?;
        let head: Vec<(i32,)> = rows(&session, &read, ()).await?;
        if head.is_empty() {
            return Err(no_head());
        }
    }
    let mut done = Migrated { applied: Vec::new(), last: found };
    for step in MIGRATIONS.iter().filter(|step| step.number > found) {
        for statement in step.statements() {
            if !is_done(&session, keyspace, &statement).await? {
                session.query_unpaged(statement, ()).await?;
            }
        }
        if step.number == 1 {
            // The lock, open: an aborted set that is empty is null.
            session
                .query_unpaged("INSERT INTO head (id, version, last_claim) VALUES (0, 0, 0) IF NOT EXISTS", ())
                .await?;
        }
        if step.number == 3 {
            name_version(&session, now_ms).await?;
        }
        let values = (step.number, step.name, step.checksum(), CqlTimestamp(now_ms));
        let remember = session
            .prepare(
                "INSERT INTO migrations (id, number, name, checksum, applied_at) VALUES (0, ?, ?, ?, ?) IF NOT EXISTS",
            )
            .await?;
        // Somebody else may have been quicker; their text was the same, or the next look at it says so.
        match applied(session.execute_unpaged(&remember, values).await?)? {
            Applied::Yes => done.applied.push((step.number, step.name)),
            Applied::No => {
                compare(&session).await?;
            }
        }
        done.last = step.number;
    }
    Ok(done)
}

/// Gives the committed version an identity, unless it has one: of somebody who did not get to the end of the step, or is at it.
async fn name_version(session: &Session, now_ms: i64) -> Result<(), Error> {
    let read = session.prepare("SELECT version, store FROM head WHERE id = 0").await?;
    let found: Vec<(Option<i64>, Option<CqlValue>)> = rows(session, &read, ()).await?;
    let Some((version, store)) = found.into_iter().next() else { return Err(no_head()) };
    let version = version.ok_or_else(|| lost("no version"))?;
    let identity = super::identity::first(&store_name(store)?, version, now_ms);
    let write = session.prepare("UPDATE head SET identity = ? WHERE id = 0 IF identity = null").await?;
    applied(session.execute_unpaged(&write, (identity,)).await?)?;
    Ok(())
}

/// Returns true if a statement adds a column that is there: of somebody who did not get to the end of the step, or is at it.
async fn is_done(session: &Session, keyspace: &str, statement: &str) -> Result<bool, Error> {
    let words: Vec<&str> = statement.split_whitespace().collect();
    // All others have a condition of their own: IF NOT EXISTS, or IF a column is null.
    let ["ALTER", "TABLE", table, "ADD", column, _] = words[..] else { return Ok(false) };
    let read =
        "SELECT column_name FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ? AND column_name = ?";
    let read = session.prepare(read).await?;
    let found: Vec<(String,)> = rows(session, &read, (keyspace, table, column)).await?;
    Ok(!found.is_empty())
}

/// Checks that the store has exactly the tables of this program.
pub(super) async fn check(session: &Session) -> Result<(), Error> {
    let found = compare(session).await?;
    match MIGRATIONS.iter().find(|step| step.number > found) {
        None => Ok(()),
        Some(step) => Err(Error::Schema(format!(
            "the store lacks migration {} \"{}\": rater directory migrate",
            step.number, step.name
        ))),
    }
}

/// The last step that the store has, if all of its steps are known.
async fn compare(session: &Session) -> Result<i32, Error> {
    let read = Statement::new("SELECT number, name, checksum FROM migrations WHERE id = 0");
    let read = session.prepare(read).await?;
    let found: Vec<(i32, Option<String>, Option<String>)> = rows(session, &read, ()).await?;
    let mut last = 0;
    for (number, name, checksum) in found {
        // Only shown: the number and the checksum decide.
        let name = name.unwrap_or_default();
        let Some(known) = MIGRATIONS.iter().find(|step| step.number == number) else {
            return Err(Error::Schema(format!(
                "the store has migration {number} \"{name}\", which this program does not know: it is newer than the program"
            )));
        };
        if checksum.as_deref() != Some(known.checksum().as_str()) {
            return Err(Error::Schema(format!(
                "migration {number} \"{name}\" of the store had another text than this program knows: one of them was altered"
            )));
        }
        last = last.max(number);
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_from_one_and_cut_into_statements() {
        for (step, number) in MIGRATIONS.iter().zip(1..) {
            assert_eq!(step.number, number);
        }
        let tables: Vec<String> = MIGRATIONS[0].statements().collect();
        assert_eq!(tables.len(), 5, "{tables:?}");
        assert!(tables.iter().all(|table| table.starts_with("CREATE TABLE IF NOT EXISTS ") && !table.contains(';')));
    }

    /// A step that was applied somewhere must never change.
    #[test]
    fn the_text_of_released_steps_stays() {
        let checksums: Vec<String> = MIGRATIONS.iter().map(Migration::checksum).collect();
        assert_eq!(checksums, ["edc629e55e454ac5", "541dd4cdd82f139a", "9c7a14a64ca3475a"]);
    }
}
