//! What checks say of an upstream, over more than one of them.

/// So many failed checks in a row make an upstream ill, and so many good ones well again.
const IN_A_ROW: u32 = 2;

/// The last checks of one upstream, which is well until it is known not to be.
#[derive(Clone, Copy, Debug)]
pub struct Checks {
    is_well: bool,
    against: u32,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            is_well: true,
            against: 0,
        }
    }
}

impl Checks {
    /// One more check, and whether the upstream is well by now.
    pub fn note(&mut self, is_good: bool) -> bool {
        if is_good == self.is_well {
            self.against = 0;
        } else {
            self.against += 1;
            if self.against >= IN_A_ROW {
                (self.is_well, self.against) = (is_good, 0);
            }
        }
        self.is_well
    }
}
