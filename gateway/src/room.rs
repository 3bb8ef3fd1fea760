//! How much is taken on at once: bodies that are still coming, by their bytes; calls whose body is there, by their number.
//! A slow client costs what it has sent and never a call's place: others must not wait for it.

use std::sync::Arc;

use ledger::Timestamp;
use refusal::Refusal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::pace::{Paces, Pair, Subjects};

/// What is free.
pub(crate) struct Room {
    /// `server.max_in_flight`.
    places: Arc<Semaphore>,
    /// `server.max_arriving`, in bytes.
    arriving: Arc<Semaphore>,
    /// By organisation and user.
    pub(crate) subjects: Arc<Subjects>,
    places_max: u32,
}

/// A call's place among those in flight. Given back when dropped.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    subjects: Arc<Subjects>,
    pair: Pair,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.subjects.leave(self.pair);
    }
}

/// The bytes of one body that is still coming. Given back when dropped.
pub(crate) struct Arriving<'a> {
    room: &'a Room,
    bytes: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(crate) fn new(calls_max: usize, arriving_bytes_max: usize) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            places: semaphore(calls_max),
            arriving: semaphore(arriving_bytes_max),
            subjects: Arc::new(Subjects::new()),
            places_max: u32::try_from(calls_max).unwrap_or(u32::MAX),
        }
    }

    /// A call's place among those in flight: of all, of its organisation, of its user.
    pub(crate) fn place(&self, pair: Pair, paces: Paces, now: Timestamp) -> Result<Place, Refusal> {
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Refusal::TooManyInFlight)?;
        self.subjects.enter(pair, paces, now)?;
        Ok(Place { _permit: permit, subjects: Arc::clone(&self.subjects), pair })
    }

    /// Waits until no call is in flight; those that come meanwhile get no place.
    pub(crate) async fn emptied(&self) {
        let _all = self.places.acquire_many(self.places_max).await;
    }

    /// A body of which nothing has come yet.
    pub(crate) fn arriving(&self) -> Arriving<'_> {
        Arriving { room: self, bytes: None }
    }
}

impl Arriving<'_> {
    /// Makes room for what has just come, beside what had come before.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let bytes = u32::try_from(bytes).map_err(|_| Refusal::TooManyInFlight)?;
        let more = Arc::clone(&self.room.arriving).try_acquire_many_owned(bytes);
        let more = more.map_err(|_| Refusal::TooManyInFlight)?;
        match &mut self.bytes {
            Some(held) => held.merge(more),
            None => self.bytes = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_takes_room_until_it_is_whole_or_gone() {
        let room = Room::new(1, 100);
        let mut one = room.arriving();
        assert!(one.grow(60).is_ok() && one.grow(40).is_ok());
        let mut other = room.arriving();
        assert_eq!(other.grow(1), Err(Refusal::TooManyInFlight));
        assert_eq!(one.grow(1), Err(Refusal::TooManyInFlight));
        drop(one);
        assert!(other.grow(100).is_ok());
        let pair = room.subjects.pair(&"acme".parse().unwrap(), &"ann".parse().unwrap());
        let free = crate::pace::Pace { per_minute: 0, at_once: 0 };
        let paces = Paces { organization: free, user: free };
        let enter = || room.place(pair, paces, Timestamp::from_millis(0));
        let place = enter();
        assert!(place.is_ok() && enter().is_err(), "bodies and calls are counted apart");
        drop(place);
        assert!(enter().is_ok());
    }
}
