//! A log whose calls are watched: each says on the thread's [`Post`] what it is.

use super::watch::{Call, Post};
use crate::worker::log::{
    Aside, Batch, Committed, Consumer, Event, GatherLimits, Log, LogError, Offset, Outgoing, Partition, Producer,
    ReadFrom, Reader, TopicId, TransactionError, Visit,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// A log as one thread uses it.
pub(super) struct Watched<'w, L> {
    pub(super) log: &'w L,
    pub(super) post: &'w Post,
}

/// What a thread has of the log. To give it back is a call as well: fields go in their order.
pub(super) struct Kept<'w, T> {
    _leaving: Moves<'w>,
    inner: T,
    _left: Moves<'w>,
    post: &'w Post,
}

/// Moves a thread on when it goes.
struct Moves<'w>(&'w Post, Call);

impl Drop for Moves<'_> {
    fn drop(&mut self) {
        self.0.move_to(self.1);
    }
}

impl<'w, L: Log> Watched<'w, L> {
    fn keep<T>(&self, inner: T, leaving: Call) -> Kept<'w, T> {
        Kept { _leaving: Moves(self.post, leaving), inner, _left: Moves(self.post, Call::Own), post: self.post }
    }
}

impl<'w, L: Log> Log for Watched<'w, L> {
    type Consumer = Kept<'w, L::Consumer>;
    type Producer = Kept<'w, L::Producer>;
    type Reader = Kept<'w, L::Reader>;

    async fn consumer(&self, group: &str, topics: &[String]) -> Result<Self::Consumer, LogError> {
        let _inside = self.post.enter(Call::Join);
        Ok(self.keep(self.log.consumer(group, topics).await?, Call::Leave))
    }

    async fn reader(&self) -> Result<Self::Reader, LogError> {
        let _inside = self.post.enter(Call::Aside);
        Ok(self.keep(self.log.reader().await?, Call::Aside))
    }

    async fn producer(&self, transactional_id: &str) -> Result<Self::Producer, LogError> {
        let _inside = self.post.enter(Call::Introduce);
        Ok(self.keep(self.log.producer(transactional_id).await?, Call::Close))
    }

    async fn fence(&self, transactional_id: &str) -> Result<(), LogError> {
        let _inside = self.post.enter(Call::Fence);
        self.log.fence(transactional_id).await
    }

    async fn topic_ids(&self, topics: &[String]) -> Result<Vec<Option<TopicId>>, LogError> {
        let _inside = self.post.enter(Call::Ask);
        self.log.topic_ids(topics).await
    }

    async fn partitions(&self, topic: &str) -> Result<u32, LogError> {
        let _inside = self.post.enter(Call::Ask);
        self.log.partitions(topic).await
    }

    async fn first_offset(&self, topic: &str, partition: u32) -> Result<Offset, LogError> {
        let _inside = self.post.enter(Call::Ask);
        self.log.first_offset(topic, partition).await
    }

    async fn uncommitted_end(&self, topic: &str, partition: u32) -> Result<Offset, LogError> {
        let _inside = self.post.enter(Call::Ask);
        self.log.uncommitted_end(topic, partition).await
    }

    async fn uncommitted_ends(&self, places: &[(String, u32)]) -> Result<Vec<Offset>, LogError> {
        let _inside = self.post.enter(Call::Ask);
        self.log.uncommitted_ends(places).await
    }

    async fn read_committed(
        &self,
        topic: &str,
        partition: u32,
        end: Offset,
        visit: &mut Visit<'_>,
    ) -> Result<(), LogError> {
        let inside = self.post.enter(Call::Restore);
        let mut visit = |offset: Offset, key: &[u8], value: Option<&[u8]>| {
            inside.goes_on();
            visit(offset, key, value);
        };
        self.log.read_committed(topic, partition, end, &mut visit).await
    }

    async fn pause(&self, duration: Duration) {
        let _inside = self.post.enter(Call::Pause);
        self.log.pause(duration).await;
    }
}

