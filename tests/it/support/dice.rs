//! Reproducible pseudo-random numbers.

/// A pseudo-random sequence, determined by its seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        // Xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    pub fn of<'t>(&mut self, words: &[&'t str]) -> &'t str {
        words[usize::try_from(self.roll(words.len() as u64)).unwrap_or(0)]
    }
}
