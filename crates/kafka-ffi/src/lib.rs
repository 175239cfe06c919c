//! The ids of topics, asked for by the client library's admin call `DescribeTopics`, which its safe interface does not offer.
//!
//! The only crate with unsafe code. It owns what the library gives it (`Owned`) and hands out plain values; nothing of the library's leaves it.
//! Reads what the library owns while its owner is alive: a result belongs to its event, names and ids to their result.

#![allow(unsafe_code)]

use rdkafka::ClientContext;
use rdkafka::bindings as library;
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaRespErr;
use std::ffi::{CStr, CString, c_char};
use std::time::Duration;

/// Time that the answer may take beyond the limit that the library is told.
const GRACE_MS: i32 = 500;

/// Something of the library's that has to be given back.
struct Owned<T> {
    at: *mut T,
    give_back: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// Takes over a pointer; `None` if it is null.
    ///
    /// # Safety
    /// The pointer is null, or nobody else gives it back and `give_back` is the library's function for it.
    unsafe fn new(at: *mut T, give_back: unsafe extern "C" fn(*mut T)) -> Option<Owned<T>> {
        (!at.is_null()).then_some(Owned { at, give_back })
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: by `new` it is not null, is given back by nobody else, and this is its function.
        unsafe { (self.give_back)(self.at) }
    }
}

/// The ids that topics have now, in the order of their names; `None` of a cluster that gives topics none.
///
/// # Errors
/// A topic is not there; the cluster does not answer within the limit, or refuses; a name that none can have, or one that stands there twice.
pub fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    limit: Duration,
) -> Result<Vec<Option<[u8; 16]>>, KafkaError> {
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |code: Code| KafkaError::MetadataFetch(code);
    let names: Vec<CString> = topics
        .iter()
        .map(|topic| CString::new(*topic).map_err(|_| failed(Code::InvalidTopic)))
        .collect::<Result<_, _>>()?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let handle = client.native_ptr();
    let limit_ms = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX - GRACE_MS).clamp(1, i32::MAX - GRACE_MS);

    // SAFETY: the handle is alive as long as `client` is borrowed.
    let queue = unsafe { library::rd_kafka_queue_new(handle) };
    // SAFETY: it was made here.
    let queue = unsafe { Owned::new(queue, library::rd_kafka_queue_destroy) }.ok_or(failed(Code::Fail))?;
    // SAFETY: as many pointers to texts that end with 0 as are said; the library copies them.
    let collection = unsafe { library::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()) };
    // SAFETY: it was made here.
    let collection = unsafe { Owned::new(collection, library::rd_kafka_TopicCollection_destroy) };
    let collection = collection.ok_or(failed(Code::Fail))?;
    let kind = library::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: the handle is alive.
    let options = unsafe { library::rd_kafka_AdminOptions_new(handle, kind) };
    // SAFETY: they were made here.
    let options = unsafe { Owned::new(options, library::rd_kafka_AdminOptions_destroy) }.ok_or(failed(Code::Fail))?;
    let mut why = [0 as c_char; 256];
    // SAFETY: the options are alive, and there is as much room for a reason as is said.
    let set = unsafe {
        library::rd_kafka_AdminOptions_set_request_timeout(options.at, limit_ms, why.as_mut_ptr(), why.len())
    };
    check(set)?;

    // SAFETY: all four are alive; the library copies names and options, and keeps the queue alive itself while it has to answer.
    unsafe { library::rd_kafka_DescribeTopics(handle, collection.at, options.at, queue.at) };
    // SAFETY: the queue is alive.
    let event = unsafe { library::rd_kafka_queue_poll(queue.at, limit_ms + GRACE_MS) };
    // SAFETY: an event that was polled is the caller's to give back.
    let event = unsafe { Owned::new(event, library::rd_kafka_event_destroy) }.ok_or(failed(Code::OperationTimedOut))?;
    // SAFETY: the event is alive.
    check(unsafe { library::rd_kafka_event_error(event.at) })?;
    // SAFETY: the event is alive; what it is not, is told by null.
    let result = unsafe { library::rd_kafka_event_DescribeTopics_result(event.at) };
    if result.is_null() {
        return Err(failed(Code::BadMessage));
    }
    let mut count = 0;
    // SAFETY: the result is alive as long as its event.
    let described = unsafe { library::rd_kafka_DescribeTopics_result_topics(result, &raw mut count) };
    let described = match described.is_null() {
        true => &[][..],
        // SAFETY: as many pointers as the library has counted, alive as long as the event.
        false => unsafe { std::slice::from_raw_parts(described, count) },
    };
    // A topic that the answer leaves out is as one that is not there.
    let mut ids = vec![Err(failed(Code::UnknownTopicOrPartition)); topics.len()];
    for topic in described.iter().copied().filter(|topic| !topic.is_null()) {
        // SAFETY: a description that is alive.
        let name = unsafe { library::rd_kafka_TopicDescription_name(topic) };
        if name.is_null() {
            continue;
        }
        // SAFETY: a text that ends with 0, alive as long as the event.
        let name = unsafe { CStr::from_ptr(name) };
        // Nobody asked for another one.
        let Some(place) = names.iter().position(|known| known.as_c_str() == name) else { continue };
        // SAFETY: a description that is alive.
        let error = unsafe { library::rd_kafka_TopicDescription_error(topic) };
        // SAFETY: null, which stands for no error, or an error that is alive.
        let code = unsafe { library::rd_kafka_error_code(error) };
        ids[place] = match Code::from(code) {
            Code::NoError => Ok(id_of(topic)),
            code => Err(failed(code)),
        };
    }
    ids.into_iter().collect()
}

fn check(code: RDKafkaRespErr) -> Result<(), KafkaError> {
    match Code::from(code) {
        Code::NoError => Ok(()),
        code => Err(KafkaError::MetadataFetch(code)),
    }
}

/// The id of a described topic; 0 is none.
fn id_of(topic: *const library::rd_kafka_TopicDescription_t) -> Option<[u8; 16]> {
    // SAFETY: `topic_ids` calls this with a description that is alive.
    let id = unsafe { library::rd_kafka_TopicDescription_topic_id(topic) };
    if id.is_null() {
        return None;
    }
    // SAFETY: an id that is alive as long as its description.
    let most = unsafe { library::rd_kafka_Uuid_most_significant_bits(id) };
    // SAFETY: as above.
    let least = unsafe { library::rd_kafka_Uuid_least_significant_bits(id) };
    let bits = u128::from(most.cast_unsigned()) << 64 | u128::from(least.cast_unsigned());
    (bits != 0).then(|| bits.to_be_bytes())
}
