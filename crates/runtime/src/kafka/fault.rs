//! Errors of the client library, said so that people know what to do.

use super::settings::KafkaSettings;
use crate::worker::log::{LogError, TransactionError};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The last thing that went wrong behind a client's back (connections, authentication), with the library's reason. Calls themselves
/// often only tell that time ran out.
#[derive(Debug)]
pub(super) struct Heard {
    last: Mutex<Option<(Code, String)>>,
    served: Served,
}

/// Says whether the cluster has served this process before: then a password or a certificate that it refuses was good, and may be again.
#[derive(Clone, Debug, Default)]
pub(super) struct Served(Arc<AtomicBool>);

impl Served {
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Judges what would not be another one the next time; but where it was good before, somebody is changing it.
    pub(super) fn refusal(&self, what: String) -> LogError {
        if self.0.load(Ordering::Relaxed) { LogError::Unavailable(what) } else { LogError::Refused(what) }
    }
}

impl Heard {
    pub(super) fn of(settings: &KafkaSettings) -> Heard {
        Heard { last: Mutex::default(), served: settings.served.clone() }
    }

    pub(super) fn note(&self, error: &KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            // That all brokers are down says less than why.
            if code != Code::AllBrokersDown || last.is_none() {
                *last = Some((code, reason.to_owned()));
            }
        }
    }

    pub(super) fn forget(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn last(&self) -> Option<(Code, String)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the cluster has refused the credentials, or shows a certificate that is not trusted.
    pub(super) fn is_refused(&self) -> bool {
        let kind = self.last().map(|(code, reason)| kind_heard(code, &reason));
        kind.is_some_and(|kind| matches!(kind, Kind::Credentials | Kind::Certificate))
    }

    /// Whether the cluster has refused the credentials.
    pub(super) fn is_locked_out(&self) -> bool {
        self.last().is_some_and(|(code, _)| kind(code) == Kind::Credentials)
    }
}

/// A client that only remembers what it heard.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) heard: Heard,
}

impl Listening {
    pub(super) fn of(settings: &KafkaSettings) -> Listening {
        Listening { heard: Heard::of(settings) }
    }
}

impl ClientContext for Listening {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.heard.note(&error, reason);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Credentials,
    Certificate,
    Rights,
    Missing,
    Unsupported,
    OutOfRange,
    Unsendable,
    Unreachable,
    Other,
}

/// Of what was heard: the reason says more than the code.
fn kind_heard(code: Code, reason: &str) -> Kind {
    match kind(code) {
        Kind::Unreachable if code == Code::SSL && reason.contains("certificate verify failed") => Kind::Certificate,
        kind => kind,
    }
}

fn kind(code: Code) -> Kind {
    match code {
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState => Kind::Credentials,
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => Kind::Rights,
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition | Code::InvalidTopic => {
            Kind::Missing
        }
        Code::UnsupportedVersion
        | Code::UnsupportedFeature
        | Code::NotImplemented
        | Code::UnsupportedForMessageFormat => Kind::Unsupported,
        Code::OffsetOutOfRange | Code::AutoOffsetReset => Kind::OutOfRange,
        Code::MessageSizeTooLarge
        | Code::InvalidMessageSize
        | Code::InvalidRecord
        | Code::PolicyViolation
        | Code::UnsupportedCompressionType
        | Code::InvalidTimestamp => Kind::Unsendable,
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::SSL
        | Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::MessageTimedOut => Kind::Unreachable,
        _ => Kind::Other,
    }
}

/// Says what failed and whether it may succeed later.
pub(super) fn explain(what: &str, error: &KafkaError, heard: &Heard, brokers: &str) -> LogError {
    match error.rdkafka_error_code() {
        Some(code) => explain_code(what, code, heard, brokers),
        None => LogError::Unavailable(format!("{what}: {error}")),
    }
}

/// As [`explain`].
pub(super) fn explain_code(what: &str, code: Code, heard: &Heard, brokers: &str) -> LogError {
    let behind = heard.last();
    let reason = |code: Code| match &behind {
        Some((_, reason)) if !reason.is_empty() => reason.clone(),
        Some((code, _)) => code.to_string(),
        None => code.to_string(),
    };
    // A connection that is refused shows as a time-out or as no connection at all.
    let cause = match (kind(code), &behind) {
        (Kind::Unreachable, Some((heard, reason))) => {
            let heard = kind_heard(*heard, reason);
            if matches!(heard, Kind::Credentials | Kind::Certificate) { heard } else { Kind::Unreachable }
        }
        (kind, _) => kind,
    };
    match cause {
        Kind::Credentials => {
            heard.served.refusal(format!("{what}: kafka at {brokers} refuses the credentials: {}", reason(code)))
        }
        Kind::Certificate => heard.served.refusal(format!(
            "{what}: the certificate is not trusted that kafka at {brokers} shows, has ended or is of another name; --kafka-ca-file names an authority \
             to trust: {}",
            reason(code)
        )),
        Kind::Rights => LogError::Refused(format!("{what}: the access rules of kafka at {brokers} forbid it: {code}")),
        Kind::Missing => LogError::Missing(format!(
            "{what}: kafka at {brokers} has no such topic or partition; `rater topics plan` shows what is missing, `rater topics apply` \
             makes it"
        )),
        Kind::Unsupported => LogError::Refused(format!("{what}: kafka at {brokers} does not support it: {code}")),
        Kind::OutOfRange => LogError::Refused(format!(
            "{what}: the position is not in the partition any more: messages were deleted before they were processed"
        )),
        Kind::Unsendable => LogError::Refused(format!("{what}: kafka at {brokers} refuses the message: {code}")),
        Kind::Unreachable => {
            LogError::Unavailable(format!("{what}: no answer from kafka at {brokers}: {}", reason(code)))
        }
        Kind::Other => LogError::Unavailable(format!("{what}: {code}")),
    }
}

/// Whether the same message will fail again whatever is done.
pub(super) fn is_for_good(code: Code) -> bool {
    match kind(code) {
        Kind::Credentials | Kind::Certificate | Kind::Rights | Kind::Missing | Kind::Unsupported | Kind::Unsendable => {
            true
        }
        Kind::OutOfRange | Kind::Unreachable | Kind::Other => false,
    }
}

/// What the library says about a transaction, by its flags. To the library a time-out is retriable by the same call; but a request that was
/// given up may still reach the broker, late, and hit the next transaction of the same producer. So it is uncertain here.
pub(super) fn judge(what: &str, error: &KafkaError) -> TransactionError {
    match error {
        KafkaError::Transaction(inner) => {
            let text = format!("{what}: {inner}");
            if inner.is_fatal() {
                TransactionError::Uncertain(text)
            } else if inner.txn_requires_abort() {
                TransactionError::Abortable(text)
            } else {
                TransactionError::Uncertain(text)
            }
        }
        // Messages are still under way; the commit itself has not begun.
        KafkaError::Flush(Code::OperationTimedOut) => TransactionError::Retriable(format!("{what}: {error}")),
        _ => TransactionError::Uncertain(format!("{what}: {error}")),
    }
}
