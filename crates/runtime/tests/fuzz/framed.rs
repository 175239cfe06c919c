//! Messages that say their schema: mutated bytes, and mutated schemas that a registry gives.

use super::{accept, fuzz, samples};
use runtime::registry::{Registry, RegistryConfig};
use runtime::wire::{Frame, FramedDecoder, Limits};
use serde_json::json;
use std::cell::RefCell;
use testkit::registry::{Fault, TestRegistry};

fn started() -> (TestRegistry, Registry) {
    let server = TestRegistry::start().expect("a free port");
    let registry = Registry::new(&RegistryConfig::new(server.url())).expect("a client");
    (server, registry)
}

/// What a container of the same schema says, a message says too.
#[test]
fn framed_messages() {
    let (_server, registry) = started();
    let mut decoder = FramedDecoder::new(Some(registry.clone()), Limits::default()).expect("a decoder");
    let mut framed = samples::json_lines();
    let mut plain = Vec::new();
    for (name, schema, datums) in samples::datums() {
        let id = registry.register(name, &schema).expect("an id");
        plain.push((id, samples::avro_decoder(&schema)));
        framed.extend(datums.iter().map(|datum| [Frame::confluent(id).as_bytes(), datum].concat()));
    }
    let prepared = decoder.prepare(framed.iter().map(Vec::as_slice)).expect("is prepared");
    let is_read = framed.iter().filter(|message| prepared.decode(message).is_ok()).count();
    assert!(is_read * 2 > framed.len(), "{is_read} of {}", framed.len());
    fuzz("framed", 200_000, &framed, |message| {
        let decoded = prepared.decode(message);
        let same = plain.iter().find(|(id, _)| message.starts_with(Frame::confluent(*id).as_bytes()));
        if let (Some((_, decoder)), Ok(read)) = (same, &decoded) {
            let alone = decoder.decode(&message[5..]).expect("what is framed is read alone");
            assert_eq!(format!("{read:?}"), format!("{alone:?}"));
        }
        accept(decoded);
    });
}

/// Whatever a registry gives as a schema, there is a plan or a reason, and datums are read by it or not.
#[test]
fn schemas_of_a_registry() {
    let (server, registry) = started();
    let limits = Limits { schemas: 10, ..Limits::default() };
    let decoder = RefCell::new(FramedDecoder::new(Some(registry), limits).expect("a decoder"));
    let kinds = samples::datums();
    let schemas: Vec<Vec<u8>> = kinds.iter().map(|(_, schema, _)| schema.clone().into_bytes()).collect();
    let next = RefCell::new(0_u32);
    fuzz("registered", 4_000, &schemas, |schema| {
        *next.borrow_mut() += 1;
        let id = runtime::registry::SchemaId(*next.borrow());
        let answer = json!({ "schema": String::from_utf8_lossy(schema) });
        server.fail_next([Fault::Answer(200, answer.to_string().into_bytes())]);
        let datums = kinds.iter().flat_map(|(_, _, datums)| datums);
        let messages: Vec<Vec<u8>> = datums.map(|datum| [Frame::confluent(id).as_bytes(), datum].concat()).collect();
        let prepared = decoder.borrow_mut().prepare(messages.iter().map(Vec::as_slice)).expect("an answer");
        for message in &messages {
            accept(prepared.decode(message));
        }
        assert!(decoder.borrow().remembered() <= 10);
    });
}
