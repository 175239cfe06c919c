//! Reads under way: what one batch is having read, no other asks for again.

use super::packed::Packed;
use super::rows::{Edition, IdentityKey, StoreError};
use hashbrown::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What was found under each key; `None` where there is nothing.
pub(super) type Answers = HashMap<IdentityKey, Option<Packed>>;

type Outcome = Result<Arc<Answers>, StoreError>;

/// One read of many keys.
#[derive(Debug, Default)]
pub(super) struct Flight {
    outcome: Mutex<Option<Outcome>>,
    landed: Condvar,
}

impl Flight {
    /// Waits for the outcome. Every flight lands: its [`Landing`] sees to that.
    pub(super) fn wait(&self) -> Outcome {
        let mut outcome = locked(&self.outcome);
        loop {
            if let Some(outcome) = &*outcome {
                return outcome.clone();
            }
            outcome = self.landed.wait(outcome).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// All reads under way, by epoch and key.
#[derive(Debug, Default)]
pub(super) struct Flights {
    running: Mutex<HashMap<(Edition, IdentityKey), Arc<Flight>>>,
}

/// What a batch waits for, and what it has to have read itself.
#[derive(Debug)]
pub(super) struct Boarded {
    pub(super) flights: Vec<Arc<Flight>>,
    pub(super) own: Vec<Landing>,
}

impl Flights {
    /// Joins the flights of keys that are being read in an epoch, and makes new ones, of so many keys at most, for the others.
    pub(super) fn board(self: &Arc<Self>, edition: &Edition, keys: Vec<IdentityKey>, most: usize) -> Boarded {
        let mut boarded = Boarded { flights: Vec::new(), own: Vec::new() };
        let mut running = locked(&self.running);
        for key in keys {
            let place = (edition.clone(), key);
            if let Some(flight) = running.get(&place) {
                if !boarded.flights.iter().any(|joined| Arc::ptr_eq(joined, flight)) {
                    boarded.flights.push(flight.clone());
                }
                continue;
            }
            if boarded.own.last().is_none_or(|last| last.keys.len() >= most.max(1)) {
                let flight = Arc::new(Flight::default());
                boarded.flights.push(flight.clone());
                boarded.own.push(Landing { flights: self.clone(), flight, edition: edition.clone(), keys: Vec::new() });
            }
            if let Some(landing) = boarded.own.last_mut() {
                landing.keys.push(place.1.clone());
                running.insert(place, landing.flight.clone());
            }
        }
        boarded
    }
}

/// The duty to land a flight. Dropped without an outcome, as when the runtime goes down, it lands as a failure.
#[derive(Debug)]
pub(super) struct Landing {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    edition: Edition,
    pub(super) keys: Vec<IdentityKey>,
}

impl Landing {
    /// Tells the outcome to all who wait.
    pub(super) fn land(self, outcome: Outcome) {
        self.tell(outcome);
    }

    /// Whoever comes after the outcome is told must not find this flight any more: a failure is only for those who waited.
    fn tell(&self, outcome: Outcome) {
        let mut running = locked(&self.flights.running);
        for key in &self.keys {
            let place = (self.edition.clone(), key.clone());
            if running.get(&place).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
                running.remove(&place);
            }
        }
        drop(running);
        locked(&self.flight.outcome).get_or_insert(outcome);
        self.flight.landed.notify_all();
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.tell(Err(StoreError::Unavailable("the read was given up".to_owned())));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
