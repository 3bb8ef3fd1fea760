//! Which address is tried next: those that can be reached in turn, then the others, each once a request. It must never name
//! an address twice to the same request.

use super::place::Place;

/// The addresses that a request has tried, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tried(u32);

impl Tried {
    fn has(self, place: usize) -> bool {
        bit(place) & self.0 != 0
    }

    pub(super) fn note(&mut self, place: usize) {
        self.0 |= bit(place);
    }

    /// Whether that were all of so many.
    pub(super) fn are_all(self, places: usize) -> bool {
        usize::try_from(self.0.count_ones()).is_ok_and(|tried| tried >= places)
    }
}

/// There are 16 addresses at most.
fn bit(place: usize) -> u32 {
    u32::try_from(place).ok().and_then(|place| 1_u32.checked_shl(place)).unwrap_or(0)
}

/// The next one to try, whose turn comes at `turn` of all; `None` where all were tried.
pub(super) fn next(places: &[Place], turn: usize, tried: &mut Tried) -> Option<usize> {
    next_of(places.len(), turn, tried, |place| places.get(place).is_none_or(Place::is_out))
}

fn next_of(places: usize, turn: usize, tried: &mut Tried, is_out: impl Fn(usize) -> bool) -> Option<usize> {
    let untried =
        || (0..places).map(|step| (turn % places.max(1) + step) % places.max(1)).filter(|place| !tried.has(*place));
    let next = untried().find(|place| !is_out(*place)).or_else(|| untried().next())?;
    tried.note(next);
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(places: usize, turn: usize, out: &[usize]) -> Vec<usize> {
        let mut tried = Tried::default();
        let mut order = Vec::new();
        while let Some(place) = next_of(places, turn, &mut tried, |place| out.contains(&place)) {
            assert_eq!(tried.are_all(places), order.len() + 1 == places);
            order.push(place);
        }
        order
    }

    #[test]
    fn those_that_can_be_reached_come_in_turn_and_the_others_last() {
        for (places, turn, out, want) in [
            (1, 7, vec![], vec![0]),
            (1, 7, vec![0], vec![0]),
            (3, 0, vec![], vec![0, 1, 2]),
            (3, 4, vec![], vec![1, 2, 0]),
            (3, 0, vec![0], vec![1, 2, 0]),
            (3, 1, vec![1, 2], vec![0, 1, 2]),
            (3, 2, vec![0, 1, 2], vec![2, 0, 1]),
            (0, 0, vec![], vec![]),
        ] {
            assert_eq!(all(places, turn, &out), want, "{places} places, turn {turn}, out {out:?}");
        }
        assert_eq!(all(16, usize::MAX, &[]).len(), 16);
    }
}