impl<C: Consumer> Consumer for Kept<'_, C> {
    type Group = C::Group;

    async fn gather(&mut self, batch: &mut Batch, limits: &GatherLimits) -> Result<Event, LogError> {
        let _inside = self.post.enter(Call::Gather);
        self.inner.gather(batch, limits).await
    }

    async fn committed(&mut self, partitions: &[Partition]) -> Result<Vec<Option<Committed>>, LogError> {
        let _inside = self.post.enter(Call::Positions);
        self.inner.committed(partitions).await
    }

    async fn owners(&mut self, partitions: &[Partition]) -> Result<Vec<String>, LogError> {
        let _inside = self.post.enter(Call::Positions);
        self.inner.owners(partitions).await
    }

    async fn start(&mut self, positions: &[(Partition, Offset)]) -> Result<(), LogError> {
        let _inside = self.post.enter(Call::Start);
        self.inner.start(positions).await
    }

    async fn release(&mut self, partitions: &[Partition]) -> Result<(), LogError> {
        let _inside = self.post.enter(Call::Release);
        self.inner.release(partitions).await
    }

    async fn seek(&mut self, partition: Partition, offset: Offset) -> Result<(), LogError> {
        let _inside = self.post.enter(Call::Start);
        self.inner.seek(partition, offset).await
    }

    async fn hold(&mut self) -> Result<(), LogError> {
        let _inside = self.post.enter(Call::Start);
        self.inner.hold().await
    }

    async fn go_on(&mut self) -> Result<(), LogError> {
        let _inside = self.post.enter(Call::Start);
        self.inner.go_on().await
    }

    async fn hold_only(&mut self, partitions: &[Partition]) -> Result<(), LogError> {
        let _inside = self.post.enter(Call::Start);
        self.inner.hold_only(partitions).await
    }

    fn handed_over(&mut self) -> Result<BTreeMap<Partition, Offset>, LogError> {
        let _inside = self.post.enter(Call::Positions);
        self.inner.handed_over()
    }

    fn group(&self) -> C::Group {
        let _inside = self.post.enter(Call::Positions);
        self.inner.group()
    }

    fn new_ends(&mut self) -> Vec<(Partition, Offset)> {
        let _inside = self.post.enter(Call::Positions);
        self.inner.new_ends()
    }
}

impl<R: Reader> Reader for Kept<'_, R> {
    async fn assign(&mut self, places: &[ReadFrom]) -> Result<(), LogError> {
        let _inside = self.post.enter(Call::Aside);
        self.inner.assign(places).await
    }

    async fn take(&mut self, most: usize, visit: &mut dyn FnMut(Aside<'_>)) -> Result<(), LogError> {
        let _inside = self.post.enter(Call::Aside);
        self.inner.take(most, visit).await
    }

    fn handed_over(&mut self) -> Result<Vec<Offset>, LogError> {
        let _inside = self.post.enter(Call::Aside);
        self.inner.handed_over()
    }
}

impl<P: Producer> Producer for Kept<'_, P> {
    type Group = P::Group;

    async fn begin(&mut self) -> Result<(), TransactionError> {
        let _inside = self.post.enter(Call::Begin);
        self.inner.begin().await
    }

    async fn send(&mut self, message: Outgoing<'_>) -> Result<(), TransactionError> {
        let _inside = self.post.enter(Call::Send);
        self.inner.send(message).await
    }

    async fn send_offsets(
        &mut self,
        positions: &[(Partition, Offset)],
        owner: &str,
        group: &P::Group,
    ) -> Result<(), TransactionError> {
        let _inside = self.post.enter(Call::SendOffsets);
        self.inner.send_offsets(positions, owner, group).await
    }

    async fn commit(&mut self) -> Result<(), TransactionError> {
        let _inside = self.post.enter(Call::Commit);
        self.inner.commit().await
    }

    async fn first_delivery(&mut self) {
        let _inside = self.post.enter(Call::Abort);
        self.inner.first_delivery().await;
    }

    async fn abort(&mut self) -> Result<(), TransactionError> {
        let _inside = self.post.enter(Call::Abort);
        self.inner.abort().await
    }
}
