//! Requests and answers: JSON over HTTP, tried again when the trouble may pass.

use super::config::{RegistryConfig, Secret};
use super::error::RegistryError;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use ureq::Agent;

/// Longest answer, in bytes. Registries that keep schemas in a Kafka topic have none beyond 1 MiB, which escaping may double.
const MAX_ANSWER_BYTES: u64 = 4 << 20;

/// Longest message of a registry that is passed on, in characters.
const MAX_MESSAGE_CHARS: usize = 400;

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Request<'r> {
    Get,
    Post(&'r Value),
    Put(&'r Value),
}

/// The connection to one registry.
#[derive(Clone)]
pub(super) struct Http {
    agent: Agent,
    base: String,
    authorization: Option<Secret>,
    attempts: u32,
    pause: Duration,
}

/// How one attempt went wrong.
enum Trouble {
    /// It may pass.
    Passing(String),
    Lasting(RegistryError),
}

#[derive(Deserialize)]
struct Refusal {
    error_code: Option<u32>,
    message: Option<String>,
}

impl Http {
    pub(super) fn new(config: &RegistryConfig) -> Result<Http, RegistryError> {
        let agent = Agent::config_builder()
            .timeout_global(Some(config.timeout))
            .http_status_as_error(false)
            // A registry answers itself; following would carry the credentials elsewhere.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("rater/", env!("CARGO_PKG_VERSION")))
            .accept(MEDIA_TYPE)
            .tls_config(config.tls_config()?)
            .build()
            .new_agent();
        let authorization = config.authorization()?;
        Ok(Http { agent, base: config.base()?, authorization, attempts: config.attempts.max(1), pause: config.pause })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Asks until there is an answer or the attempts are used up. All requests of a registry may be repeated: what is registered twice is
    /// one schema.
    pub(super) fn ask(&self, path: &str, request: Request<'_>) -> Result<Value, RegistryError> {
        let mut pause = self.pause;
        let mut attempt = 1;
        loop {
            match self.try_once(path, request) {
                Ok(answer) => return Ok(answer),
                Err(Trouble::Lasting(error)) => return Err(error),
                Err(Trouble::Passing(cause)) if attempt >= self.attempts => {
                    return Err(RegistryError::Unreachable { attempts: attempt, cause });
                }
                Err(Trouble::Passing(_)) => {
                    std::thread::sleep(pause);
                    pause = pause.saturating_mul(2).min(RegistryConfig::LONGEST_PAUSE);
                    attempt += 1;
                }
            }
        }
    }

    fn try_once(&self, path: &str, request: Request<'_>) -> Result<Value, Trouble> {
        let url = format!("{}{path}", self.base);
        let sent = match request {
            Request::Get => {
                let mut get = self.agent.get(&url);
                if let Some(secret) = &self.authorization {
                    get = get.header("authorization", secret.reveal());
                }
                get.call()
            }
            Request::Post(body) | Request::Put(body) => {
                let mut with_body = match request {
                    Request::Put(_) => self.agent.put(&url),
                    Request::Get | Request::Post(_) => self.agent.post(&url),
                };
                if let Some(secret) = &self.authorization {
                    with_body = with_body.header("authorization", secret.reveal());
                }
                with_body.header("content-type", MEDIA_TYPE).send(body.to_string())
            }
        };
        let mut answer = sent.map_err(|error| trouble(&error))?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        let body = body.map_err(|error| trouble(&error))?;
        match status {
            200..=299 => serde_json::from_slice(&body)
                .map_err(|error| Trouble::Lasting(RegistryError::Garbled(format!("{error}: {}", shown(&body))))),
            429 | 500..=599 => Err(Trouble::Passing(format!("status {status}: {}", message(&body)))),
            status => {
                let code = serde_json::from_slice::<Refusal>(&body).ok().and_then(|refusal| refusal.error_code);
                Err(Trouble::Lasting(RegistryError::of_answer(status, code, message(&body))))
            }
        }
    }
}

/// Whether a failure may pass. What the network or the other side did may; what we configured does not.
fn trouble(error: &ureq::Error) -> Trouble {
    match error {
        ureq::Error::BodyExceedsLimit(limit) => Trouble::Lasting(RegistryError::TooLong(*limit)),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::Pem(_) => {
            Trouble::Lasting(RegistryError::Config(error.to_string()))
        }
        // The library's errors are open. Those of TLS are here too: certificates are renewed on the other side.
        _ => Trouble::Passing(error.to_string()),
    }
}

/// What a refusal says; the beginning of its body if it is not in the form of a registry.
fn message(body: &[u8]) -> String {
    match serde_json::from_slice::<Refusal>(body) {
        Ok(Refusal { message: Some(message), .. }) => message.chars().take(MAX_MESSAGE_CHARS).collect(),
        Ok(Refusal { message: None, .. }) | Err(_) => shown(body),
    }
}

fn shown(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(MAX_MESSAGE_CHARS).collect()
}
