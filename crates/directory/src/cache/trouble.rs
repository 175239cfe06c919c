//! What keeps the store from confirming, and when that is told.

use super::rows::{Edition, Head, StoreError};
use super::settings::CacheEvent;

/// What keeps the store from confirming.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// Why the last look failed.
    what: Option<String>,
    /// The store did not answer that look.
    is_away: bool,
    /// The version that was refused last, and why: it is not loaded again and again.
    refused: Option<(Edition, String)>,
    /// Another store was met.
    replaced: Option<String>,
    /// A read or a look has failed since the store was last seen to be the same one.
    pub(super) is_suspect: bool,
}

/// Why the newest head is not served.
#[derive(Debug)]
pub(super) enum Lag {
    Store(StoreError),
    /// Its catalog is not valid.
    Refused(Edition, String),
    /// It is that of another store.
    Replaced(String),
}

impl From<StoreError> for Lag {
    fn from(error: StoreError) -> Lag {
        Lag::Store(error)
    }
}

/// Says that a head is that of another store, if it is.
pub(super) fn replaced(served: &Head, found: &Head) -> Option<String> {
    (served.store != found.store).then(|| {
        format!(
            "it was made anew: what is served is of store {}, and this is store {}; start again what reads it",
            served.store, found.store
        )
    })
}

impl Trouble {
    /// Why the last look failed, if it did.
    pub(super) fn what(&self) -> Option<&str> {
        self.what.as_deref()
    }

    /// Why the last look got no answer, if it got none.
    pub(super) fn away(&self) -> Option<&str> {
        self.what().filter(|_| self.is_away)
    }

    /// Why a version was refused, if it was the last one that was.
    pub(super) fn refused(&self, edition: &Edition) -> Option<Lag> {
        let (known, text) = self.refused.as_ref()?;
        (known == edition).then(|| Lag::Refused(edition.clone(), text.clone()))
    }

    /// Why nothing may be read, if nothing may.
    pub(super) fn replaced(&self) -> Option<&str> {
        self.replaced.as_deref()
    }

    /// Notes why the store does not confirm; what is to be told, when that begins.
    pub(super) fn begin(&mut self, lag: Lag) -> Option<CacheEvent> {
        let mut begins = self.what.is_none();
        self.is_suspect = true;
        self.is_away = matches!(lag, Lag::Store(StoreError::Unavailable(_)));
        let (text, event) = match lag {
            Lag::Store(error) => {
                let text = error.to_string();
                (text.clone(), CacheEvent::Unconfirmed(text))
            }
            Lag::Refused(edition, text) => {
                begins |= self.refused.as_ref().is_none_or(|(known, _)| *known != edition);
                let event = CacheEvent::Refused(edition.version, text.clone());
                self.refused = Some((edition, text.clone()));
                (text, event)
            }
            Lag::Replaced(text) => {
                begins |= self.replaced.is_none();
                self.replaced = Some(text.clone());
                (format!("the directory's store: {text}"), CacheEvent::Replaced(text))
            }
        };
        self.what = Some(text);
        begins.then_some(event)
    }

    /// Notes that the store confirms; what is to be told, if it did not before.
    pub(super) fn end(&mut self) -> Option<CacheEvent> {
        std::mem::take(self).what.map(|_| CacheEvent::Confirmed)
    }
}
