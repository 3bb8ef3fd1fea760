//! How much is taken on at once: bodies that are still coming, by their bytes; calls whose body is there, by their number.
//! A slow client costs what it has sent and never a call's place: others must not wait for it.

use std::sync::Arc;

use refusal::Refusal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is free.
pub(crate) struct Room {
    /// `server.max_in_flight`.
    places: Arc<Semaphore>,
    /// `server.max_arriving`, in bytes.
    arriving: Arc<Semaphore>,
}

/// The bytes of one body that is still coming. Given back when dropped.
pub(crate) struct Arriving<'a> {
    room: &'a Room,
    bytes: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(crate) fn new(calls_max: usize, arriving_bytes_max: usize) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self { places: semaphore(calls_max), arriving: semaphore(arriving_bytes_max) }
    }

    /// A call's place among those in flight.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| Refusal::TooManyInFlight)
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
        let place = room.place();
        assert!(place.is_ok() && room.place().is_err(), "bodies and calls are counted apart");
        drop(place);
        assert!(room.place().is_ok());
    }
}
