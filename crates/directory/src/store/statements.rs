//! Every statement, prepared once. All of them bind whole partition keys, but for the scan over the ring.

use super::{Error, Settings};
use scylla::client::session::Session;
use scylla::statement::Statement;
use scylla::statement::prepared::PreparedStatement;
use std::time::Duration;

/// Rows to a page.
const PAGE_ROWS: i32 = 2_000;
/// Parts of the change log to a page: each of them is some ten thousands of bytes.
const PAGE_PARTS: i32 = 20;
/// How long a write in bulk, a page of a scan or a condition may take, whatever a look-up may: nobody waits for it.
const PATIENT: Duration = Duration::from_secs(10);

pub(super) struct Statements {
    pub(super) head: PreparedStatement,
    /// The same, seeing what is just being agreed on.
    pub(super) head_serial: PreparedStatement,
    /// When the cells of the head were written, in microseconds.
    pub(super) head_times: PreparedStatement,
    pub(super) clock: PreparedStatement,
    pub(super) claim: PreparedStatement,
    pub(super) take_over: PreparedStatement,
    pub(super) keep: PreparedStatement,
    pub(super) commit: PreparedStatement,
    pub(super) give_up: PreparedStatement,
    pub(super) release: PreparedStatement,
    pub(super) void: PreparedStatement,
    pub(super) bucket: PreparedStatement,
    pub(super) definition: PreparedStatement,
    pub(super) put_definition: PreparedStatement,
    pub(super) delete_definition: PreparedStatement,
    pub(super) endpoints: PreparedStatement,
    pub(super) put_endpoint: PreparedStatement,
    pub(super) delete_endpoint: PreparedStatement,
    pub(super) scan: PreparedStatement,
    pub(super) changes: PreparedStatement,
    pub(super) changed_kinds: PreparedStatement,
    pub(super) changed_keys: PreparedStatement,
    pub(super) put_changes: PreparedStatement,
    pub(super) log_parts: PreparedStatement,
    pub(super) forget_keys: PreparedStatement,
    pub(super) versions: PreparedStatement,
    pub(super) put_version: PreparedStatement,
}

impl Statements {
    pub(super) async fn prepare(session: &Session, settings: &Settings) -> Result<Statements, Error> {
        let prepare = async |text: &str| -> Result<PreparedStatement, Error> {
            let mut statement = session.prepare(Statement::new(text).with_page_size(PAGE_ROWS)).await?;
            statement.set_is_idempotent(true);
            Ok(statement)
        };
        let patient = async |text: &str| -> Result<PreparedStatement, Error> {
            let mut statement = prepare(text).await?;
            statement.set_request_timeout(Some(settings.timeout.max(PATIENT)));
            Ok(statement)
        };
        // A condition that is repeated after it succeeded fails: its outcome is looked up instead.
        let condition = async |text: &str| -> Result<PreparedStatement, Error> {
            let mut statement = patient(text).await?;
            statement.set_is_idempotent(false);
            Ok(statement)
        };
        let parts = |mut statement: PreparedStatement| {
            statement.set_page_size(PAGE_PARTS);
            statement
        };
        let head = "SELECT version, last_claim, claim, claimed_by, claimed_at, aborted, store, identity FROM head WHERE id = 0";
        let mut head_serial = patient(head).await?;
        head_serial.set_consistency(settings.serial.reading());
        Ok(Statements {
            head: prepare(head).await?,
            head_serial,
            head_times: patient(
                "SELECT writetime(version), writetime(identity), writetime(last_claim), writetime(claim) FROM head WHERE id = 0",
            )
            .await?,
            clock: patient("SELECT toTimestamp(now()) FROM head WHERE id = 0").await?,
            claim: condition(
                "UPDATE head SET claim = ?, last_claim = ?, claimed_by = ?, claimed_at = ? WHERE id = 0 \
                 IF version = ? AND identity = ? AND last_claim = ? AND claim = null",
            )
            .await?,
            take_over: condition(
                "UPDATE head SET claim = ?, last_claim = ?, claimed_by = ?, claimed_at = ?, aborted = aborted + ? WHERE id = 0 \
                 IF version = ? AND identity = ? AND last_claim = ? AND claim = ? AND claimed_at = ?",
            )
            .await?,
            keep: condition("UPDATE head SET claimed_at = ? WHERE id = 0 IF claim = ?").await?,
            commit: condition(
                "UPDATE head SET version = ?, identity = ?, claim = null, claimed_by = null, claimed_at = null WHERE id = 0 \
                 IF claim = ?",
            )
            .await?,
            give_up: condition(
                "UPDATE head SET claim = null, claimed_by = null, claimed_at = null, aborted = aborted + ? WHERE id = 0 \
                 IF claim = ?",
            )
            .await?,
            release: condition(
                "UPDATE head SET claim = null, claimed_by = null, claimed_at = null WHERE id = 0 IF claim = ?",
            )
            .await?,
            // A version that was committed and is not seen must not come to be seen one day.
            void: condition("UPDATE head SET aborted = aborted + ? WHERE id = 0 IF version != ?").await?,
            bucket: patient("SELECT name, version, body FROM definitions WHERE kind = ? AND bucket = ?").await?,
            definition: patient(
                "SELECT name, version, body FROM definitions WHERE kind = ? AND bucket = ? AND name = ?",
            )
            .await?,
            put_definition: patient(
                "INSERT INTO definitions (kind, bucket, name, version, body) VALUES (?, ?, ?, ?, ?)",
            )
            .await?,
            delete_definition: patient(
                "DELETE FROM definitions WHERE kind = ? AND bucket = ? AND name = ? AND version = ?",
            )
            .await?,
            endpoints: prepare("SELECT endpoint, version, body FROM endpoints_by_identity WHERE kind = ? AND value = ?")
                .await?,
            put_endpoint: patient(
                "INSERT INTO endpoints_by_identity (kind, value, endpoint, version, body) VALUES (?, ?, ?, ?, ?)",
            )
            .await?,
            delete_endpoint: patient(
                "DELETE FROM endpoints_by_identity WHERE kind = ? AND value = ? AND endpoint = ? AND version = ?",
            )
            .await?,
            scan: patient(
                "SELECT kind, value, endpoint, version, body FROM endpoints_by_identity \
                 WHERE token(kind, value) >= ? AND token(kind, value) <= ?",
            )
            .await?,
            changes: parts(patient("SELECT part, parts, things FROM changes WHERE version = ?").await?),
            // The first part of a log says of what kind the version is; it has at least one.
            changed_kinds: prepare(
                "SELECT bulk, catalog, identity, follows FROM changes WHERE version = ? AND part = 0",
            )
            .await?,
            changed_keys: parts(prepare("SELECT part, parts, keys FROM changes WHERE version = ?").await?),
            put_changes: patient(
                "INSERT INTO changes (version, part, bulk, catalog, keys, things, identity, follows, parts) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .await?,
            log_parts: parts(patient("SELECT part, parts, identity, follows, writetime(keys), writetime(things) FROM changes WHERE version = ?").await?),
            forget_keys: patient("UPDATE changes SET bulk = true, parts = ? WHERE version = ? AND part = 0").await?,
            versions: patient(
                "SELECT version, written_at, effective_from, retroactive, actor, note, counts FROM versions WHERE day = ?",
            )
            .await?,
            put_version: patient(
                "INSERT INTO versions (day, version, written_at, effective_from, retroactive, actor, note, counts) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .await?,
        })
    }
}
