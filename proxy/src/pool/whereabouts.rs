//! Where a name leads to, over time: which connections go to an address that it has left.
//!
//! A connection that is in use all the time would never notice that its name has moved. But one answer
//! of a resolver is not all of the truth: large services are told by a few of their addresses at a time.
//! So an address is gone when several answers in a row do not have it.

use std::net::IpAddr;

use arrayvec::ArrayVec;

/// So many answers without it, and an address is gone.
const IN_A_ROW: usize = 3;

/// The last answers to the question where a name leads to.
#[derive(Debug, Default)]
pub(super) struct Whereabouts {
    answers: ArrayVec<Vec<IpAddr>, IN_A_ROW>,
}

impl Whereabouts {
    /// One more answer, and whether more may be gone than before.
    pub(super) fn heard(&mut self, mut answer: Vec<IpAddr>) -> bool {
        answer.sort_unstable();
        answer.dedup();
        let is_known = |answers: &[Vec<IpAddr>]| answers.iter().all(|one| *one == answer);
        let is_news = !self.answers.is_full() || !is_known(&self.answers);
        if self.answers.is_full() {
            self.answers.remove(0);
        }
        self.answers.push(answer);
        is_news && self.answers.is_full()
    }

    /// Whether the name does not lead there any more.
    pub(super) fn is_gone(&self, address: IpAddr) -> bool {
        let has = |answer: &Vec<IpAddr>| answer.binary_search(&address).is_ok();
        self.answers.is_full() && !self.answers.iter().any(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn an_address_is_gone_when_three_answers_do_not_have_it() {
        let mut name = Whereabouts::default();
        for (answer, is_news, gone) in [
            (&[1, 2][..], false, &[][..]),
            (&[1, 2], false, &[]),
            (&[2, 1], true, &[3]),
            (&[1, 2], false, &[3]),
            // A part of them at a time is all of them.
            (&[3], true, &[]),
            (&[1], true, &[]),
            (&[2], true, &[]),
            (&[1], true, &[3]),
            (&[1], true, &[3]),
            (&[1], true, &[2, 3]),
            (&[1], false, &[2, 3]),
        ] {
            let heard = name.heard(answer.iter().map(|last| ip(*last)).collect());
            assert_eq!(heard, is_news, "{answer:?}");
            let is_gone: Vec<u8> = (1..=3).filter(|last| name.is_gone(ip(*last))).collect();
            assert_eq!(is_gone, gone, "{answer:?}");
        }
    }
}
