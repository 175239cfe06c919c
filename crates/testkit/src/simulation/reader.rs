//! A reader of single partitions, which belongs to no group: fetches in the background and hands over what has come.

use super::partition::{Isolation, Read};
use super::world::{Node, Place, ProcessId, REQUEST_LIMIT, Responder, Shared, World, step};
use rating::Timestamp;
use runtime::worker::log::{Aside, LogError, Offset, ReadFrom, Reader};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Messages of one partition in one answer.
const AT_ONCE: usize = 5;

/// What is read of one partition.
struct Stream {
    place: Place,
    next_fetch: Offset,
    /// The next offset behind what was handed over.
    position: Offset,
    fetching: bool,
    ahead: VecDeque<Read>,
}

#[derive(Default)]
struct Streams {
    /// Number of the assignment, so that answers to older fetches are thrown away.
    version: u64,
    streams: Vec<Stream>,
}

/// See the module.
pub struct SimulatedReader {
    shared: Shared,
    process: ProcessId,
    state: Rc<RefCell<Streams>>,
}

impl SimulatedReader {
    pub(super) fn new(shared: &Shared) -> SimulatedReader {
        let process = shared.borrow().current;
        SimulatedReader { shared: Shared::clone(shared), process, state: Rc::default() }
    }

    /// Asks for what is not there yet.
    fn fetch_ahead(&self) {
        let mut asks = Vec::new();
        let version = {
            let mut state = self.state.borrow_mut();
            for (at, stream) in state.streams.iter_mut().enumerate() {
                if !stream.fetching && stream.ahead.is_empty() {
                    stream.fetching = true;
                    asks.push((at, stream.place, stream.next_fetch));
                }
            }
            state.version
        };
        let mut world = self.shared.borrow_mut();
        for (at, place, from) in asks {
            let handle = move |world: &mut World, responder: Responder<(Vec<Read>, Offset)>| {
                let read = world.partition(place).read(from, Offset::MAX, AT_ONCE, Isolation::Committed);
                responder.answer(world, read);
            };
            let state = Rc::clone(&self.state);
            world.ask(self.process, Node::Leader(place), REQUEST_LIMIT, handle, move |_, answer| {
                let mut state = state.borrow_mut();
                if state.version != version {
                    return;
                }
                let Some(stream) = state.streams.get_mut(at) else { return };
                stream.fetching = false;
                if let Some((found, next)) = answer {
                    stream.ahead.extend(found);
                    stream.next_fetch = next;
                }
            });
        }
    }
}

impl Reader for SimulatedReader {
    async fn assign(&mut self, places: &[ReadFrom]) -> Result<(), LogError> {
        step(&self.shared, "stopped before reading beside").await;
        let world = self.shared.borrow();
        let mut state = self.state.borrow_mut();
        state.version += 1;
        state.streams.clear();
        for ReadFrom { topic, partition, offset } in places {
            let known = world.topics.iter().position(|known| known.name == *topic);
            let topic = known.ok_or_else(|| LogError::Refused(format!("no topic {topic:?}")))?;
            state.streams.push(Stream {
                place: Place { topic, number: *partition },
                next_fetch: *offset,
                position: *offset,
                fetching: false,
                ahead: VecDeque::new(),
            });
        }
        Ok(())
    }

    async fn take(&mut self, most: usize, visit: &mut dyn FnMut(Aside<'_>)) -> Result<(), LogError> {
        {
            let mut state = self.state.borrow_mut();
            for (place, stream) in state.streams.iter_mut().enumerate() {
                let count = stream.ahead.len().min(most);
                for Read { offset, message } in stream.ahead.drain(..count) {
                    stream.position = offset + 1;
                    let value = message.value.as_deref().unwrap_or_default();
                    let (key, appended) = (message.key.as_deref(), Some(Timestamp::LATEST));
                    visit(Aside { place, offset, key, value, appended, trace: None });
                }
                if stream.ahead.is_empty() {
                    stream.position = stream.position.max(stream.next_fetch);
                }
            }
        }
        self.fetch_ahead();
        Ok(())
    }

    fn handed_over(&mut self) -> Result<Vec<Offset>, LogError> {
        Ok(self.state.borrow().streams.iter().map(|stream| stream.position).collect())
    }
}
