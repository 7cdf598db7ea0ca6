//! Chance that can be repeated: the same seed throws the same.

/// `SplitMix64`, from a seed that a failure should name.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice of their own for one of many, such as a task or a connection.
    pub fn of(seed: u64, number: usize) -> Self {
        let mut dice = Self(seed ^ (number as u64).wrapping_mul(0xD1B5_4A32_D192_ED03));
        dice.throw();
        dice
    }

    /// Throws a number from 0 to `sides` - 1.
    pub fn below(&mut self, sides: usize) -> usize {
        let sides = u64::try_from(sides).expect("a usize fits");
        usize::try_from(self.throw() % sides).expect("it is below a usize")
    }

    /// Is true once in so many throws.
    pub fn one_in(&mut self, throws: usize) -> bool {
        self.below(throws) == 0
    }

    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
