//! The contested calls that a request may have made, each in a place that hypotheses note with one bit.

/// The most contested calls of a request at a time.
const MAX_CONTESTS: usize = 32;

/// A call that this request may have made, or another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contest {
    pub(super) call: u32,
    /// The request's place among the call's candidates.
    pub(super) candidate: u32,
    /// What a hypothesis was multiplied by for having made the call, in shares of the odds of all.
    pub(super) share: f64,
}

/// The contested calls of a request.
#[derive(Debug, Default)]
pub(super) struct Contests {
    /// The places that are taken, as bits.
    taken: u32,
    all: Vec<Contest>,
}

impl Contests {
    /// The place of one more, if there is one left.
    pub(super) fn begin(&mut self, contest: Contest) -> Option<u8> {
        let place = self.taken.trailing_ones() as usize;
        if place >= MAX_CONTESTS {
            return None;
        }
        match self.all.get_mut(place) {
            Some(gone) => *gone = contest,
            None => self.all.push(contest),
        }
        self.taken |= 1 << place;
        u8::try_from(place).ok()
    }

    /// All but those in `made` are over; says which these are.
    pub(super) fn keep(&mut self, made: u32, mut over: impl FnMut(Contest)) {
        let mut gone = self.taken & !made;
        self.taken &= made;
        while gone != 0 {
            over(self.all[gone.trailing_zeros() as usize]);
            gone &= gone - 1;
        }
    }

    /// One is over.
    pub(super) fn end(&mut self, place: u8) {
        self.taken &= !(1 << place);
    }

    /// Those that are not over, each with its place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u8, &Contest)> {
        let all = (0_u8..).zip(&self.all);
        all.filter(|(place, _)| self.taken & 1 << place != 0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.taken == 0
    }

    pub(super) fn clear(&mut self) {
        self.taken = 0;
        self.all.clear();
    }
}
