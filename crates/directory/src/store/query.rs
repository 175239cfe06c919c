//! Pages of rows, conditions, and many requests at once.

use super::{Error, Store};
use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::response::PagingState;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, Row};
use std::future::Future;
use std::ops::ControlFlow;
use tokio::task::JoinSet;

/// Requests in flight at most.
pub(super) const IN_FLIGHT: usize = 256;

/// All rows of an answer, page by page.
pub(super) async fn rows<T>(
    session: &Session,
    statement: &PreparedStatement,
    values: impl SerializeRow,
) -> Result<Vec<T>, Error>
where
    T: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
{
    let mut found = Vec::new();
    let mut state = PagingState::start();
    loop {
        let (result, next) = session.execute_single_page(statement, &values, state).await?;
        let page = result.into_rows_result().map_err(|error| Error::Corrupt(error.to_string()))?;
        for row in page.rows::<T>().map_err(|error| Error::Corrupt(error.to_string()))? {
            found.push(row.map_err(|error| Error::Corrupt(error.to_string()))?);
        }
        match next.into_paging_control_flow() {
            ControlFlow::Break(()) => return Ok(found),
            ControlFlow::Continue(further) => state = further,
        }
    }
}

/// Whether a condition held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    Yes,
    No,
}

impl Store {
    /// As [`rows`], of this connection.
    pub(super) async fn rows<T>(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Vec<T>, Error>
    where
        T: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    {
        rows(self.session(), statement, values).await
    }

    /// A statement without rows.
    pub(super) async fn run(&self, statement: &PreparedStatement, values: impl SerializeRow) -> Result<(), Error> {
        self.session().execute_unpaged(statement, values).await?;
        Ok(())
    }

    /// A statement with a condition. An error leaves open whether it was carried out.
    pub(super) async fn condition(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
    ) -> Result<Applied, Error> {
        let result = self.session().execute_unpaged(statement, values).await?;
        applied(result)
    }
}

/// The first column of an answer to a condition; which others there are depends on the server.
pub(super) fn applied(result: scylla::response::query_result::QueryResult) -> Result<Applied, Error> {
    let corrupt = |what: String| Error::Corrupt(format!("an answer to a condition: {what}"));
    let rows = result.into_rows_result().map_err(|error| corrupt(error.to_string()))?;
    let row: Row = rows.first_row().map_err(|error| corrupt(error.to_string()))?;
    match row.columns.first() {
        Some(Some(CqlValue::Boolean(true))) => Ok(Applied::Yes),
        Some(Some(CqlValue::Boolean(false))) => Ok(Applied::No),
        other => Err(corrupt(format!("{other:?}"))),
    }
}

/// Runs something for every item, at most `limit` at once; answers in the order of the items. The first error ends it.
pub(super) async fn each<T, R, F>(
    limit: usize,
    items: impl IntoIterator<Item = T>,
    run: impl Fn(T) -> F,
) -> Result<Vec<R>, Error>
where
    R: Send + 'static,
    F: Future<Output = Result<R, Error>> + Send + 'static,
{
    let mut running: JoinSet<Result<(usize, R), Error>> = JoinSet::new();
    let mut done: Vec<(usize, R)> = Vec::new();
    for (at, item) in items.into_iter().enumerate() {
        if running.len() >= limit {
            done.extend(next(&mut running).await?);
        }
        let request = run(item);
        running.spawn(async move { Ok((at, request.await?)) });
    }
    while let Some(answer) = next(&mut running).await? {
        done.push(answer);
    }
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, answer)| answer).collect())
}

/// The next one to be ready; none when all are.
pub(super) async fn next<R: 'static>(running: &mut JoinSet<Result<R, Error>>) -> Result<Option<R>, Error> {
    match running.join_next().await {
        None => Ok(None),
        Some(Ok(answer)) => answer.map(Some),
        Some(Err(error)) => Err(Error::Unreachable(format!("a request was broken off: {error}"))),
    }
}
