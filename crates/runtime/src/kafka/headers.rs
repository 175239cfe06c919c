//! Headers of messages from others.

use crate::worker::trace::TraceContext;
use rdkafka::message::{Header, Headers};
use std::panic::AssertUnwindSafe;

/// The trace context among headers. The library gives up by a panic on a header whose name is not text, and anybody may write one: then there
/// is none.
pub(super) fn trace_of<'r>(headers: &impl Headers, room: &'r mut Vec<u8>) -> Option<TraceContext<'r>> {
    let read = move || {
        // Taken, not lent again: what is found stands in it.
        let room = room;
        let headers = headers.iter().map(|Header { key, value }| (key, value.unwrap_or_default()));
        TraceContext::read(headers, room)
    };
    std::panic::catch_unwind(AssertUnwindSafe(read)).unwrap_or(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::message::OwnedHeaders;

    /// Headers of which the library cannot make the last one's name a text.
    struct Unreadable(OwnedHeaders);

    impl Headers for Unreadable {
        fn count(&self) -> usize {
            self.0.count() + 1
        }

        fn try_get(&self, index: usize) -> Option<Header<'_, &[u8]>> {
            assert!(index < self.0.count(), "not a text");
            self.0.try_get(index)
        }
    }

    #[test]
    fn headers_that_the_library_cannot_read_stop_nothing() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let headers = OwnedHeaders::new().insert(Header { key: "other", value: None::<&str> });
        let headers = headers.insert(Header { key: "traceparent", value: Some(parent) });
        let mut room = Vec::new();
        let found = trace_of(&headers, &mut room).map(|trace| trace.headers().collect::<Vec<_>>());
        assert_eq!(found, Some(vec![("traceparent", parent.to_owned())]));
        assert_eq!(trace_of(&Unreadable(headers), &mut room), None);
        assert_eq!(trace_of(&OwnedHeaders::new(), &mut room), None);
    }
}
